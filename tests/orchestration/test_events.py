"""Invokes the built functions with every file of `events/`."""

import json

import pytest

from function import ROOT, TARGET

EVENTS = ROOT / "events"
CAMPAIGN = json.loads((EVENTS / "send-batch.json").read_text())["campaignId"]
# For `sam local invoke --env-vars`; test_deploy.py has it.
ENVIRONMENT = EVENTS / "environment.json"
FOR_SEND_BATCH = sorted(set(EVENTS.glob("*.json")) - {ENVIRONMENT})
FOR_SES_EVENTS = sorted((EVENTS / "ses").rglob("*.json"))
FOR_UNSUBSCRIBE = sorted((EVENTS / "unsubscribe").glob("*.json"))


def test_each_file_is_for_one_function():
    assert {ENVIRONMENT, *FOR_SEND_BATCH, *FOR_SES_EVENTS, *FOR_UNSUBSCRIBE} == set(EVENTS.rglob("*.json"))


@pytest.mark.parametrize("file", FOR_SEND_BATCH, ids=lambda file: file.stem)
def test_send_batch_takes(file, world):
    world.campaign(3, campaign_id=CAMPAIGN)
    payload, failed = world.functions.invoke(file.read_bytes())
    result = json.loads(payload)
    assert not failed and result["status"] == "done" and result["batch"]["sent"] == 3


def test_ses_events_takes_every_file(world):
    world.configure(TARGET / "ses-events")
    for file in FOR_SES_EVENTS:
        payload, failed = world.functions.invoke(file.read_bytes())
        assert (json.loads(payload), failed) == ({"batchItemFailures": []}, False), file


def test_unsubscribe_answers_every_file(world):
    world.configure(TARGET / "unsubscribe")
    for file in FOR_UNSUBSCRIBE:
        payload, failed = world.functions.invoke(file.read_bytes())
        # Their token is the word TOKEN, which no link has.
        assert not failed and json.loads(payload)["statusCode"] in (400, 404), (file, payload)
