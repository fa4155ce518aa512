"""The functions under the roles of `access/`, and tenants that see only their own rows, with row level security."""

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
    """Row level security as in docs/tenants.md."""
    for block in sql_blocks(ROOT / "docs/tenants.md"):
        world.database.execute(block)
    return world


def as_role(world, role):
    """A URL with which everything runs as this role, without a password."""
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
        world.database.execute("UPDATE campaign_recipients SET link_used_at = link_used_at - interval '1 minute'")
        event = (ROOT / f"events/unsubscribe/{file}.json").read_text().replace("TOKEN", token)
        assert world.invoke(json.loads(event))["statusCode"] == 200
        suppressed += world.database.execute("SELECT count(*) FROM suppressions").fetchone()
    assert suppressed == [0, 1, 0]
    # The address may have another reason already, which an unsubscribe replaces or does not.
    for reason, then in (("bounce", "unsubscribe"), ("complaint", "complaint")):
        world.database.execute("DELETE FROM suppressions")
        world.database.execute(
            "INSERT INTO suppressions SELECT organization_id, email, %s FROM campaign_recipients", [reason]
        )
        event = (ROOT / "events/unsubscribe/one-click.json").read_text().replace("TOKEN", token)
        assert world.invoke(json.loads(event))["statusCode"] == 200
        assert world.database.execute("SELECT reason FROM suppressions").fetchall() == [(then,)]


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


# What each role may not do, by rights on tables and columns, and by policies. Every statement concerns rows that are there.
FORBIDDEN = {
    "campaign_send_batch": [
        "UPDATE campaigns SET html = 'other'",
        "UPDATE campaigns SET from_address = 'mallory@example.com'",
        "UPDATE campaign_recipients SET email = 'mallory@example.com'",
        "UPDATE campaign_recipients SET variables = '{}'",
        "INSERT INTO campaign_recipients (email) VALUES ('mallory@example.com')",
        "DELETE FROM campaign_recipients",
        "INSERT INTO suppressions SELECT organization_id, 'a@example.com', 'manual' FROM campaigns",
        "UPDATE suppressions SET reason = 'bounce'",
        "DELETE FROM suppressions",
        "SELECT FROM activities",
        "SELECT unsubscribe_by_link(id, organization_id) FROM campaign_recipients",
        "SELECT subscribe_again_by_link(id, organization_id) FROM campaign_recipients",
        "SELECT take_back_soft_suppression(organization_id, email) FROM suppressions",
    ],
    "campaign_ses_events": [
        "UPDATE campaigns SET html = 'other'",
        "UPDATE campaigns SET status = 'sending'",
        "UPDATE campaigns SET status = 'sending' WHERE status = 'paused'",
        "UPDATE campaigns SET status = 'scheduled'",
        "UPDATE campaigns SET status = 'cancelled'",
        "UPDATE campaigns SET status = 'sent'",
        "UPDATE campaigns SET scheduled_at = now()",
        "UPDATE campaign_recipients SET status = 'pending'",
        "UPDATE campaign_recipients SET status = 'pending', previous_status = status WHERE status = 'sent'",
        "UPDATE campaign_recipients SET status = 'uncertain'",
        "UPDATE campaign_recipients SET status = 'suppressed'",
        "UPDATE campaign_recipients SET email = 'mallory@example.com'",
        "UPDATE campaign_recipients SET position = 1",
        "INSERT INTO campaign_recipients (email) VALUES ('mallory@example.com')",
        "UPDATE campaign_batches SET closed_at = now()",
        "UPDATE campaign_cursors SET completed_through = 0",
        "INSERT INTO suppressions SELECT organization_id, 'a@example.com', 'manual' FROM campaigns",
        "UPDATE suppressions SET reason = 'bounce' WHERE reason = 'unsubscribe'",
        "UPDATE suppressions SET email = 'other@example.com'",
        "DELETE FROM suppressions",
        "SELECT FROM activities",
        "SELECT FROM send_rates",
        "SELECT unsubscribe_by_link(id, organization_id) FROM campaign_recipients",
        "SELECT subscribe_again_by_link(id, organization_id) FROM campaign_recipients",
    ],
    "campaign_unsubscribe": [
        "SELECT html FROM campaigns",
        "SELECT id FROM campaigns",
        "SELECT email FROM campaign_recipients",
        "SELECT id FROM campaign_recipients",
        "SELECT FROM suppressions",
        "SELECT FROM opted_out",
        "SELECT FROM recipients_under_way",
        "SELECT FROM activities",
        "UPDATE campaign_recipients SET status = 'sent'",
        "UPDATE campaign_recipients SET unsubscribed_at = now()",
        "UPDATE campaigns SET status = 'sending'",
        "UPDATE campaigns SET unsubscribed_count = 0",
        "INSERT INTO suppressions VALUES (gen_random_uuid(), 'a@example.com', 'unsubscribe')",
        "UPDATE suppressions SET reason = 'bounce'",
        "DELETE FROM suppressions",
        "DELETE FROM activities",
        "SELECT campaign_status(gen_random_uuid())",
        "SELECT take_back_soft_suppression(gen_random_uuid(), 'a@example.com')",
    ],
    "campaign_operator": [
        "DELETE FROM campaigns",
        "DELETE FROM campaign_recipients",
        "DELETE FROM suppressions",
        "UPDATE campaign_recipients SET email = 'mallory@example.com'",
        "UPDATE campaign_recipients SET organization_id = gen_random_uuid()",
        "UPDATE campaigns SET organization_id = gen_random_uuid()",
        "SELECT FROM activities",
        "SELECT subscribe_again_by_link(id, organization_id) FROM campaign_recipients",
    ],
}


