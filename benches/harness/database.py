"""Databases of one run each, copied from one that has the migrations, and the campaign in them."""

import itertools
import os
import uuid
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

ROOT = Path(__file__).parents[2]
CAMPAIGN = ROOT / "benches" / "campaign"
TEMPLATE = f"bench_{os.getpid()}"
NUMBERS = itertools.count(1)
ORGANIZATION = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


class Server:
    """The PostgreSQL of `DATABASE_URL`. What it creates is gone at the end."""

    def __init__(self, url):
        self.url = url
        self.admin = psycopg.connect(url, autocommit=True)
        self.admin.execute(f"CREATE DATABASE {TEMPLATE}")
        with psycopg.connect(self.at(TEMPLATE), autocommit=True) as database:
            for file in [*sorted((ROOT / "migrations").glob("*.sql")), ROOT / "benches" / "peers" / "cursors.sql"]:
                database.execute(file.read_text())

    def at(self, name, address=None):
        """The URL of a database, or of the same through a proxy at `host:port`."""
        parts = urlsplit(self.url)
        user = parts.netloc.rpartition("@")[0]
        netloc = parts.netloc if address is None else f"{user}@{address}" if user else address
        return urlunsplit(parts._replace(netloc=netloc, path=f"/{name}"))

    def database(self, recipients=None, campaigns=1):
        """A fresh one, for a `with` block."""
        return Database(self, recipients, campaigns)

    def version(self):
        return self.admin.execute("SHOW server_version").fetchone()[0].split()[0]

    def settings(self):
        names = ["shared_buffers", "max_wal_size", "fsync", "synchronous_commit", "full_page_writes"]
        return {name: self.admin.execute(f"SHOW {name}").fetchone()[0] for name in names}

    def close(self):
        self.admin.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
        self.admin.close()


class Database:
    """A fresh database with as many recipients in each of `campaigns` campaigns."""

    def __init__(self, server, recipients, campaigns=1):
        self.server = server
        self.name = f"{TEMPLATE}_{next(NUMBERS)}"
        server.admin.execute(f"CREATE DATABASE {self.name} TEMPLATE {TEMPLATE}")
        self.url = server.at(self.name)
        self.campaigns = []
        if recipients:
            self.campaigns = [self.load(recipients) for _ in range(campaigns)]
            self.finish_loading()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.admin.execute(f"DROP DATABASE {self.name} WITH (FORCE)")

    def connect(self):
        return psycopg.connect(self.url, autocommit=True)

    def load(self, recipients, organization=ORGANIZATION, html=None, own_text=True):
        """A campaign; `html` in place of its own body, and without a text part if it has none of its own."""
        campaign = str(uuid.uuid4())
        templates = [(CAMPAIGN / name).read_text().strip() for name in ("subject.txt", "body.html", "body.txt")]
        templates[1] = html or templates[1]
        templates[2] = templates[2] if own_text else None
        with self.connect() as connection:
            cursor = psycopg.RawCursor(connection)
            cursor.execute(
                (CAMPAIGN / "campaign.sql").read_text(),
                [campaign, recipients, *templates, "Spring harvest", organization],
            )
        return campaign

    def finish_loading(self):
        """Finishes the background work of loading, so that it does not run during a measurement."""
        with self.connect() as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    def sent(self, campaign):
        """The numbers of `sent` recipients and of activities, to check what a peer reports."""
        with self.connect() as connection:
            return connection.execute(
                "SELECT (SELECT count(*) FROM campaign_recipients WHERE campaign_id = %s AND status = 'sent'),"
                " (SELECT count(*) FROM activities WHERE action = 'email_sent')",
                [campaign],
            ).fetchone()
