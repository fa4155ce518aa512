"""Campaigns of several sizes, first batches and last, with an old snapshot held open elsewhere."""

import json
from contextlib import ExitStack
from itertools import pairwise
from statistics import quantiles

from harness.process import Process
from harness.report import Table, number
from harness.rounds import median, note

NAME = "growth"
# How often what is in the table is run, for the page.
RUNS = "100 turns"
BATCH = 1000
STEPS = ("claim", "record")


def run(bench):
    sizes, turns = ((10_000, 30_000), 8) if bench.quick else ((10_000, 1_000_000, 5_000_000), 100)
    with ExitStack() as stack:
        campaigns = {size: ends(bench, stack, size, turns) for size in sizes}
        openings = {str(size): next(of) for size, of in campaigns.items()}
        times = {str(size): [] for size in sizes}
        note("first batches and last, by turns")
        for _ in range(turns):
            for size, of in campaigns.items():
                times[str(size)].append(next(of))
    return {size: {"opening": openings[size], **columns(times[size])} for size in times}


def ends(bench, stack, size, turns):
    """The claim that opens a campaign, in milliseconds; then, turn by turn, a first batch of one campaign and a last one
    of another of its size in the same database."""
    batches = size // BATCH
    turns_of_pair = min(turns, batches // 2 - 1)
    note(f"loading campaigns of {size:,} recipients")
    database = stack.enter_context(bench.server.database(size, -(-turns // turns_of_pair) + 1))
    elsewhere = stack.enter_context(database.connect())
    elsewhere.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    elsewhere.execute("SELECT count(*) FROM campaigns").fetchone()
    campaigns = (Campaign(bench, database, campaign) for campaign in database.campaigns)
    for old, new in pairwise(campaigns):
        if old.sent == 0:
            note(f"sending the first of them, up to its last {turns_of_pair} batches")
            yield old.batch()["claim"]
            old.advance(batches - turns_of_pair)
        new.batch()
        for _ in range(turns_of_pair):
            yield {"first": new.batch(), "last": old.batch()}
        old.end()
        new.advance(batches - turns_of_pair)


class Campaign:
    """A campaign whose batches are claimed and recorded, without the sending in between, by a process of its own."""

    def __init__(self, bench, database, campaign):
        self.database, self.campaign, self.sent = database, campaign, 0
        environment = {"DATABASE_URL": database.url, "CAMPAIGN_ID": campaign}
        self.process = Process([bench.tool("bench-limits"), "growth", BATCH], environment)
        self.process.begin()

    def batch(self):
        """How long its claim and its record took, in milliseconds."""
        self.process.tell("next")
        self.sent += BATCH
        return json.loads(self.process.line())

    def advance(self, batches):
        while self.sent < batches * BATCH:
            self.batch()

    def end(self):
        """Closes the process; all of its campaign must have been sent."""
        self.process.end()
        self.process.reap()
        sent, _ = self.database.sent(self.campaign)
        if sent != self.sent:
            raise RuntimeError(f"of {self.sent} recipients {sent} are sent")


def columns(turns):
    """{"claim": {"first": [ms, …], "last": [ms, …]}, "record": …}"""
    return {step: {end: [turn[end][step] for turn in turns] for end in ("first", "last")} for step in STEPS}


def growth(times):
    """Last to first of each turn."""
    return [last / first for first, last in zip(times["first"], times["last"])]


def per_email(figures, end):
    """Microseconds of PostgreSQL's answer time per email."""
    return sum(median(figures[step][end]) for step in STEPS) / BATCH * 1000


def tables(result):
    head = ["recipients"]
    for step in STEPS:
        head += [f"{step} of {BATCH:,}, first, ms", "last, ms", "last to first"]
    head += ["claim and record per email, first, µs", "last, µs", "claim that opens the campaign, ms"]
    table = Table(
        None,
        head,
        "Figures are medians of 100 turns; ratios are medians of the ratios within a turn, with the quartiles in brackets."
        " In a turn each size has one of the first batches of a campaign and one of the last batches of another campaign"
        " in the same database, so the machine is equally fast for all. The claim that opens a campaign counts its"
        " recipients, for a second at most; later claims continue counting. A transaction in each"
        " database holds a snapshot from before its first claim.",
    )
    for size, figures in result.items():
        cells = [number(int(size))]
        for step in STEPS:
            ratios = growth(figures[step])
            low, _, high = quantiles(ratios, n=4)
            cells += [number(median(figures[step][end])) for end in ("first", "last")]
            cells.append(f"{median(ratios):.2f}x ({low:.2f} to {high:.2f})")
        cells += [number(per_email(figures, end)) for end in ("first", "last")]
        table.row(*cells, number(figures["opening"]))
    yield table


def targets(result):
    at_most = ("≤ 1.1x", lambda x: x <= 1.1, "{:.2f}x")
    for size, figures in result.items():
        if int(size) >= 1_000_000:
            what = f"claim of 1,000 at {int(size) // 1_000_000} million recipients, snapshot held, last against first"
            yield what, {"": median(growth(figures["claim"]))}, *at_most
    costs = [per_email(figures, end) for figures in result.values() for end in ("first", "last")]
    yield (
        "claim and record per email, the slowest of all sizes, first and last, to the fastest",
        {"": max(costs) / min(costs)},
        *at_most,
    )
