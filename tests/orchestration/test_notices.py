"""What EventBridge is told of campaigns: completed and halted by the state machine, paused by the function ses-events."""

import json
import re
import time

import jsonschema
import pytest
from moto.events.models import EventPattern

import cloudformation
from conftest import ROOT
from function import TARGET

SCHEMA = json.loads((ROOT / "docs/schema/notice.schema.json").read_text())
DETAIL_TYPES = {
    "completed": "Campaign completed",
    "halted": "Campaign halted",
    "pausedByGuard": "Campaign paused by guard",
}


def details(notices):
    """The details of notices, which are as docs/schema has them."""
    for notice in notices:
        assert notice["source"] == "campaign-sender"
        jsonschema.validate(notice["detail"], SCHEMA)
        assert notice["detail-type"] == DETAIL_TYPES[notice["detail"]["notice"]]
    return [notice["detail"] for notice in notices]


@pytest.mark.parametrize("event", [{}, {"lanes": 3}, {"batchSize": 10}], ids=["one batch", "lanes", "several batches"])
def test_a_campaign_that_is_completed_is_told_of_once_by_its_execution(event, world):
    read = world.notices()
    world.state_machine()
    campaign = world.campaign(30)
    world.run({"campaignId": campaign, **event})
    progress = {"total": 30, "sent": 30, "failed": 0, "suppressed": 0, "uncertain": 0, "remaining": 0}
    assert details(read()) == [
        {"version": 1, "campaignId": campaign, "notice": "completed", "reason": None, "progress": progress}
    ]


def test_ticks_tell_of_each_campaign_that_they_complete_and_of_nothing_when_idle(world):
    read = world.notices()
    world.state_machine()
    campaigns = {world.campaign(3) for _ in range(3)}
    world.run({})
    assert {detail["campaignId"] for detail in details(read())} == campaigns
    world.run({})
    assert read() == []


def test_a_campaign_that_is_halted_is_told_of_with_its_reason(world):
    read = world.notices()
    world.state_machine()
    campaign = world.campaign(10, subject="Hello {{ name")
    assert world.run({"campaignId": campaign})["error"] == "CampaignHalted"
    [detail] = details(read())
    assert (detail["campaignId"], detail["notice"]) == (campaign, "halted")
    assert detail["reason"] == world.functions.invocations[-1].result["reason"]
    assert detail["progress"]["remaining"] == 10
    assert len(world.notifications()) == 1


def test_a_person_who_pauses_or_cancels_is_not_told_of_it(world):
    read = world.notices()
    world.state_machine()
    for status in ("paused", "cancelled"):
        world.run({"campaignId": world.campaign(1, status=status)})
    assert read() == []


def test_a_bus_that_takes_nothing_changes_nothing_of_the_campaign(world):
    world.state_machine(bus="nowhere/at all")
    campaign = world.campaign(3)
    end = world.run({"campaignId": campaign})
    assert world.output(end)["status"] == "done"
    tries = [event for event in world.history(end["executionArn"]) if event["type"] == "TaskFailed"]
    assert len(tries) == 4, "the first, and three more"
    halted = world.campaign(3, subject="Hello {{ name")
    assert world.run({"campaignId": halted})["error"] == "CampaignHalted"


def pause_by_guard(world, **variables):
    """Sends 4 emails, of which one bounces and the campaign is paused; its id."""
    campaign = world.campaign(5)
    world.invoke({"campaignId": campaign, "batchSize": 4})
    sql = "SELECT id::text, message_id, organization_id::text FROM campaign_recipients WHERE status = 'sent' LIMIT 1"
    recipient, message, organization = world.database.execute(sql).fetchone()
    event = json.loads((ROOT / "events/ses/eventbridge/bounce-permanent.json").read_text())
    event["detail"]["mail"] |= {"messageId": message, "destination": None}
    event["detail"]["mail"]["tags"] |= {
        "campaign_id": [campaign], "recipient_id": [recipient], "organization_id": [organization]}
    world.configure(TARGET / "ses-events", GUARD_MIN_SAMPLE="1", GUARD_MAX_BOUNCE_RATE="0.01", **variables)
    # Twice: SQS delivers at least once.
    for _ in range(2):
        records = [{"messageId": "0", "body": json.dumps(event)}]
        assert world.invoke({"Records": records}) == {"batchItemFailures": []}
    assert world.status(campaign) == "paused"
    return campaign


def test_a_campaign_that_the_guard_pauses_is_told_of_once(world):
    read = world.notices()
    campaign = pause_by_guard(world, NOTICE_EVENT_BUS="default", AWS_ENDPOINT_URL_EVENTBRIDGE=world.aws)
    [detail] = details(read())
    reason = world.database.execute("SELECT status_reason FROM campaigns WHERE id = %s", [campaign]).fetchone()[0]
    assert detail == {
        "version": 1, "campaignId": campaign, "notice": "pausedByGuard", "reason": reason, "progress": None}


def test_without_a_bus_the_guard_tells_nobody_else(world):
    read = world.notices()
    pause_by_guard(world, AWS_ENDPOINT_URL_EVENTBRIDGE=world.aws)
    assert read() == []


def test_a_bus_that_cannot_be_reached_is_said_in_the_log_and_holds_up_little(world):
    started = time.monotonic()
    pause_by_guard(world, NOTICE_EVENT_BUS="default", AWS_ENDPOINT_URL_EVENTBRIDGE="http://127.0.0.1:9")
    assert time.monotonic() - started < 20
    assert any("EventBridge was not told" in line for line in world.functions.logs())


def test_the_rules_of_the_documentation_match_the_notices():
    page = (ROOT / "docs/notices.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    resources = [cloudformation.read(block)["Resources"] for block in blocks]
    patterns = {
        name: EventPattern.load(json.dumps(resource["Properties"]["EventPattern"]))
        for part in resources
        for name, resource in part.items()
        if resource["Type"] == "AWS::Events::Rule"
    }
    example = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
    assert details([example])[0]["notice"] == "completed"
    matched = {
        name: [
            notice
            for notice in DETAIL_TYPES
            if pattern.matches_event({**example, "detail": {**example["detail"], "notice": notice}})
        ]
        for name, pattern in patterns.items()
    }
    assert matched == {"WebhookRule": list(DETAIL_TYPES), "ChatRule": ["halted", "pausedByGuard"]}
    # What is referred to is there.
    for part in resources:
        for name in re.findall(r"'(?:Ref|Fn::GetAtt)': (?:'(\w+)'|\['(\w+)')", str(part)):
            assert "".join(name) in part, name
