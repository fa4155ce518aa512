"""`./dev bench`: runs tables of measurements and writes BENCHMARKS.md. See benches/README.md."""

import argparse
import datetime
import json
import os
import sys
from pathlib import Path

from harness.bench import Bench
from harness.database import ROOT, Server
from harness.machine import commit, machine, versions
from harness.page import page
from harness.rounds import note
from tables import events, function, growth, limits, pace, peers, round_trips, sizes

TABLES = {module.NAME: module for module in (peers, sizes, limits, round_trips, growth, pace, events, function)}


def main():
    arguments = parse()
    server = Server(os.environ["DATABASE_URL"])
    results = Path(arguments.target) / "bench" / ("quick" if arguments.quick else "full")
    results.mkdir(parents=True, exist_ok=True)
    bench = Bench(server, arguments.target, arguments.functions, arguments.quick, arguments.rounds)
    try:
        for name in arguments.tables or TABLES:
            note(f"== {name}")
            result = TABLES[name].run(bench)
            run = {
                "date": datetime.date.today().isoformat(),
                "commit": commit(),
                "rounds": arguments.rounds,
                "result": result,
            }
            (results / f"{name}.json").write_text(json.dumps(run, indent=1))
            for table in TABLES[name].tables(result):
                print(table.markdown(), end="\n\n", flush=True)
        stored = {file.stem: json.loads(file.read_text()) for file in results.glob("*.json")}
        # A short check says that the benches work, and nothing of speed.
        file = results / "BENCHMARKS.md" if arguments.quick else ROOT / "BENCHMARKS.md"
        before = file.read_text() if file.exists() else ""
        text = page(stored, TABLES.values(), machine(), versions(server), before)
    finally:
        server.close()
    file.write_text(text)
    note(f"wrote {file}")


def parse():
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measures, and writes BENCHMARKS.md.")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; all unless named")
    parser.add_argument("--quick", action="store_true", help="a short check that the benches work")
    parser.add_argument("--rounds", type=int, help="rounds of the tables that have any; 5 unless given")
    parser.add_argument("--target", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--functions", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in arguments.tables:
        if name not in TABLES:
            parser.error(f"there is no table {name}; expected one of {', '.join(TABLES)}")
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 5)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
