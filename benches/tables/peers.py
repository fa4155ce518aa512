"""Against the usual way: the same campaign by send-batch, by Node and by Python, at three latencies of SES."""

from harness.report import Table, number
from harness.rounds import interleave, median, note, spread

NAME = "peers"
LATENCIES = (0, 20, 50)
# Contestant: how it is run, and what it is.
FUNCTIONS = {
    "send-batch bulk 500": ("bulk", 500, "send-batch, SendBulkEmail, batches of 500"),
    "send-batch bulk 5000": ("bulk", 5000, "send-batch, SendBulkEmail, batches of 5,000"),
    "send-batch single 500": ("single", 500, "send-batch, SendEmail, batches of 500"),
    "send-batch single 5000": ("single", 5000, "send-batch, SendEmail, batches of 5,000"),
}
PEERS = {
    "node loop": "Node, the usual loop (drizzle-orm, SDK)",
    "node batched": "Node, the design of send-batch (pg, SDK)",
    "python loop": "Python, the usual loop (psycopg, boto3)",
    "python batched": "Python, the design of send-batch (psycopg, boto3)",
}
HEAD = ["sender", "recipients", "emails/s", "CPU per email, µs", "peak memory, MB", "send-batch (bulk) to it"]


def emails(contestant, latency, quick):
    """Slow ones send fewer: what is compared is emails per second."""
    if contestant.endswith("loop"):
        return 50 if quick else {0: 2000, 20: 500, 50: 300}[latency]
    if quick:
        return 200 if contestant in PEERS else 1000
    return 10_000


def run(bench):
    latencies = (0,) if bench.quick else LATENCIES
    return {str(latency): at_latency(bench, latency) for latency in latencies}


def at_latency(bench, latency):
    def once(contestant):
        count = emails(contestant, latency, bench.quick)
        with bench.server.database(count) as database, bench.ses(latency_ms=latency) as ses:
            if contestant in FUNCTIONS:
                api, batch_size, _ = FUNCTIONS[contestant]
                return bench.send_by_function(database, ses, count, batch_size, api)
            return bench.send_by_peer(database, ses, count, contestant)

    note(f"SES answers after {latency} ms")
    return {
        contestant: {
            "emails": samples[0].emails,
            "rate": [sample.rate for sample in samples],
            "cpu_us": [sample.cpu_us for sample in samples],
            "peak_mb": [sample.peak_mb for sample in samples],
        }
        for contestant, samples in interleave(bench.rounds, [*FUNCTIONS, *PEERS], once).items()
    }


def tables(result):
    for latency, contestants in result.items():
        ours = median(contestants["send-batch bulk 500"]["rate"])
        table = Table(f"SES answers after {latency} ms", HEAD)
        for contestant, figures in contestants.items():
            title = FUNCTIONS[contestant][2] if contestant in FUNCTIONS else PEERS[contestant]
            table.row(
                title,
                number(figures["emails"]),
                spread(figures["rate"], number),
                spread(figures["cpu_us"], number),
                spread(figures["peak_mb"], number),
                f"{ours / median(figures['rate']):,.1f}x",
            )
        yield table


def targets(result):
    """(what, target, {api: reached value}, unit, at least) of the table of targets."""
    for latency, least in (("0", (40, 15)), ("20", (200, 8))):
        if latency not in result:
            continue
        for peer, target in zip(("node loop", "node batched"), least):
            what = f"emails/s at {latency} ms, against {PEERS[peer]}"
            yield what, ratios(result[latency], "rate", peer), f"≥ {target}x", lambda x, t=target: x >= t, "{:,.1f}x"
    if "0" in result:
        shares = {api: 1 / ratio for api, ratio in ratios(result["0"], "cpu_us", "node batched").items()}
        what = f"CPU per email against {PEERS['node batched']}"
        yield what, shares, "≤ 1/50", lambda x: x >= 50, "1/{:,.0f}"


def ratios(contestants, figure, peer):
    theirs = median(contestants[peer][figure])
    return {api: median(contestants[f"send-batch {api} 500"][figure]) / theirs for api in ("bulk", "single")}
