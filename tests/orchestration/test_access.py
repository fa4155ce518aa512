"""The functions under the roles of `access/`, and tenants who see what is theirs, with row level security on."""

import json
import re
import subprocess

import psycopg
import pytest

from conftest import http
from function import ROOT, TARGET, clean_environment
from test_documents import sql_blocks

ORGANIZATIONS = ["0d5b1a52-3b1f-4f6e-8f0a-6c2d8e7b9a10", "9a10b7c3-1f52-4e0d-8a6b-3c4d5e6f7a8b"]


@pytest.fixture
def tenants(world, roles):
    """Row level security as docs/tenants.md has it."""
    for block in sql_blocks(ROOT / "docs/tenants.md"):
        world.database.execute(block)
    return world


def as_role(world, role):
    """A URL by which everything is done as this role; nobody has to know a password for that."""
    return f"{world.database_url}?options=-c%20role%3D{role}"


def act_as(world, function, **variables):
    role = f"campaign_{function.replace('-', '_')}"
    world.configure(TARGET / function, DATABASE_URL=as_role(world, role), **variables)


def connect_as(world, role):
    return psycopg.connect(as_role(world, role), autocommit=True)


def test_a_campaign_of_all_outcomes_is_sent_and_settled_under_the_roles(tenants):
    world = tenants
    campaign = world.campaign(300)
    world.database.execute(
        """INSERT INTO suppressions SELECT organization_id, email, 'manual' FROM campaign_recipients
            WHERE campaign_id = %s AND position %% 100 = 0""",
        [campaign],
    )
    world.database.execute(
        "UPDATE campaign_recipients SET email = 'no-at-sign' || position WHERE position % 100 = 1"
    )
    # An invocation that is lost in the middle, and taken over.
    act_as(world, "send-batch", FAILPOINTS="send-answered=50*off->return", SEND_API="single")
    payload, failed = world.functions.invoke(json.dumps({"campaignId": campaign, "batchSize": 100}).encode())
    assert failed and b"Runtime.ExitError" in payload
    world.database.execute("UPDATE campaign_batches SET lease_ends_at = now() - interval '1 second'")
    act_as(world, "send-batch")
    result = world.invoke({"campaignId": campaign, "batchSize": 500})
    while result["next"]:
        result = world.invoke(result["next"])
    assert result["status"] == "done"
    outcomes = world.outcomes(campaign)
    assert set(outcomes) == {"sent", "failed", "suppressed", "uncertain"} and sum(outcomes.values()) == 300

    act_as(world, "ses-events")
    events = json.loads(http("GET", f"{world.ses}/_local/events?limit=1000"))["events"]
    take(world, events)
    sent = world.outcomes(campaign)["sent"]
    assert sent == world.accepted()
    actions = world.database.execute("SELECT action, count(*)::int FROM activities GROUP BY action").fetchall()
    assert dict(actions)["email_sent"] == sent


def take(world, events):
    records = [{"messageId": str(n), "body": json.dumps(event)} for n, event in enumerate(events)]
    assert world.invoke({"Records": records}) == {"batchItemFailures": []}


def test_every_event_of_ses_is_recorded_and_a_harmful_campaign_paused_under_the_role(tenants):
    world = tenants
    campaign = world.campaign(20)
    assert world.invoke({"campaignId": campaign, "batchSize": 10})["status"] == "continue"
    sql = """SELECT id::text, message_id, email, organization_id::text FROM campaign_recipients
              WHERE campaign_id = %s AND status = 'sent'"""
    recipients = world.database.execute(sql, [campaign]).fetchall()
    events = [json.loads(file.read_text()) for file in sorted((ROOT / "events/ses/eventbridge").glob("*.json"))]
    for event, (recipient, message, email, organization) in zip(events, recipients * 3):
        event["detail"]["mail"] |= {"messageId": message, "destination": [email]}
        event["detail"]["mail"]["tags"] |= {
            "campaign_id": [campaign], "recipient_id": [recipient], "organization_id": [organization]}
    act_as(world, "ses-events", GUARD_MIN_SAMPLE="1", GUARD_MAX_BOUNCE_RATE="0.01")
    take(world, events)
    assert world.status(campaign) == "paused"
    assert world.database.execute("SELECT count(*) FROM suppressions").fetchone()[0] == 4


