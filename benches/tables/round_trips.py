"""PostgreSQL beside the function and across a network, in batches of several sizes."""

from contextlib import ExitStack

from harness.proxy import Proxy, round_trip_ms
from harness.report import Table, number
from harness.rounds import interleave, median, spread

NAME = "round-trips"
# How often what is in the table is run, for the page.
RUNS = "{rounds} rounds"
SIZES = (100, 500, 1000, 5000, 10_000)
ROUND_TRIPS = (0, 1.25)
APIS = ("bulk", "single")


def run(bench):
    emails = 1000 if bench.quick else 10_000
    sizes = (100, 1000) if bench.quick else SIZES
    apis = ("single",) if bench.quick else APIS
    contestants = [(api, size, delay) for api in apis for size in sizes for delay in ROUND_TRIPS]
    measured = {}

    def once(contestant):
        api, size, delay = contestant
        with ExitStack() as stack:
            database = stack.enter_context(bench.server.database(emails))
            ses = stack.enter_context(bench.ses())
            url = database.url
            if delay:
                proxy = stack.enter_context(Proxy(bench.server.url, delay))
                url = bench.server.at(database.name, proxy.address)
            measured.setdefault(delay, []).append(round_trip_ms(url))
            return bench.send_by_function(database, ses, emails, size, api, url)

    results = interleave(bench.rounds, contestants, once)
    return {
        "emails": emails,
        "round_trip": {str(delay): median(times) for delay, times in measured.items()},
        "rates": [
            {"api": api, "size": size, "delay": delay, "rate": [sample.rate for sample in samples]}
            for (api, size, delay), samples in results.items()
        ],
    }


def tables(result):
    heads = [f"emails/s, {measured:.2f} ms away" for measured in result["round_trip"].values()]
    note = (
        f"{number(result['emails'])} recipients, SES at 0 ms. The round trip is what `SELECT` takes from here;"
        " the longer one is through a proxy that holds each direction."
    )
    table = Table(None, ["API", "batch", *heads, "far to near"], note)
    for near, far in zip(result["rates"][::2], result["rates"][1::2]):
        table.row(
            near["api"],
            number(near["size"]),
            spread(near["rate"], number),
            spread(far["rate"], number),
            f"{median(far['rate']) / median(near['rate']):.0%}",
        )
    yield table


def targets(_):
    return ()
