"""What all tables need: where things are, how much is to be run, and one run of each kind of sender."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from .database import ROOT
from .process import Process, Usage
from .runtime_api import Function
from .ses import LocalSes

PEERS = ROOT / "benches" / "peers"
# One recipient with a name that needs escaping, and two of which one has none.
COMPARED = 3


@dataclass(frozen=True)
class Sample:
    """One run: the number of emails, and the resources that they took."""

    emails: int
    usage: Usage

    @property
    def rate(self):
        return self.emails / self.usage.wall

    @property
    def cpu_us(self):
        return self.usage.cpu / self.emails * 1e6

    @property
    def peak_mb(self):
        return self.usage.peak / 1e6

    def __str__(self):
        return f"{self.rate:,.0f}/s, {self.cpu_us:,.1f} µs CPU per email, {self.peak_mb:.1f} MB"


class Wrong(RuntimeError):
    """A run failed, so its figures mean nothing."""


class Bench:
    """The environment of a run of `./dev bench`."""

    def __init__(self, server, target, functions, quick, rounds):
        self.server = server
        self.target = Path(target)
        self.functions = Path(functions)
        self.quick = quick
        self.rounds = rounds
        self.messages = {}

    @property
    def send_batch(self):
        return self.functions / "send-batch"

    def tool(self, name):
        """An executable of this repository that is not a function."""
        return self.target / ("debug" if self.quick else "release") / name

    def ses(self, **how):
        return LocalSes(self.tool("local-ses"), **how)

    def environment(self, url, ses, **more):
        return {**ses.environment, "DATABASE_URL": url, **more}

    def function(self, url, ses, **more):
        """With its defaults: it logs a line per email, from which `campaign resolve` could replay it."""
        return Function(self.send_batch, self.environment(url, ses, **more))

    def send_by_function(self, database, ses, emails, batch_size, api, url=None):
        """One campaign by the built function, driven with `next`; from the first invocation to the last answer."""
        campaign = database.campaigns[0]
        function = self.function(url or database.url, ses, SEND_API=api)
        try:
            function.wait_ready()
            function.process.begin()
            for _ in function.drive({"campaignId": campaign, "batchSize": batch_size}):
                pass
            function.process.end()
        finally:
            usage = function.close()
        self.check(database, ses, emails, f"send-batch {api}", kind=api)
        return Sample(emails, usage)

    def send_by_peer(self, database, ses, emails, peer, batch_size=500):
        """One campaign by a peer, from the start signal to its answer, without its start and imports."""
        environment = self.environment(
            database.url, ses, CAMPAIGN_ID=database.campaigns[0], BATCH_SIZE=str(batch_size), NODE_NO_WARNINGS="1"
        )
        process = Process(command(peer), environment)
        try:
            assert process.line() == "ready"
            process.begin()
            process.tell("go")
            answer = process.line()
            process.end()
        finally:
            usage = process.reap() if process.ended else process.child.kill()
        if answer != f"done {emails}":
            raise Wrong(f"{peer} answered {answer!r}, expected done {emails}")
        self.check(database, ses, emails, peer, kind="bulk" if peer.endswith(" bulk") else "single")
        return Sample(emails, usage)

    def check(self, database, ses, emails, who, kind=None):
        """Checks that every recipient got one message, that it is recorded, and that it equals that of the other senders."""
        accepted, doubles = ses.get("statistics")["accepted"], ses.get("duplicates")
        sent, activities = database.sent(database.campaigns[0])
        if (accepted, sent, activities) != (emails,) * 3 or doubles:
            raise Wrong(
                f"{who}: {accepted} accepted, {sent} sent, {activities} activities, {len(doubles)} twice;"
                f" expected {emails}"
            )
        if kind and ses.message(1)["kind"] != kind:
            raise Wrong(f"{who}: the messages came by {ses.message(1)['kind']} calls")
        for number in range(1, COMPARED + 1):
            address = f"reader{number}@example.com"
            found = ses.get(f"messages?q={address}&limit=20")["messages"]
            identifier = next(message["id"] for message in found if message["to"] == [address])
            message = ses.get(f"messages/{identifier}")
            parts = {part: message[part] for part in ("from", "replyTo", "subject", "html", "text")}
            # Their values hold the campaign's id, which each run has anew.
            parts["tags"] = sorted(tag["name"] for tag in message["tags"])
            parts["headers"] = sorted(header["name"] for header in message["headers"])
            if parts != self.messages.setdefault(address, parts):
                different = [part for part in parts if parts[part] != self.messages[address][part]]
                raise Wrong(f"{who}: {address} was sent other {', '.join(different)} than by the others")


def command(peer):
    language, _, name = peer.partition(" ")
    if language == "node":
        return [shutil.which("node") or "node", PEERS / "node" / f"{name}.mjs"]
    return [sys.executable, PEERS / "python" / f"{name}.py"]
