"""The function itself: from the start to the first request for work, its size, its memory."""

import io
import time
import zipfile

from harness.bench import command
from harness.process import Process
from harness.report import Table, number
from harness.rounds import interleave, median, note, spread

NAME = "function"
# How often what is in the table is run, for the page.
RUNS = "40 rounds of starts, {rounds} of memory"
NOTHING = "/bin/true"
STARTS = {
    NOTHING: "`true`, until it has ended",
    "send-batch": "send-batch, until it asks for work",
    "node loop": "Node, until its imports are done",
    "python loop": "Python, until its imports are done",
}


def run(bench):
    return {"starts": starts(bench), "sizes": sizes(bench), "memory": memory(bench)}


def starts(bench):
    times = 2 if bench.quick else 40
    with bench.server.database(1) as database, bench.ses() as ses:

        def once(who):
            if who == "send-batch":
                function = bench.function(database.url, ses)
                try:
                    ready = function.wait_ready()
                    function.process.begin()
                    function.process.end()
                finally:
                    function.close()
                return ready * 1000
            if who == NOTHING:
                started = time.perf_counter()
                Process([NOTHING], {}, speaks=False).child.wait()
                return (time.perf_counter() - started) * 1000
            environment = bench.environment(database.url, ses, CAMPAIGN_ID=database.campaigns[0])
            process = Process(command(who), environment)
            process.begin()
            process.line()
            process.end()
            process.child.kill()
            return process.reap().wall * 1000

        once("send-batch")
        return interleave(times, list(STARTS), once)


def sizes(bench):
    """Bytes of the executables, as they are and zipped as Lambda gets them."""
    found = {"this machine's": bench.send_batch}
    arm64 = bench.target / "lambda" / "send-batch" / "bootstrap"
    if arm64.exists():
        found["arm64, by ./dev build"] = arm64
    else:
        note("no arm64 build in target/lambda: its size is left out")
    return {name: {"binary": path.stat().st_size, "zip": zipped(path)} for name, path in found.items()}


def zipped(path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(path, "bootstrap")
    return len(buffer.getvalue())


def memory(bench):
    """Peak bytes in a campaign of two batches of 5,000."""
    size = 500 if bench.quick else 5000

    def once(api):
        with bench.server.database(2 * size) as database, bench.ses() as ses:
            return bench.send_by_function(database, ses, 2 * size, size, api).usage.peak

    return {"batch": size, "peak": interleave(bench.rounds, ["bulk", "single"], once)}


def tables(result):
    table = Table(
        "From the start of the process",
        ["process", "ms"],
        "The files are in the page cache. Each figure includes the start of a process, which `true` shows.",
    )
    for who, times in result["starts"].items():
        table.row(STARTS[who], spread(times, number))
    yield table
    table = Table("Size", ["executable", "MB", "zipped, MB"])
    for name, size in result["sizes"].items():
        table.row(f"send-batch, {name}", number(size["binary"] / 1e6), number(size["zip"] / 1e6))
    yield table
    table = Table(
        f"Peak memory, batches of {number(result['memory']['batch'])}", ["API", "MB"], "`VmHWM` of the process."
    )
    for api, peaks in result["memory"]["peak"].items():
        table.row(api, spread([peak / 1e6 for peak in peaks], number))
    yield table


def targets(result):
    ready = median(result["starts"]["send-batch"])
    yield "start to ready (process, warm cache)", {"": ready}, "≤ 3 ms", lambda x: x <= 3, "{:.2f} ms"
    if result["memory"]["batch"] == 5000:
        peaks = {(api, 5000): max(peaks) / 1e6 for api, peaks in result["memory"]["peak"].items()}
        yield "peak memory, batch of 5,000", peaks, "≤ 32 MB", lambda x: x <= 32, "{:.1f} MB"
    for name, size in result["sizes"].items():
        yield f"function size, zipped, {name}", {"": size["zip"] / 1e6}, "≤ 4 MB", lambda x: x <= 4, "{:.2f} MB"
