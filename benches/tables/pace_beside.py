"""Part of `pace`: what campaigns beside each other have of the rate."""

import uuid

from harness.lanes import Lane, drive
from harness.report import Table
from harness.rounds import note
from harness.ses import enforcing, refused

RATE = 100
# Recipients of the small campaign, and how many seconds it comes after the huge one.
SMALL = 60
AFTER = 3


def run(bench):
    seconds = 6 if bench.quick else 60
    figures = {"seconds": seconds, "organizations": organizations(bench, seconds), "small": small(bench, seconds)}
    note(figures)
    return figures


def organizations(bench, seconds):
    """Three campaigns of one organization and one of another; what each sends in the second half of the time."""
    owners = [str(uuid.uuid4()) for _ in range(2)]
    with bench.server.database() as database, bench.ses(**enforcing(RATE)) as ses:
        # None of them is done by then, even if it had all of the rate.
        recipients = RATE * seconds * 2
        campaigns = [database.load(recipients, owner) for owner in (*owners[:1] * 3, owners[1])]
        database.finish_loading()
        batch = 10 if bench.quick else 100
        drive(bench, database, ses, [Lane(each, batch, endless=True) for each in campaigns * 2], seconds)
        sent = sent_between(database, seconds / 2, seconds)
        return {"sent": [sent[owner] for owner in owners], "refused": refused(ses)}


def sent_between(database, start, end):
    """Recipients by organization, in a span of seconds after the first one of all."""
    with database.connect() as connection:
        rows = connection.execute(
            "WITH begun AS (SELECT min(sent_at) AS at FROM campaign_recipients)"
            " SELECT r.organization_id::text, count(*) FROM campaign_recipients AS r, begun AS b"
            "  WHERE r.sent_at >= b.at + make_interval(secs => %s) AND r.sent_at < b.at + make_interval(secs => %s)"
            "  GROUP BY 1",
            [start, end],
        )
        return dict(rows.fetchall())


def small(bench, seconds):
    """A huge campaign with four lanes, and a small one of another organization that comes later with one."""
    with bench.server.database() as database, bench.ses(**enforcing(RATE)) as ses:
        huge = database.load(RATE * seconds * 2, str(uuid.uuid4()))
        campaign = database.load(SMALL, str(uuid.uuid4()))
        database.finish_loading()
        lane = Lane(campaign, SMALL, after=AFTER)
        drive(bench, database, ses, [lane, *(Lane(huge, 100, endless=True) for _ in range(4))])
        sent, _ = database.sent(campaign)
        if sent != SMALL or database.sent(huge)[0] == RATE * seconds * 2:
            raise RuntimeError(f"{sent} of the {SMALL} were sent, or the huge campaign was done before them")
        return {"seconds": lane.seconds, "refused": refused(ses)}


def table(result):
    sent, seconds = result["organizations"]["sent"], result["seconds"]
    found = Table(
        "Campaigns beside each other",
        [f"campaigns, at {RATE} a second", "figure", "reached", "refused"],
        f"The first two rows are one run of {seconds} s with eight lanes, two for each campaign. Shares are of the messages"
        " accepted in the second half of the run; a fair share is half each. The small campaign starts"
        f" {AFTER} s after the huge one, which has the whole rate until then. Its time is from its first"
        f" invocation until it is `sent`; at half of the rate its recipients take {SMALL / RATE * 2:.1f} s.",
    )
    for name, count in zip(("three of one organization", "one of another organization, beside them"), sent):
        share = f"{count / sum(sent):.1%}"
        found.row(name, "share of what was accepted", share, f"{result['organizations']['refused']:.2%}")
    name = f"one of {SMALL} recipients, beside a huge one of another organization with four lanes"
    found.row(
        name, "seconds until it is done", f"{result['small']['seconds']:.1f}", f"{result['small']['refused']:.2%}"
    )
    return found
