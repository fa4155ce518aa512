"""SES's events in ses-events: doubled and shuffled, whether an event costs as much at the end as at the beginning."""

import json
import random
import time

from harness.bench import Wrong
from harness.database import ORGANIZATION
from harness.report import Table, number
from harness.rounds import median, note
from harness.runtime_api import Function

NAME = "events"
# How often what is in the table is run, for the page.
RUNS = "1 run"
# As many as Lambda takes from the queue within a second or two of a campaign, far below what the template allows.
BATCH = 1000
AT = "2026-03-02T09:{minute:02}:{second:02}.000Z"


def run(bench):
    recipients = 1_000 if bench.quick else 20_000
    with bench.server.database(recipients) as database:
        events = shuffled(sent(database))
        note(f"{len(events):,} events, each of {len(events) // 2:,} twice")
        function = Function(
            bench.functions / "ses-events",
            {"DATABASE_URL": database.url, "AWS_REGION": "eu-central-1", "GUARD_MIN_SAMPLE": "100000000"},
        )
        try:
            function.wait_ready()
            function.process.begin()
            times = [deliver(function, batch) for batch in batches(events)]
            function.process.end()
        finally:
            usage = function.close()
        check(database, recipients)
    quarter = len(times) // 4
    per_event = [seconds / BATCH * 1e6 for seconds in times]
    return {
        "events": len(events),
        "distinct": len(events) // 2,
        "first": per_event[:quarter],
        "last": per_event[-quarter:],
        "cpu_us": usage.cpu / len(events) * 1e6,
        "peak_mb": usage.peak / 1e6,
    }


def sent(database):
    """The recipients, as a campaign leaves them: (campaign, id, address)."""
    with database.connect() as connection:
        # Nothing else sends in this database.
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE campaign_recipients SET status = 'sent', message_id = id::text, sent_at = '2026-03-02 09:00Z'"
        )
        connection.execute("UPDATE campaigns SET status = 'sent', sent_count = total_count")
        found = connection.execute("SELECT campaign_id, id, canonical_address(email) FROM campaign_recipients").fetchall()
    database.finish_loading()
    return found


def shuffled(recipients):
    """Five events of each recipient, each of them twice, in any order. The order is the same in every run."""
    events = [event for recipient in recipients for event in of_recipient(*recipient)]
    events += events
    random.Random(20260302).shuffle(events)
    return events


def of_recipient(campaign, recipient, address):
    mail = {
        "timestamp": AT.format(minute=0, second=0),
        "messageId": str(recipient),
        "destination": [address],
        "tags": {
            "campaign_id": [str(campaign)],
            "recipient_id": [str(recipient)],
            "organization_id": [ORGANIZATION],
        },
    }
    at = lambda minute: {"timestamp": AT.format(minute=minute, second=3)}
    agent = {"userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X)"}
    yield {"eventType": "Send", "mail": mail, "send": {}}
    yield {"eventType": "Delivery", "mail": mail, "delivery": {**at(1), "recipients": [address]}}
    yield {"eventType": "Open", "mail": mail, "open": {**at(2), **agent}}
    yield {"eventType": "Open", "mail": mail, "open": {**at(3), **agent}}
    yield {"eventType": "Click", "mail": mail, "click": {**at(4), **agent, "link": "https://example.com/offers"}}


def batches(events):
    for start in range(0, len(events) - BATCH + 1, BATCH):
        records = enumerate(events[start : start + BATCH])
        yield {
            "Records": [
                {"messageId": str(number), "body": json.dumps(event), "eventSource": "aws:sqs"}
                for number, event in records
            ]
        }


def deliver(function, batch):
    """How long the function took for a batch, in seconds."""
    begun_at = time.perf_counter()
    answer = function.invoke(batch)
    seconds = time.perf_counter() - begun_at
    if answer.get("batchItemFailures"):
        raise Wrong(f"{len(answer['batchItemFailures'])} events were not recorded")
    return seconds


def check(database, recipients):
    """Each recipient has a delivery, an open and a click in the timeline once, and its opens are counted."""
    with database.connect() as connection:
        found = connection.execute(
            "SELECT (SELECT count(*) FROM activities WHERE action = 'email_delivered'),"
            " (SELECT count(*) FROM activities WHERE action = 'email_opened'),"
            " (SELECT count(*) FROM activities WHERE action = 'email_clicked'),"
            " (SELECT sum(count) FROM recipient_events WHERE action = 'email_opened')"
        ).fetchone()
    if found != (recipients, recipients, recipients, 2 * recipients):
        raise Wrong(f"deliveries, opens, clicks in the timeline, opens counted: {found}, of {recipients} recipients")


def tables(result):
    table = Table(
        None,
        ["events", "of them different", "first quarter, µs per event", "last quarter", "CPU, µs per event", "peak, MB"],
        f"Batches of {BATCH:,}, one function. Each event comes twice and in any order: of 20,000 recipients a Send, a"
        " Delivery, two Opens and a Click. The timeline is compared with them afterwards. Medians of the batches, with"
        " PostgreSQL's time.",
    )
    table.row(
        number(result["events"]),
        number(result["distinct"]),
        *(number(median(result[part])) for part in ("first", "last")),
        number(result["cpu_us"]),
        number(result["peak_mb"]),
    )
    yield table


def targets(result):
    # In the first quarter most events are new, in the last one most have come before, which costs less.
    ratio = median(result["last"]) / median(result["first"])
    yield "an event in the last quarter of 200,000 against the first", {"": ratio}, "≤ 1.1x", lambda x: x <= 1.1, "{:.2f}x"
