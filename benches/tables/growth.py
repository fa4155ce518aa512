"""Campaigns of several sizes, claimed and recorded to their end, with an old snapshot held open elsewhere."""

from harness.report import Table, number
from harness.rounds import median, note

from .limits import statements

NAME = "growth"
BATCH = 1000
# Batches at either end that are compared; the very first is left out, for it counts the whole campaign.
ENDS = 20


def run(bench):
    sizes = (10_000, 30_000) if bench.quick else (10_000, 1_000_000, 5_000_000)
    return {str(size): campaign(bench, size) for size in sizes}


def campaign(bench, size):
    note(f"loading {size:,} recipients")
    with bench.server.database(size) as database, database.connect() as elsewhere:
        elsewhere.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        elsewhere.execute("SELECT count(*) FROM campaigns").fetchone()
        note("claiming and recording all of them")
        times = statements(bench, database, "growth", BATCH, size // BATCH + 1)
        elsewhere.execute("ROLLBACK")
        sent = database.sent(database.campaigns[0])
        if sent != (size, size):
            raise RuntimeError(f"of {size} recipients {sent[0]} are sent, with {sent[1]} activities")
    ends = min(ENDS, (len(times["claim"]) - 1) // 2)
    summary = {"opening": times["claim"][0], "batches": len(times["claim"])}
    for step in ("claim", "record"):
        # The last claim also finds that it is the last: it is compared like the others.
        summary[f"{step}_first"] = median(times[step][1 : 1 + ends])
        summary[f"{step}_last"] = median(times[step][-ends:])
    # Microseconds of PostgreSQL's answer time per email, the whole campaign over.
    summary["per_email_us"] = sum(map(sum, (times["claim"], times["record"]))) / size * 1000
    return summary


def tables(result):
    head = [
        "recipients",
        "claim of 1,000, first, ms",
        "last, ms",
        "last to first",
        "record of 1,000, first, ms",
        "last, ms",
        "last to first",
        "per email, all batches, µs",
        "first claim of all, ms",
    ]
    table = Table(
        None,
        head,
        f"First and last: the medians of {ENDS} batches at either end (fewer for the smallest). The first claim of"
        " all counts the recipients, once. A transaction elsewhere holds a snapshot from before the first claim.",
    )
    for size, figures in result.items():
        cells = [number(int(size))]
        for step in ("claim", "record"):
            first, last = figures[f"{step}_first"], figures[f"{step}_last"]
            cells += [number(first), number(last), f"{last / first:.2f}x"]
        table.row(*cells, number(figures["per_email_us"]), number(figures["opening"]))
    yield table


def targets(result):
    if "1000000" in result:
        figures = result["1000000"]
        ratio = figures["claim_last"] / figures["claim_first"]
        what = "claim of 1,000 at 1 million recipients, snapshot held, last against first"
        yield what, {"": ratio}, "≤ 1.1x", lambda x: x <= 1.1, "{:.2f}x"
    if len(result) > 1:
        costs = [figures["per_email_us"] for figures in result.values()]
        what = "claim and record per email, largest campaign against smallest"
        yield what, {"": costs[-1] / costs[0]}, "≤ 1.1x", lambda x: x <= 1.1, "{:.2f}x"