@pytest.fixture
def rows(world, roles):
    """A campaign of each status with a recipient of each, and a suppression for each reason."""
    world.database.execute(
        """WITH campaign AS (
               INSERT INTO campaigns (organization_id, status, from_address, subject, text)
               SELECT %s, status, 'news@example.com', 'Hello', 'Good day'
                 FROM unnest('{draft,scheduled,sending,paused,sent}'::text[]) AS status
               RETURNING id, organization_id)
           INSERT INTO campaign_recipients (campaign_id, organization_id, email, status)
           SELECT c.id, c.organization_id, status || '@example.com', status
             FROM campaign AS c, unnest('{pending,sent,failed,suppressed}'::text[]) AS status""",
        [ORGANIZATIONS[0]],
    )
    world.database.execute(
        "INSERT INTO suppressions SELECT %s, reason || '@example.com', reason"
        " FROM unnest('{bounce,complaint,manual,unsubscribe}'::text[]) AS r (reason)",
        [ORGANIZATIONS[0]],
    )
    return world


def state(world):
    tables = "campaigns", "campaign_recipients", "suppressions", "campaign_batches", "campaign_cursors", "activities"
    return [world.database.execute(f"SELECT t::text FROM {table} AS t ORDER BY 1").fetchall() for table in tables]


@pytest.mark.parametrize("role", FORBIDDEN)
def test_a_role_may_not(role, rows):
    before = state(rows)
    with connect_as(rows, role) as connection:
        for statement in FORBIDDEN[role]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
                pytest.fail(f"{role} may: {statement}")
    assert state(rows) == before


def test_events_may_settle_and_pause_and_take_back_nothing_that_is_stronger(rows):
    with connect_as(rows, "campaign_ses_events") as role:
        assert role.execute("UPDATE campaigns SET sent_count = sent_count + 1").rowcount == 5, "as it is"
        assert role.execute("UPDATE campaigns SET status = 'paused' WHERE status = 'sending'").rowcount == 1
        assert role.execute("UPDATE campaign_recipients SET status = 'sent' WHERE status = 'failed'").rowcount == 5
        # A policy leaves out what it does not let be changed.
        assert role.execute("UPDATE suppressions SET reason = 'complaint'").rowcount == 2
    left = rows.database.execute("SELECT email, reason FROM suppressions ORDER BY email").fetchall()
    assert left == [
        ("bounce@example.com", "complaint"), ("complaint@example.com", "complaint"),
        ("manual@example.com", "manual"), ("unsubscribe@example.com", "complaint")]


def test_a_link_reaches_its_own_recipient_and_no_other(rows):
    [(recipient,)] = rows.database.execute(
        "SELECT id::text FROM campaign_recipients WHERE email = 'sent@example.com' LIMIT 1").fetchall()
    with connect_as(rows, "campaign_unsubscribe") as role:
        look = "SELECT email FROM look_by_link(%s, %s)"
        assert role.execute(look, [recipient, ORGANIZATIONS[0]]).fetchall() == [("sent@example.com",)]
        assert role.execute(look, [recipient, ORGANIZATIONS[1]]).fetchall() == [], "both ids have to be right"
        assert role.execute(look, ["00000000-0000-0000-0000-000000000000", ORGANIZATIONS[0]]).fetchall() == []
        assert role.execute(look, [None, None]).fetchall() == []
        # Tables of the same names before the real ones change nothing of what the functions do.
        role.execute("CREATE TEMPORARY TABLE suppressions (organization_id uuid, email text, reason text)")
        role.execute("CREATE TEMPORARY TABLE campaign_recipients (id uuid, email text)")
        role.execute("SET search_path = pg_temp, public")
        unsubscribe = "SELECT changed FROM public.unsubscribe_by_link(%s, %s)"
        assert role.execute(unsubscribe, [recipient, ORGANIZATIONS[0]]).fetchall() == [(True,)]
        assert role.execute(unsubscribe, [recipient, ORGANIZATIONS[1]]).fetchall() == []
    added = rows.database.execute("SELECT email FROM suppressions WHERE link_recipient_id = %s", [recipient])
    assert added.fetchall() == [("sent@example.com",)]


def test_every_function_with_its_owners_rights_has_a_search_path_of_its_own(world, roles):
    functions = world.database.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace").fetchall()
    assert len(functions) >= 9
    for name, settings in functions:
        assert settings == ["search_path=pg_catalog, public, pg_temp"], name


