"""A migrated database of its own for each test, on the server that DATABASE_URL names."""

import os
import re
import uuid

import psycopg

from function import ROOT


class Database:
    """`url` for functions, `execute` for the test."""

    def __init__(self, prefix):
        self.name = f"{prefix}_{os.getpid()}_{uuid.uuid4().hex[:8]}"
        self.server = os.environ["DATABASE_URL"]
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.name}")
        place = re.sub(r"/[^/?]*(\?|$)", rf"/{self.name}\1", self.server.split("://", 1)[1], count=1)
        self.url = f"postgres://{place}"
        self.connection = psycopg.connect(self.url, autocommit=True)
        self.execute = self.connection.execute
        for file in sorted((ROOT / "migrations").glob("*.sql")):
            self.execute(file.read_text())

    @property
    def info(self):
        return self.connection.info

    def close(self):
        self.connection.close()
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {self.name} WITH (FORCE)")