def test_a_link_works_there_and_back_under_the_role(tenants):
    world = tenants
    campaign = world.campaign(1)
    assert world.invoke({"campaignId": campaign})["batch"]["sent"] == 1
    [message] = world.messages()
    email = http("GET", f"{world.ses}/_local/messages/{message['id']}").decode()
    token = re.search(r"https://unsubscribe\.example\.com/([\w.~-]+)", email)[1]
    act_as(world, "unsubscribe")
    suppressed = []
    for file in ("get", "one-click", "subscribe-again"):
        event = (ROOT / f"events/unsubscribe/{file}.json").read_text().replace("TOKEN", token)
        assert world.invoke(json.loads(event))["statusCode"] == 200
        suppressed += world.database.execute("SELECT count(*) FROM suppressions").fetchone()
    assert suppressed == [0, 1, 0]
    # Also where there is another reason already, which the person's word outweighs, or does not.
    for reason, then in (("bounce", "unsubscribe"), ("complaint", "complaint")):
        world.database.execute("DELETE FROM suppressions")
        world.database.execute(
            "INSERT INTO suppressions SELECT organization_id, email, %s FROM campaign_recipients", [reason]
        )
        event = (ROOT / "events/unsubscribe/one-click.json").read_text().replace("TOKEN", token)
        assert world.invoke(json.loads(event))["statusCode"] == 200
        assert world.database.execute("SELECT reason FROM suppressions").fetchall() == [(then,)]


