"""BENCHMARKS.md, from the results of the last run of each table."""

from .report import Table

INTRODUCTION = """\
# Benchmarks

Written by `./dev bench`; not edited by hand. What is run and how it is kept fair: \
[benches/README.md](benches/README.md). What follows from it for large volumes: \
[SCALE.md](SCALE.md).
"""
METHOD = """\
All contestants of a table run on one machine in one run. Where a heading speaks of rounds they are interleaved \
(A B C A B C …), and figures are medians, with the least and the most of all rounds in brackets. `growth` has medians \
over turns, `pace` one run of each row. The tables may be of different commits, which are noted under each heading. \
Each run has a database of its own, copied from one that has the migrations, and an SES endpoint of its own on this \
machine, which verifies signatures. The sender, PostgreSQL and the endpoint share the processor. Processor time is \
the sender's own (user and system, by `wait4`, its children's included, its start and imports not), memory is \
`VmHWM`. After each run the endpoint's mailbox and the tables are compared: every recipient has one message, all \
senders sent the same ones, and what was sent is recorded.
"""


def page(stored, modules, machine, versions):
    parts = [INTRODUCTION, "## The machine and the versions\n", two_columns({**machine, **versions}), ""]
    parts += ["## Method\n", METHOD, "## Targets\n"]
    for table in target_tables(stored, modules):
        parts += [table.markdown(), ""]
    for module in modules:
        if module.NAME not in stored:
            continue
        run = stored[module.NAME]
        parts += [f"## {module.NAME}: {module.__doc__.strip().rstrip('.')}\n"]
        runs = module.RUNS.format(rounds=run["rounds"])
        parts += [f"`./dev bench {module.NAME}`, {runs}, {run['date']}, at {run['commit']}.\n"]
        for table in module.tables(run["result"]):
            parts += [table.markdown(), ""]
    return "\n".join(parts).rstrip() + "\n"


def two_columns(values):
    table = Table(None, ["", ""])
    for name, value in values.items():
        table.row(name, value)
    return table.markdown()


def target_tables(stored, modules):
    """What depends on how is sent, and the rest."""
    ways = [(api, size) for api in ("bulk", "single") for size in (500, 5000)]
    sending = Table(
        None,
        ["sending", "target", *(f"{api}, {size:,}" for api, size in ways), "reached"],
        "By `SendBulkEmail` and by `SendEmail`, in batches of 500 and of 5,000; those of Node's same design have the"
        " same size. A target is reached when one of them reaches it.",
    )
    rest = Table(
        None,
        ["the rest", "target", "figure", "reached"],
        "What stands in the way where one is not reached, with profiles: "
        "[benches/README.md](benches/README.md#what-stands-in-the-way).",
    )
    for module in modules:
        if module.NAME not in stored:
            continue
        for what, values, target, holds, form in module.targets(stored[module.NAME]["result"]):
            reached = "yes" if any(holds(value) for value in values.values()) else "no"
            if "" in values:
                rest.row(what, target, form.format(values[""]), reached)
            else:
                cells = [form.format(values[way]) if way in values else "" for way in ways]
                sending.row(what, target, *cells, reached)
    return [sending, rest]
