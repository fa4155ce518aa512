"""BENCHMARKS.md, from the results of the last run of each table."""

from .report import Table

INTRODUCTION = """\
# Benchmarks

`./dev bench` writes this page; do not edit it by hand. [benches/README.md](benches/README.md) says what is run and \
how it is kept fair. [SCALE.md](SCALE.md) says what follows for large volumes.
"""
METHOD = """\
All contestants of a table run on one machine in one run. If a heading mentions rounds, the contestants are \
interleaved (A B C A B C …), and figures are medians, with the minimum and maximum of all rounds in brackets. `growth` \
has medians over turns, and `pace` has one run of each row. Tables may come from different commits, which each heading \
names. Each run has its own database, copied from a migrated one, and its own SES endpoint on this machine, which \
verifies signatures. The sender, PostgreSQL and the endpoint share the processor. Processor time is the sender's own \
(user and system time by `wait4`, including its children, without its start and imports); memory is `VmHWM`. After \
each run the endpoint's mailbox and the tables are compared: every recipient has one message, all senders sent the \
same messages, and everything sent is recorded.
"""


def page(stored, modules, machine, versions, before):
    """`before`: the page as it was, of which tables that were not run again are kept."""
    sections = {title.split(":")[0]: f"## {title}" for title in before.split("\n## ")[1:]}
    parts = [INTRODUCTION, "## The machine and the versions\n", two_columns({**machine, **versions}), ""]
    parts += ["## Method\n", METHOD, "## Targets\n"]
    for table in target_tables(stored, modules, before):
        parts += [table.markdown(), ""]
    for module in modules:
        if module.NAME not in stored:
            parts += [sections[module.NAME].rstrip() + "\n"] if module.NAME in sections else []
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


def target_tables(stored, modules, before):
    """The targets by way of sending, and the others. Those of tables that were not run are as `before`."""
    ways = [(api, size) for api in ("bulk", "single") for size in (500, 5000)]
    sending = Table(
        None,
        ["sending", "target", *(f"{api}, {size:,}" for api, size in ways), "reached"],
        "The columns are `SendBulkEmail` and `SendEmail` in batches of 500 and 5,000; Node's same design has batches of the"
        " same size. A target is reached when one column reaches it.",
    )
    rest = Table(
        None,
        ["the rest", "target", "figure", "reached"],
        "Where a target is not reached, [benches/README.md](benches/README.md#what-stands-in-the-way) says why, with"
        " profiles.",
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
    for table in (sending, rest):
        keep_rows(table, before)
    return [sending, rest]


def keep_rows(table, before):
    """Adds the rows of the same table in `before` that the table does not have."""
    _, _, rows = before.partition(Table(None, table.head).markdown())
    known = {row[0] for row in table.rows}
    for line in rows.strip("\n").split("\n"):
        if not line.startswith("|"):
            return
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] not in known:
            table.row(*cells)
