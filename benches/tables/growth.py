"""Campaigns of several sizes, claimed and recorded to their end, with an old snapshot held open elsewhere."""

from harness.report import Table, number
from harness.rounds import median, note

from .limits import statements

NAME = "growth"
BATCH = 1000
# Batches at either end that are compared, at least; the very first is left out, for it counts the whole campaign.
ENDS = 20
STEPS = ("claim", "record", "reference")


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
    # A tenth of the campaign: the machine is not equally fast all the time.
    ends = min(max(ENDS, size // BATCH // 10), (len(times["claim"]) - 1) // 2)
    summary = {"opening": times["claim"][0], "batches": len(times["claim"])}
    for step in STEPS:
        # The last claim also finds that it is the last: it is compared like the others.
        summary[f"{step}_first"] = median(times[step][1 : 1 + ends])
        summary[f"{step}_last"] = median(times[step][-ends:])
    # Microseconds of PostgreSQL's answer time per email, the whole campaign over.
    summary["per_email_us"] = sum(map(sum, (times["claim"], times["record"]))) / size * 1000
    return summary


def growth(figures, step):
    """Last to first, where the machine's own speed is taken out."""
    ours, machine = (figures[f"{of}_last"] / figures[f"{of}_first"] for of in (step, "reference"))
    return ours / machine


def tables(result):
    head = ["recipients"]
    for step in ("claim of 1,000", "record of 1,000", "reference"):
        head += [f"{step}, first, ms", "last, ms"]
    head += ["claim, last to first", "record, last to first", "per email, all batches, µs", "first claim of all, ms"]
    table = Table(
        None,
        head,
        "First and last: the medians of a tenth of the batches at either end (of half of them for the smallest). The"
        " reference is a query that touches no table, made after each record: how fast the machine was then, which is"
        " taken out of the ratios. The first claim of all counts the recipients, once. A transaction elsewhere holds a"
        " snapshot from before the first claim.",
    )
    for size, figures in result.items():
        cells = [number(int(size))]
        for step in STEPS:
            cells += [number(figures[f"{step}_first"]), number(figures[f"{step}_last"])]
        cells += [f"{growth(figures, step):.2f}x" for step in ("claim", "record")]
        table.row(*cells, number(figures["per_email_us"]), number(figures["opening"]))
    yield table


def targets(result):
    if "1000000" in result:
        what = "claim of 1,000 at 1 million recipients, snapshot held, last against first"
        yield what, {"": growth(result["1000000"], "claim")}, "≤ 1.1x", lambda x: x <= 1.1, "{:.2f}x"
    if len(result) > 1:
        costs = [figures["per_email_us"] for figures in result.values()]
        what = "claim and record per email, largest campaign against smallest"
        yield what, {"": costs[-1] / costs[0]}, "≤ 1.1x", lambda x: x <= 1.1, "{:.2f}x"
