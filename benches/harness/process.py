"""A process that is measured: processor time and peak memory, its own and its children's."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """The resources of one run: elapsed seconds, processor seconds, peak memory in bytes."""

    wall: float
    cpu: float
    peak: int


class Process:
    """A child process. What it used until `begin` (the start, its imports) is not counted, to its advantage."""

    def __init__(self, command, environment, speaks=True):
        """`speaks`: it reads the start signal from its input and answers on its output; else its output is its log."""
        base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.child = subprocess.Popen(
            [str(part) for part in command],
            env={**base, **environment},
            stdin=subprocess.PIPE if speaks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if speaks else subprocess.DEVNULL,
            # None is inherited anyway, and without this Python forks, which costs as much as what is measured.
            close_fds=False,
        )
        self.cpu_before = 0.0
        self.began = self.ended = self.peak = None

    @property
    def pid(self):
        return self.child.pid

    def line(self):
        line = self.child.stdout.readline().decode().strip()
        if not line:
            raise RuntimeError(f"{self.child.args[0]} ended early with status {self.child.wait()}")
        return line

    def tell(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def begin(self):
        self.cpu_before = cpu_of_threads(self.pid)
        self.began = time.perf_counter()

    def end(self):
        """Notes that the work is done; the process still runs."""
        self.ended = time.perf_counter()
        self.peak = peak_memory(self.pid)

    def reap(self):
        """Ends the process by closing its input or, if it does not read that, by SIGTERM."""
        if self.child.stdin is not None:
            self.child.stdin.close()
        else:
            self.child.terminate()
        # wait4 tells user and system time of the child and of the children that it waited for.
        _, status, usage = os.wait4(self.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        if self.child.stdout is not None:
            self.child.stdout.close()
        cpu = usage.ru_utime + usage.ru_stime - self.cpu_before
        return Usage(self.ended - self.began, cpu, self.peak or usage.ru_maxrss * 1024)


def cpu_of_threads(pid):
    """Processor seconds of the running threads of a process; 0 if the system does not report them."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(path.read_text().split()[0])
    return total / 1e9


def peak_memory(pid):
    """Resident bytes at the highest (VmHWM). Not ru_maxrss: a child inherits that from whoever started it."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except FileNotFoundError:
        pass
    return None
