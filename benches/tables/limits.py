"""Against the limits: COPY for the record, a client that only signs and sends, and the network alone."""

import json
import sys
import tempfile
from pathlib import Path

from harness.bench import PEERS, Sample
from harness.database import CAMPAIGN
from harness.process import Process
from harness.report import Table, number
from harness.rounds import interleave, median, spread

NAME = "limits"
# How often what is in the table is run, for the page.
RUNS = "{rounds} rounds of sending, 20 of records (8 of those of 10,000)"
# Activities that are there before, so that the indexes have the depth of a table in use.
EARLIER = """
INSERT INTO activities (organization_id, entity_type, entity_id, action, description, metadata, source, source_ref)
SELECT '7c9e6679-7425-40de-944b-e07fc1f90ae7', 'customer', gen_random_uuid(), 'call_made', 'A call', '{}', 'crm', n
  FROM generate_series(1, %s) AS n
"""
SENDERS = {
    "single": "signing and sending, SendEmail",
    "bulk": "signing and sending, SendBulkEmail of 50",
    "echo": "the network alone, a body out and 300 bytes back",
    "send-batch single 5000": "send-batch, SendEmail, batches of 5,000",
    "send-batch bulk 1000": "send-batch, SendBulkEmail, batches of 1,000",
    "send-batch bulk 5000": "send-batch, SendBulkEmail, batches of 5,000",
}
PATHS = {"single": "/v2/email/outbound-emails", "bulk": "/v2/email/outbound-bulk-emails"}


def run(bench):
    sizes = (100,) if bench.quick else (1000, 10_000)
    return {"record": {str(size): record(bench, size) for size in sizes}, "http": http(bench)}


def record(bench, size):
    """Rounds of record, COPY into the same table, COPY into a bare one."""
    rounds = 3 if bench.quick else 20 if size <= 1000 else 8
    with bench.server.database(size * (rounds + 1)) as database:
        with database.connect() as connection:
            connection.execute(EARLIER, [1000 if bench.quick else 200_000])
        database.finish_loading()
        environment = {"DATABASE_URL": database.url, "CAMPAIGN_ID": database.campaigns[0]}
        process = Process([bench.tool("bench-limits"), "record", size, rounds], environment)
        lines = [json.loads(line) for line in process.child.stdout]
        if process.child.wait() != 0 or not lines:
            raise RuntimeError("bench-limits record failed")
    return {name: [line[name] for line in lines] for name in lines[0]}


def http(bench):
    emails = 1000 if bench.quick else 20_000
    with tempfile.TemporaryDirectory() as directory:
        bodies = {api: Path(directory) / f"{api}.json" for api in ("single", "bulk")}
        write_bodies(bodies["single"], emails, None)
        write_bodies(bodies["bulk"], emails, 50)

        def once(sender):
            if sender.startswith("send-batch"):
                _, api, batch_size = sender.split()
                with bench.server.database(emails) as database, bench.ses() as ses:
                    return bench.send_by_function(database, ses, emails, min(emails, int(batch_size)), api)
            with bench.ses() as ses:
                arguments = ["echo", bodies["single"]] if sender == "echo" else ["http", PATHS[sender], bodies[sender]]
                return send(bench, ses, arguments, emails)

        results = interleave(bench.rounds, list(SENDERS), once)
    return {
        sender: {"rate": [s.rate for s in samples], "cpu_us": [s.cpu_us for s in samples]}
        for sender, samples in results.items()
    }


def send(bench, ses, arguments, emails):
    process = Process([bench.tool("bench-limits"), *arguments], ses.environment)
    assert process.line() == "ready"
    process.begin()
    process.tell("go")
    process.line()
    process.end()
    return Sample(emails, process.reap())


