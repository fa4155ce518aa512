"""Newsletters of real size: a body of 2, 20 and 100 kB, with its own text part and with one that is derived."""

from harness.newsletter import newsletter
from harness.report import Table, number
from harness.rounds import interleave, median, note, spread

NAME = "sizes"
# How often what is in the table is run, for the page.
RUNS = "{rounds} rounds"
SIZES = (2_000, 20_000, 100_000)
# Contestant: how it is run, in which batches, whether the text part is the campaign's own, and what it is.
FUNCTIONS = {
    "send-batch bulk": ("bulk", 1000, True, "send-batch, SendBulkEmail, own text"),
    "send-batch bulk derived": ("bulk", 1000, False, "send-batch, SendBulkEmail, derived text"),
    "send-batch bulk 5000": ("bulk", 5000, True, "send-batch, SendBulkEmail, own text, batches of 5,000"),
    "send-batch bulk 5000 derived": ("bulk", 5000, False, "send-batch, SendBulkEmail, derived text, batches of 5,000"),
    "send-batch single": ("single", 1000, True, "send-batch, SendEmail, own text"),
}
PEERS = {
    "node bulk": "Node, the design of send-batch with SendBulkEmail, own text",
    "node batched": "Node, the design of send-batch (pg, SDK), own text",
    "python batched": "Python, the design of send-batch (psycopg, boto3), own text",
}
HEAD = ["sender", "emails/s", "CPU per email, µs", "bytes to SES per email", "largest request, bytes", "peak memory, MB"]
NOTE = (
    "Batches of 1,000 where nothing else is said. Bytes are those of request bodies. Node's bulk calls carry as many"
    " entries as fit into the 1,000,000 bytes that a request with an inline template may have."
)


def emails(contestant, size, quick):
    """The endpoint keeps all bodies: larger ones are sent to fewer."""
    if quick:
        return 100 if contestant in PEERS else 500
    if contestant in PEERS or contestant.endswith("single"):
        return 2_000 if size < 100_000 else 500
    return 10_000 if size < 100_000 else 5_000


def run(bench):
    sizes = SIZES[:2] if bench.quick else SIZES
    return {str(size): of_size(bench, size) for size in sizes}


def of_size(bench, size):
    note(f"a body of {size:,} bytes")
    html = newsletter(size)

    def once(contestant):
        count = emails(contestant, size, bench.quick)
        own_text = contestant in PEERS or FUNCTIONS[contestant][2]
        with bench.server.database() as database, bench.ses() as ses:
            database.campaigns = [database.load(count, html=html, own_text=own_text)]
            database.finish_loading()
            # Messages are compared among those of one body.
            bench.messages = compared.setdefault(own_text, {})
            if contestant in PEERS:
                sample = bench.send_by_peer(database, ses, count, contestant, 1000)
            else:
                api, batch_size, *_ = FUNCTIONS[contestant]
                sample = bench.send_by_function(database, ses, count, batch_size, api)
            statistics = ses.get("statistics")
            return Sized(sample, statistics["sendBytes"] / count, statistics["largestSend"])

    compared = {}
    return {
        contestant: {
            "rate": [sized.sample.rate for sized in samples],
            "cpu_us": [sized.sample.cpu_us for sized in samples],
            "peak_mb": [sized.sample.peak_mb for sized in samples],
            "bytes": samples[0].bytes,
            "largest": max(sized.largest for sized in samples),
        }
        for contestant, samples in interleave(bench.rounds, [*FUNCTIONS, *PEERS], once).items()
    }


class Sized:
    """One run, and the bytes of its requests."""

    def __init__(self, sample, per_email, largest):
        self.sample, self.bytes, self.largest = sample, per_email, largest

    def __str__(self):
        return f"{self.sample}, {self.bytes:,.0f} bytes per email, {self.largest:,} at most"


def tables(result):
    for size, contestants in result.items():
        table = Table(f"A body of {int(size) // 1000} kB", HEAD, NOTE)
        for contestant, figures in contestants.items():
            table.row(
                PEERS.get(contestant) or FUNCTIONS[contestant][3],
                spread(figures["rate"], number),
                spread(figures["cpu_us"], number),
                number(figures["bytes"]),
                number(figures["largest"]),
                spread(figures["peak_mb"], number),
            )
        yield table


def targets(result):
    """(what, {(api, size of batch): reached value}, target, whether a value reaches it, form)."""
    large, middle, small = (result.get(str(size)) for size in reversed(SIZES))
    if large and small:
        for contestant, text, most in (("send-batch bulk", "own", 40), ("send-batch bulk derived", "derived", 70)):
            value = {"": median(large[contestant]["cpu_us"])}
            yield f"CPU per email at 100 kB, {text} text", value, f"≤ {most} µs", lambda x, m=most: x <= m, "{:.1f} µs"
        share = median(large["send-batch bulk"]["rate"]) / median(small["send-batch bulk"]["rate"])
        yield "emails/s at 100 kB to those at 2 kB", {"": share}, "≥ 0.85", lambda x: x >= 0.85, "{:.2f}"
        value = {"": large["send-batch bulk"]["bytes"]}
        yield "bytes to SES per email at 100 kB, own text", value, "≤ 6,000", lambda x: x <= 6_000, "{:,.0f}"
        peak = {"": max(large["send-batch bulk 5000"]["peak_mb"] + large["send-batch bulk 5000 derived"]["peak_mb"])}
        yield "peak memory, batch of 5,000 at 100 kB", peak, "≤ 48 MB", lambda x: x <= 48, "{:.1f} MB"
    if middle:
        for peer, ours, least in (("node batched", "send-batch bulk", 40), ("node bulk", "send-batch bulk", 10)):
            what = f"emails/s at 20 kB, against {PEERS[peer].removesuffix(', own text')}"
            ratio = {"": median(middle[ours]["rate"]) / median(middle[peer]["rate"])}
            yield what, ratio, f"≥ {least}x", lambda x, t=least: x >= t, "{:,.1f}x"
    largest = max(figures["largest"] for contestants in result.values() for figures in contestants.values())
    yield "largest request", {"": largest}, "< 1,000,000 bytes", lambda x: x < 1_000_000, "{:,.0f}"
