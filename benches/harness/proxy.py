"""PostgreSQL behind a network: the delaying proxy as a process."""

import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg


class Proxy:
    """In front of a server for the length of a `with` block; `address` is where to connect."""

    def __init__(self, url, round_trip_ms):
        parts = urlsplit(url)
        script = Path(__file__).with_name("delay.py")
        command = [sys.executable, script, parts.hostname, str(parts.port or 5432), str(round_trip_ms)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.address = self.process.stdout.readline().decode().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def round_trip_ms(url, times=50):
    """What a statement that does nothing takes over a connection, the median."""
    with psycopg.connect(url, autocommit=True) as connection:
        taken = []
        for _ in range(times):
            started = time.perf_counter()
            connection.execute("SELECT")
            taken.append((time.perf_counter() - started) * 1000)
    return sorted(taken)[times // 2]