def write_bodies(path, emails, per_call):
    """The requests that the peers send, rendered beforehand: one per email, or one per so many."""
    sys.path.insert(0, str(PEERS / "python"))
    import message

    templates = [(CAMPAIGN / name).read_text().strip() for name in ("subject.txt", "body.html", "body.txt")]
    campaign = {
        **dict(zip(("subject", "html", "text"), templates)),
        "id": "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35",
        "organization_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "name": "Spring harvest",
        "from_address": "Kaffa Coffee <news@kaffa.example>",
        "reply_to": ["hello@kaffa.example"],
        "variables": {"shop": "Kaffa Coffee & Co.", "accent": "#9c4221"},
    }
    compiled = message.compile_templates(campaign)
    requests = []
    for n in range(1, emails + 1):
        recipient = {
            "id": f"00000000-0000-4000-8000-{n:012}",
            "email": f"reader{n}@example.com",
            "name": "Zoë Müller",
            "variables": {"points": n % 900, "favourite": "Yirgacheffe <natural>", "coupon": f"SPRING-{n:08}"},
        }
        content = message.render(compiled, campaign, recipient)
        requests.append((recipient, content, message.request(campaign, recipient, content)))
    with path.open("w") as file:
        for start in range(0, emails, per_call or 1):
            part = requests[start : start + (per_call or 1)]
            body = bulk(campaign, part) if per_call else part[0][2]
            file.write(json.dumps(body, ensure_ascii=False) + "\n")


def bulk(campaign, part):
    _, _, first = part[0]
    return {
        "FromEmailAddress": campaign["from_address"],
        "ReplyToAddresses": campaign["reply_to"],
        "DefaultEmailTags": first["EmailTags"][:2],
        "DefaultContent": {
            "Template": {
                "TemplateContent": {"Subject": "{{subject}}", "Html": "{{{html}}}", "Text": "{{{text}}}"},
                "TemplateData": "{}",
            }
        },
        "BulkEmailEntries": [
            {
                "Destination": request["Destination"],
                "ReplacementTags": request["EmailTags"][2:],
                "ReplacementHeaders": request["Content"]["Simple"]["Headers"],
                "ReplacementEmailContent": {
                    "ReplacementTemplate": {"ReplacementTemplateData": json.dumps(content, ensure_ascii=False)}
                },
            }
            for _, content, request in part
        ],
    }


def tables(result):
    head = [
        "rows",
        "record: recipients, activities, counters, ms",
        "COPY BINARY of the activities, same table, ms",
        "COPY BINARY, unlogged, no index, ms",
        "record to COPY",
        "record to bare COPY",
    ]
    table = Table("The record statement against PostgreSQL's own COPY", head)
    for size, times in result["record"].items():
        ratio, bare = (median(times["record"]) / median(times[name]) for name in ("copy", "bare"))
        table.row(
            number(int(size)),
            *(spread(times[name], number) for name in ("record", "copy", "bare")),
            f"{ratio:.2f}x",
            f"{bare:.2f}x",
        )
    yield table
    shares = shares_of_ceiling(result)
    table = Table(
        "Sending against a client that only signs and sends, SES at 0 ms",
        ["sender", "emails/s", "CPU per email, µs", "of the client that only sends"],
        "The client that only signs and sends shows the most that the local endpoint accepts on this machine, with both"
        " of them on its cores.",
    )
    for sender, figures in result["http"].items():
        share = f"{shares[sender]:.0%}" if sender in shares else ""
        table.row(SENDERS[sender], spread(figures["rate"], number), spread(figures["cpu_us"], number), share)
    yield table


def shares_of_ceiling(result):
    """Each sender's rate as a part of that of the client that only signs and sends, by the same call."""
    rates = {sender: median(figures["rate"]) for sender, figures in result["http"].items()}
    calls = {sender: sender.removeprefix("send-batch ").split()[0] for sender in rates}
    return {sender: rate / rates[calls[sender]] for sender, rate in rates.items() if sender != "echo"}


def targets(result):
    times = result["record"].get("1000")
    if times:
        ratio = median(times["record"]) / median(times["copy"])
        what = "record of 1,000 recipients against COPY BINARY of the activities alone, same table"
        yield what, {"": ratio}, "≤ 1.8x", lambda x: x <= 1.8, "{:.2f}x"
    what = "emails/s of one lane in batches of 1,000, of the client that only signs and sends bulk calls"
    share = {"": shares_of_ceiling(result)["send-batch bulk 1000"]}
    yield what, share, "≥ 45 %", lambda x: x >= 0.45, "{:.0%}"