def test_one_login_with_all_three_roles_sends_settles_and_unsubscribes(world, roles):
    world.database.execute(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'crm_functions') THEN"
        " CREATE ROLE crm_functions; END IF; END $$")
    world.database.execute(
        "GRANT campaign_send_batch, campaign_ses_events, campaign_unsubscribe TO crm_functions")
    url = as_role(world, "crm_functions")
    world.configure(TARGET / "send-batch", DATABASE_URL=url)
    campaign = world.campaign(3, status="scheduled", scheduled_at="now()")
    assert world.invoke({})["batch"]["sent"] == 3 and world.status(campaign) == "sent"


def test_the_crms_own_roles_go_on_when_row_level_security_is_switched_on(world):
    """If it was enabled before, no further rows become visible."""
    world.database.execute(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'crm') THEN CREATE ROLE crm; END IF; END $$")
    world.campaign(2)
    world.database.execute("ALTER TABLE suppressions ENABLE ROW LEVEL SECURITY")
    world.database.execute("GRANT SELECT, UPDATE ON campaigns, campaign_recipients, suppressions TO crm")
    world.database.execute("INSERT INTO suppressions VALUES (gen_random_uuid(), 'a@example.com', 'manual')")
    world.psql(ROOT / "access/roles.sql")
    with connect_as(world, "crm") as crm:
        assert crm.execute("UPDATE campaign_recipients SET name = 'Ada'").rowcount == 2
        assert crm.execute("SELECT FROM suppressions").rowcount == 0
        world.psql(ROOT / "access/row_level_security.sql")
        world.psql(ROOT / "access/roles.sql")
        assert crm.execute("SELECT FROM campaign_recipients").rowcount == 0, "until the CRM's policies say more"
    enabled = world.database.execute(
        "SELECT relname FROM pg_class WHERE relrowsecurity AND relkind = 'r' ORDER BY 1").fetchall()
    assert [name for (name,) in enabled] == [
        "campaign_attachments", "campaign_recipients", "campaigns", "organization_settings", "suppressions"]


def sending_to_one(crm, organization):
    """A campaign of the organization with one recipient, which is being sent."""
    campaign = crm.execute(
        """INSERT INTO campaigns (organization_id, status, from_address, subject, text)
           VALUES (%s, 'sending', 'news@example.com', 'Hello', 'Good day') RETURNING id""",
        [organization],
    ).fetchone()[0]
    crm.execute(
        "INSERT INTO campaign_recipients (campaign_id, organization_id, email) VALUES (%s, %s, 'a@example.com')",
        [campaign, organization],
    )
    return campaign


def test_a_tenant_sees_and_writes_what_is_its_own(tenants):
    world = tenants
    written = {}
    with connect_as(world, "crm") as crm:
        for organization in ORGANIZATIONS:
            crm.execute(f"SET crm.organization_id = '{organization}'")
            written[organization] = sending_to_one(crm, organization)
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


def test_a_tenant_sees_no_attachment_and_no_setting_of_another_and_the_functions_use_all(tenants):
    world = tenants
    for organization in ORGANIZATIONS:
        world.database.execute("INSERT INTO organization_settings VALUES (%s, NULL)", [organization])
    written = {}
    attach = "INSERT INTO campaign_attachments (campaign_id, file_name, content) VALUES (%s, %s, 'x')"
    with connect_as(world, "crm") as crm:
        for organization in ORGANIZATIONS:
            crm.execute(f"SET crm.organization_id = '{organization}'")
            written[organization] = sending_to_one(crm, organization)
            crm.execute(attach, [written[organization], f"{organization}.txt"])
        for organization in ORGANIZATIONS:
            crm.execute(f"SET crm.organization_id = '{organization}'")
            files = crm.execute("SELECT file_name FROM campaign_attachments").fetchall()
            assert files == [(f"{organization}.txt",)]
            settings = crm.execute("SELECT organization_id::text FROM organization_settings").fetchall()
            assert settings == [(organization,)]
            assert crm.execute("UPDATE campaign_attachments SET content = 'y'").rowcount == 1
        # To the campaign of the other, and the tenant of the other.
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            crm.execute(attach, [written[ORGANIZATIONS[0]], "b.txt"])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            crm.execute("UPDATE organization_settings SET ses_tenant = 'acme'")
    act_as(world, "send-batch")
    assert [world.invoke({})["status"] for _ in range(3)] == ["done", "done", "idle"]
    attached = [json.loads(http("GET", f"{world.ses}/_local/messages/{message['id']}"))["attachments"]
                for message in world.messages()]
    assert sorted(file["fileName"] for [file] in attached) == sorted(f"{name}.txt" for name in ORGANIZATIONS)
    world.database.execute("UPDATE organization_settings SET ses_tenant = 'acme'")
    with connect_as(world, "campaign_send_batch") as role:
        assert role.execute("SELECT ses_tenant FROM organization_settings").fetchall() == [("acme",)] * 2
