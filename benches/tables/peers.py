"""Against the usual way: the same campaign by send-batch, by Node and by Python, at three latencies of SES."""

from harness.report import Table, number
from harness.rounds import interleave, median, note, spread

NAME = "peers"
# How often what is in the table is run, for the page.
RUNS = "{rounds} rounds"
LATENCIES = (0, 20, 50)
SIZES = (500, 5000)
# Contestant: how it is run, and what it is.
FUNCTIONS = {
    f"send-batch {api} {size}": (api, size, f"send-batch, {call}, batches of {size:,}")
    for api, call in (("bulk", "SendBulkEmail"), ("single", "SendEmail"))
    for size in SIZES
}
PEERS = {
    "node loop": ("node loop", 10, "Node, the usual loop (drizzle-orm, SDK)"),
    **{
        f"node {peer} {size}": (f"node {peer}", size, f"Node, the design of send-batch{call}, batches of {size:,}")
        for peer, call in (("batched", " (pg, SDK)"), ("bulk", " with SendBulkEmail"))
        for size in SIZES
    },
    "python loop": ("python loop", 10, "Python, the usual loop (psycopg, boto3)"),
    "python batched 500": (
        "python batched",
        500,
        "Python, the design of send-batch (psycopg, boto3), batches of 500",
    ),
}
HEAD = ["sender", "recipients", "emails/s", "CPU per email, µs", "peak memory, MB", "send-batch (bulk) to it"]
NAMES = {"node loop": "Node's usual loop", "node batched": "Node with the same design"}
NOTE = (
    "Each row is compared with send-batch in batches of the same size; the loops, whose batches have ten, are compared"
    " with batches of 500. The ratio to Node's same design has two parts. The difference between its two rows is due to"
    " the call; the rest is due to the language, and to what send-batch does itself where Node uses the SDK."
)


def emails(contestant, latency, quick):
    """Slow ones send fewer: what is compared is emails per second."""
    if contestant.endswith("loop"):
        return 50 if quick else {0: 2000, 20: 500, 50: 300}[latency]
    if quick:
        return 200 if contestant in PEERS else 1000
    return 3000 if contestant.startswith("python") else 10_000


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
            peer, batch_size, _ = PEERS[contestant]
            return bench.send_by_peer(database, ses, count, peer, batch_size)

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
        table = Table(f"SES answers after {latency} ms", HEAD, NOTE)
        for contestant, figures in contestants.items():
            *_, size, title = {**FUNCTIONS, **PEERS}[contestant]
            ours = contestants[f"send-batch bulk {size if size in SIZES else SIZES[0]}"]["rate"]
            table.row(
                title,
                number(figures["emails"]),
                spread(figures["rate"], number),
                spread(figures["cpu_us"], number),
                spread(figures["peak_mb"], number),
                f"{median(ours) / median(figures['rate']):,.1f}x",
            )
        yield table


def targets(result):
    """(what, {(api, size of batch): reached value}, target, whether a value reaches it, form)."""
    for latency, least in (("0", (40, 15)), ("20", (200, 8))):
        if latency not in result:
            continue
        for peer, target in zip(("node loop", "node batched"), least):
            what = f"emails/s at {latency} ms, against {NAMES[peer]}"
            yield what, ratios(result[latency], "rate", peer), f"≥ {target}x", lambda x, t=target: x >= t, "{:,.1f}x"
    if "0" in result:
        shares = {api: 1 / ratio for api, ratio in ratios(result["0"], "cpu_us", "node batched").items()}
        what = f"CPU per email against {NAMES['node batched']}"
        yield what, shares, "≤ 1/50", lambda x: x >= 50, "1/{:,.0f}"


def ratios(contestants, figure, peer):
    """Ours to theirs, in batches of the same size where the peer has any."""
    found = {}
    for ours, (api, size, _) in FUNCTIONS.items():
        theirs = peer if peer in contestants else f"{peer} {size}"
        if theirs in contestants:
            found[api, size] = median(contestants[ours][figure]) / median(contestants[theirs][figure])
    return found