def test_whoever_takes_over_the_page_takes_back_no_other_reason(tenants):
    world = tenants
    world.database.execute(
        "INSERT INTO suppressions SELECT %s, reason || '@example.com', reason"
        " FROM unnest('{bounce,complaint,manual,unsubscribe}'::text[]) AS r (reason)",
        [ORGANIZATIONS[0]],
    )
    with connect_as(world, "campaign_unsubscribe") as role:
        role.execute("DELETE FROM suppressions")
        for statement in (
            "UPDATE suppressions SET reason = 'manual' WHERE reason = 'bounce'",
            f"INSERT INTO suppressions VALUES ('{ORGANIZATIONS[0]}', 'a@example.com', 'manual')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                role.execute(statement)
        role.execute("UPDATE suppressions SET reason = 'unsubscribe' WHERE reason = 'complaint'")
    left = world.database.execute("SELECT reason FROM suppressions ORDER BY reason").fetchall()
    assert left == [("bounce",), ("complaint",), ("manual",)]


def test_a_due_campaign_is_halted_and_slowed_down_under_the_role(tenants):
    world = tenants
    act_as(world, "send-batch")
    campaign = world.campaign(3, status="scheduled", scheduled_at="now()", subject="Hello {{ name")
    assert world.invoke({})["status"] == "halted" and world.status(campaign) == "paused"
    world.ses_rule({"effect": "throttle", "times": 1})
    campaign = world.campaign(3)
    assert world.invoke({})["batch"]["sent"] == 3 and world.status(campaign) == "sent"


def test_the_command_line_does_its_work_under_its_role(tenants, tmp_path):
    world = tenants
    files = {
        "people.csv": "email,name\nada@example.com,Ada\ngrace@example.com,\nalan@refused.example,\nbob@example.com,\n",
        "more.sql": "SELECT 'more' || n || '@example.com' AS email FROM generate_series(1, 3) AS n",
        "spring.html": "<style>p { color: red }</style><p>Hello {{ name or 'friend' }}</p>",
        "gone.csv": "email\nbob@example.com\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    url = as_role(world, "campaign_operator")
    environment = clean_environment(**{**world.functions.environment, "DATABASE_URL": url, "RUST_LOG": "off"})

    def campaign(*arguments, status=0):
        command = [TARGET / "campaign", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == status, (arguments, done.stdout, done.stderr)
        return done.stdout

    of = ["--organization", ORGANIZATIONS[0]]
    campaign("suppressions", "import", *of, "gone.csv")
    sender = ["--from", "News <news@example.com>", "--subject", "Hello", "--html", "spring.html"]
    made = campaign("send", "create", *of, "--name", "Spring", *sender).strip()
    campaign("import", made, "people.csv", status=65)
    assert "3 of 4 rows imported" in campaign("import", made, "people.csv", "--skip-bad", "--refused", "refused.csv")
    campaign("import", made, "--query", "more.sql")
    campaign("preview", made, "--check")
    campaign("preview", made, "--inline-css", "--write")
    campaign("send", "schedule", made, "--at", "2099-01-01T08:00:00Z")
    campaign("send", "start", made)
    campaign("send", "pause", made, "--why", "wait")
    campaign("send", "resume", made)
    # SES refuses an address once, and of another nobody knows whether it was accepted.
    refusal = {"refuse": {"code": "MessageRejected", "message": "no", "status": 400}}
    world.ses_rule({"recipient": {"exact": "alan@refused.example"}, "effect": refusal, "times": 1})
    world.ses_rule({"recipient": {"exact": "more1@example.com"}, "effect": "dropAfterAccept", "times": 1})
    environment["SEND_API"] = "single"
    campaign("send", "run", made)
    assert world.outcomes(made) == {"sent": 4, "failed": 1, "uncertain": 1}
    campaign("retry-failed", made, "--code", "MessageRejected")
    campaign("resolve", made, "--as", "sent", "--by", "Ada", "--why", "it is in the inbox", "--yes")
    campaign("send", "run", made)
    status = json.loads(campaign("status", made, "--json"))
    assert (status["status"], status["progress"]["sent"]) == ("sent", 6)
    assert made in campaign("status")
    campaign("report", made, "--html", "report.html")
    assert "bob@example.com" in campaign("suppressions", "list", *of)
    campaign("suppressions", "export", *of, "out.csv")
    other = campaign("send", "create", *of, "--name", "Summer", *sender).strip()
    campaign("send", "cancel", other, "--yes")
    campaign("migrate", status=77)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("campaign_send_batch", "UPDATE campaigns SET html = 'other'"),
        ("campaign_send_batch", "UPDATE campaign_recipients SET email = 'mallory@example.com'"),
        ("campaign_send_batch", "INSERT INTO campaign_recipients (email) VALUES ('mallory@example.com')"),
        ("campaign_send_batch", "DELETE FROM suppressions"),
        ("campaign_send_batch", "SELECT FROM activities"),
        ("campaign_ses_events", "UPDATE campaigns SET html = 'other'"),
        ("campaign_ses_events", "UPDATE campaign_batches SET closed_at = now()"),
        ("campaign_ses_events", "DELETE FROM suppressions"),
        ("campaign_unsubscribe", "SELECT html FROM campaigns"),
        ("campaign_unsubscribe", "UPDATE campaign_recipients SET status = 'sent'"),
        ("campaign_unsubscribe", "UPDATE campaigns SET status = 'sending'"),
        ("campaign_unsubscribe", "SELECT FROM activities"),
        ("campaign_operator", "DELETE FROM campaigns"),
        ("campaign_operator", "DELETE FROM campaign_recipients"),
        ("campaign_operator", "DELETE FROM suppressions"),
        ("campaign_operator", "UPDATE campaign_recipients SET email = 'mallory@example.com'"),
        ("campaign_operator", "UPDATE campaign_recipients SET organization_id = gen_random_uuid()"),
        ("campaign_operator", "SELECT FROM activities"),
    ],
)
def test_a_role_may_not(role, statement, world, roles):
    with connect_as(world, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_a_tenant_sees_and_writes_what_is_its_own(tenants):
    world = tenants
    written = {}
    with connect_as(world, "crm") as crm:
        for organization in ORGANIZATIONS:
            crm.execute(f"SET crm.organization_id = '{organization}'")
            written[organization] = crm.execute(
                """INSERT INTO campaigns (organization_id, status, from_address, subject, text)
                   VALUES (%s, 'sending', 'news@example.com', 'Hello', 'Good day') RETURNING id""",
                [organization],
            ).fetchone()[0]
            crm.execute(
                "INSERT INTO campaign_recipients (campaign_id, organization_id, email) VALUES (%s, %s, 'a@example.com')",
                [written[organization], organization],
            )
        # Into the campaign of the other.
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            crm.execute(
                "INSERT INTO campaign_recipients (campaign_id, organization_id, email) VALUES (%s, %s, 'b@example.com')",
                [written[ORGANIZATIONS[0]], ORGANIZATIONS[1]],
            )
        act_as(world, "send-batch")
        assert [world.invoke({})["status"] for _ in range(3)] == ["done", "done", "idle"]
        for organization in ORGANIZATIONS:
            crm.execute(f"SET crm.organization_id = '{organization}'")
            for table in ("campaigns", "campaign_recipients", "activities"):
                found = crm.execute(f"SELECT organization_id::text FROM {table}").fetchall()
                assert found == [(organization,)], table
