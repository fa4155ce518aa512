"""The functions under the roles of `access/`, and tenants who see what is theirs, with row level security on."""

import json

import psycopg
import pytest

from conftest import ROOT, TARGET, http
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

    events = json.loads(http("GET", f"{world.ses}/_local/events?limit=1000"))["events"]
    records = [{"messageId": str(n), "body": json.dumps(event)} for n, event in enumerate(events)]
    act_as(world, "ses-events")
    assert world.invoke({"Records": records}) == {"batchItemFailures": []}
    sent = world.outcomes(campaign)["sent"]
    assert sent == world.accepted()
    actions = world.database.execute("SELECT action, count(*)::int FROM activities GROUP BY action").fetchall()
    assert dict(actions)["email_sent"] == sent
    assert world.invoke({"Records": [bounce(world, campaign)]}) == {"batchItemFailures": []}
    assert world.database.execute("SELECT count(*) FROM suppressions WHERE reason = 'bounce'").fetchone() == (1,)


def test_a_due_campaign_is_halted_and_slowed_down_under_the_role(tenants):
    world = tenants
    act_as(world, "send-batch")
    campaign = world.campaign(3, status="scheduled", scheduled_at="now()", subject="Hello {{ name")
    assert world.invoke({})["status"] == "halted" and world.status(campaign) == "paused"
    world.ses_rule({"effect": "throttle", "times": 1})
    campaign = world.campaign(3)
    assert world.invoke({})["batch"]["sent"] == 3 and world.status(campaign) == "sent"


def bounce(world, campaign):
    sql = "SELECT id, message_id FROM campaign_recipients WHERE campaign_id = %s AND status = 'sent' LIMIT 1"
    recipient, message = world.database.execute(sql, [campaign]).fetchone()
    event = json.loads((ROOT / "events/ses/eventbridge/bounce-permanent.json").read_text())
    event["detail"]["mail"]["messageId"] = message
    event["detail"]["mail"]["tags"] |= {"campaign_id": [campaign], "recipient_id": [str(recipient)]}
    return {"messageId": "1", "body": json.dumps(event)}


def test_a_recipient_unsubscribes_and_comes_back_under_the_role(tenants):
    world = tenants
    campaign = world.campaign(1)
    act_as(world, "send-batch")
    world.invoke({"campaignId": campaign})
    headers = {header["name"]: header["value"] for header in world.messages()[0]["headers"]}
    token = headers["List-Unsubscribe"].strip("<>").rsplit("/", 1)[1]
    act_as(world, "unsubscribe")
    for request, reasons in [("one-click", ["unsubscribe"]), ("get", ["unsubscribe"]), ("subscribe-again", [])]:
        text = (ROOT / f"events/unsubscribe/{request}.json").read_text()
        assert world.invoke(json.loads(text.replace("/TOKEN", f"/{token}")))["statusCode"] == 200
        found = world.database.execute("SELECT reason FROM suppressions").fetchall()
        assert [reason for (reason,) in found] == reasons
    sql = "SELECT action FROM activities ORDER BY created_at"
    actions = [action for (action,) in world.database.execute(sql).fetchall()]
    assert actions == ["email_sent", "email_unsubscribed", "email_resubscribed"]


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("campaign_send_batch", "UPDATE campaigns SET html = 'other'"),
        ("campaign_send_batch", "UPDATE campaign_recipients SET email = 'mallory@example.com'"),
        ("campaign_send_batch", "INSERT INTO campaign_recipients (email) VALUES ('mallory@example.com')"),
        ("campaign_send_batch", "DELETE FROM suppressions"),
        ("campaign_send_batch", "SELECT FROM activities"),
        ("campaign_ses_events", "UPDATE campaigns SET status = 'sending'"),
        ("campaign_ses_events", "SELECT FROM campaign_batches"),
        ("campaign_ses_events", "DELETE FROM suppressions"),
        ("campaign_unsubscribe", "SELECT html FROM campaigns"),
        ("campaign_unsubscribe", "UPDATE campaign_recipients SET status = 'sent'"),
        ("campaign_unsubscribe", "UPDATE campaigns SET status = 'sending'"),
        ("campaign_unsubscribe", "SELECT FROM activities"),
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
