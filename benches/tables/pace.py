"""The rate of the account: how much of it is used, and how often it is overrun, by lanes that share it."""

import math
from datetime import datetime

from harness.lanes import Lane, drive
from harness.report import Table
from harness.rounds import note
from harness.ses import enforcing, refused

from . import pace_beside

NAME = "pace"
# How often what is in the table is run, for the page.
RUNS = "one run of each row"
RATES = (14, 100, 1000, 5000)
LANES = (1, 4, 16)
# What the endpoint's bucket holds, of what it lets through in a second, at most and at the start; whether the account
# says its rate; and the rates and lanes that are tried.
ENDPOINTS = {
    "the bucket holds a tenth of a second": (0.1, 0.1, True, ((14, 4), (100, 1), (1000, 4))),
    "the bucket is empty at the start": (1, 0, True, ((14, 1), (100, 4), (1000, 4))),
    "the account does not state its rate": (1, 1, False, ((100, 1), (1000, 4))),
}


def run(bench):
    return {"rates": rates(bench), "endpoints": endpoints(bench), "beside": pace_beside.run(bench)}


def rates(bench):
    runs = []
    for rate in (100, 1000) if bench.quick else RATES:
        for lanes in LANES[:2] if bench.quick else LANES:
            for campaigns in (1, 2):
                runs.append(one(bench, rate, lanes, campaigns))
                note(runs[-1])
    return runs


def endpoints(bench):
    runs = []
    for name, (burst, tokens, says, ways) in ENDPOINTS.items():
        for rate, lanes in ways[-1:] if bench.quick else ways:
            figures = one(bench, rate, lanes, 1, enforcing(rate, burst, tokens, says))
            runs.append({"endpoint": name, **figures})
            note(runs[-1])
    return runs


def one(bench, rate, lanes, campaigns, how=None):
    """Lanes (each a process of its own) send until every campaign is done; with one lane per campaign at least."""
    seconds = 3 if bench.quick else 30 if rate < 100 and how is None else 12
    emails = math.ceil(rate * seconds / campaigns)
    lanes = max(lanes, campaigns)
    size = max(1, min(500, emails * campaigns // lanes // 4))
    with bench.server.database(emails, campaigns) as database, bench.ses(**(how or enforcing(rate))) as ses:
        drive(bench, database, ses, [Lane(database.campaigns[n % campaigns], size) for n in range(lanes)])
        accepted = ses.get("statistics")["accepted"]
        # Each campaign writes to the same addresses.
        received_each = set(ses.get("duplicates").values()) or {1}
        if accepted != emails * campaigns or received_each != {campaigns}:
            raise RuntimeError(f"{accepted} accepted of {emails * campaigns}, {received_each} per address")
        too_fast = refused(ses)
        took = received(ses.message(accepted)) - received(ses.message(1))
    return {
        "rate": rate,
        "lanes": lanes,
        "campaigns": campaigns,
        "achieved": (accepted - 1) / took.total_seconds() / rate,
        "refused": too_fast,
        "seconds": took.total_seconds(),
    }


def received(message):
    return datetime.fromisoformat(message["received"])


def tables(result):
    yield rates_table(result["rates"])
    yield endpoints_table(result["endpoints"])
    yield pace_beside.table(result["beside"])


def rates_table(runs):
    note_text = (
        "Achieved: accepted messages per second between the first and the last, relative to the allowed rate"
        " (above 100 % if the bucket's burst was used)."
        " Refused: the part of all attempts that got 'Maximum sending rate exceeded'. The endpoint's bucket holds"
        " one second of the rate. A lane is a process that is invoked again with `next`, as Step Functions does."
    )
    table = Table(None, ["rate, per second", "lanes", "campaigns", "achieved", "refused", "seconds"], note_text)
    for figures in runs:
        table.row(f"{figures['rate']:,}", figures["lanes"], figures["campaigns"], *reached(figures))
    return table


def endpoints_table(runs):
    table = Table(
        "Other endpoints",
        ["endpoint", "rate, per second", "lanes", "achieved", "refused", "seconds"],
        "The figures are as above, with one campaign and without a target. If the bucket holds less than what the function"
        " may catch up at once (a quarter of a second), it refuses some messages until the function has learned its"
        " size. If the account does not state its rate, each process finds it by refusals, and again each time that its"
        " estimate has grown too far. `SES_MAX_SEND_RATE` avoids these refusals.",
    )
    for figures in runs:
        table.row(figures["endpoint"], f"{figures['rate']:,}", figures["lanes"], *reached(figures))
    return table


def reached(figures):
    return f"{figures['achieved']:.1%}", f"{figures['refused']:.2%}", f"{figures['seconds']:.1f}"


def targets(result):
    least = min(figures["achieved"] for figures in result["rates"])
    yield (
        "share of the allowed rate that is used, the least of all runs",
        {"": least},
        "≥ 98 %",
        lambda x: x >= 0.98,
        "{:.1%}",
    )
    most = max(figures["refused"] for figures in result["rates"])
    yield "attempts refused for the rate, the most of all runs", {"": most}, "< 0.1 %", lambda x: x < 0.001, "{:.2%}"
