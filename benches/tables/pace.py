"""The rate of the account: how much of it is used, and how often it is overrun, by lanes that share it."""

import math
import threading
from datetime import datetime

from harness.report import Table
from harness.rounds import note

NAME = "pace"
RATES = (14, 100, 1000, 5000)
LANES = (1, 4, 16)


def run(bench):
    rates = (100, 1000) if bench.quick else RATES
    lanes = (1, 4) if bench.quick else LANES
    runs = []
    for rate in rates:
        for lane_count in lanes:
            for campaigns in (1, 2):
                runs.append(one(bench, rate, lane_count, campaigns))
                note(runs[-1])
    return runs


def one(bench, rate, lane_count, campaigns):
    """Lanes (each a process of its own) send until every campaign is done; with one lane per campaign at least."""
    seconds = 3 if bench.quick else 30 if rate < 100 else 12
    emails = math.ceil(rate * seconds / campaigns)
    lane_count = max(lane_count, campaigns)
    size = max(1, min(500, emails * campaigns // lane_count // 4))
    # The endpoint lets a second's worth through at once, and then the rate; it says so by GetAccount.
    bucket = {"perSecond": rate, "burst": rate}
    with (
        bench.server.database(emails, campaigns) as database,
        bench.ses(account={"maxSendRate": rate}, rate=bucket) as ses,
    ):
        functions = [bench.function(database.url, ses) for _ in range(lane_count)]
        failures = []
        threads = [
            threading.Thread(target=drive, args=(function, database.campaigns[index % campaigns], size, failures))
            for index, function in enumerate(functions)
        ]
        for function in functions:
            function.wait_ready()
            function.process.begin()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for function in functions:
            function.process.end()
            function.close()
        if failures:
            raise failures[0]
        statistics = ses.get("statistics")
        accepted = statistics["accepted"]
        # Each campaign writes to the same addresses.
        received_each = set(ses.get("duplicates").values()) or {1}
        if accepted != emails * campaigns or received_each != {campaigns}:
            raise RuntimeError(f"{accepted} accepted of {emails * campaigns}, {received_each} per address")
        took = received(ses.message(accepted)) - received(ses.message(1))
    return {
        "rate": rate,
        "lanes": lane_count,
        "campaigns": campaigns,
        "achieved": (accepted - 1) / took.total_seconds() / rate,
        "refused": statistics["throttled"] / (accepted + statistics["throttled"]),
        "seconds": took.total_seconds(),
    }


def drive(function, campaign, size, failures):
    try:
        for _ in function.drive({"campaignId": campaign, "batchSize": size}):
            pass
    except Exception as error:  # noqa: BLE001 (a thread hands its failure to the one that joins it)
        failures.append(error)


def received(message):
    return datetime.fromisoformat(message["received"])


def tables(result):
    note_text = (
        "Achieved: messages accepted from the first to the last, by the time between them, to the allowed rate"
        " (above 100 % where the bucket's burst was used)."
        " Refused: of all attempts, those answered 'Maximum sending rate exceeded'. The endpoint's bucket holds"
        " one second of the rate. A lane is a process that is invoked again with `next`, as Step Functions does."
    )
    table = Table(None, ["rate, per second", "lanes", "campaigns", "achieved", "refused", "seconds"], note_text)
    for figures in result:
        table.row(
            f"{figures['rate']:,}",
            figures["lanes"],
            figures["campaigns"],
            f"{figures['achieved']:.1%}",
            f"{figures['refused']:.2%}",
            f"{figures['seconds']:.1f}",
        )
    yield table


def targets(result):
    least = min(figures["achieved"] for figures in result)
    yield (
        "share of the allowed rate that is used, the least of all runs",
        {"": least},
        "≥ 98 %",
        lambda x: x >= 0.98,
        "{:.1%}",
    )
    most = max(figures["refused"] for figures in result)
    yield "attempts refused for the rate, the most of all runs", {"": most}, "< 0.1 %", lambda x: x < 0.001, "{:.2%}"
