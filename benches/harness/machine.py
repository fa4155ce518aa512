"""The machine and the versions of a measurement."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from .database import ROOT

ABSENT = "not there"


def machine():
    model = next(iter(_values("/proc/cpuinfo", "model name")), platform.processor())
    memory = next(iter(_values("/proc/meminfo", "MemTotal")), None)
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory": f"{int(memory.split()[0]) / 1024 / 1024:.0f} GiB" if memory else "unknown",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
    }


def versions(server):
    node = json.loads((ROOT / "benches/peers/node/package.json").read_text())["dependencies"]
    python = [f"{package} {version(package)}" for package in ("boto3", "psycopg", "jinja2")]
    return {
        "Rust": _said("rustc", "--version"),
        "PostgreSQL": f"{server.version()}, {', '.join(f'{k} = {v}' for k, v in server.settings().items())}",
        "Node": f"{_said('node', '--version')}: {', '.join(f'{name} {number}' for name, number in node.items())}",
        "Python": f"{platform.python_version()}: {', '.join(python)}",
    }


def commit():
    # Without its history, a copy has no commit.
    said = _said("git", "-C", str(ROOT), "describe", "--always")
    # The page itself changes with each table.
    changed = _said("git", "-C", str(ROOT), "status", "--porcelain", "--", ":!BENCHMARKS.md")
    if said in ("", ABSENT):
        return "unknown"
    return f"{said}-dirty" if changed else said


def _said(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ABSENT


def _values(path, name):
    try:
        lines = Path(path).read_text().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == name:
            yield value.strip()
