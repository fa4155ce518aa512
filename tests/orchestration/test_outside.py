"""The template as a stranger uses it: everything is read from the template, and moto runs it unchanged.

The other tests replace one function of moto, so that executions can start others. Without that, and without a topic
that exists, the ordinary ways have to work all the same.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import threading

import boto3
import pytest
import yaml

from conftest import ACCOUNT, REGION, ROOT, World, http
from lambda_service import LambdaService
from test_policies import Template

@pytest.fixture(scope="module")
def untouched():
    """The Invoke API and, behind it, an unchanged moto in a process of its own."""
    functions = LambdaService(None)
    # Where moto's state machines call every service; 5000 unless set.
    environment = {**os.environ, "MOTO_PORT": str(functions.port)}
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as moto:
        [url] = itertools.islice(addresses(moto.stderr), 1)
        threading.Thread(target=moto.stderr.read, daemon=True).start()
        functions.other_services = url
        http("POST", f"{url}/moto-api/config", {"stepfunctions": {"execute_state_machine": True}})
        yield url, functions
        functions.reset()
        moto.kill()


def addresses(log):
    for line in log:
        yield from re.findall(r"http://127\.0\.0\.1:\d+", line)


@pytest.fixture
def stranger(untouched, ses):
    world = World(*untouched, ses)
    world.machine = create_state_machine(world)
    yield world
    world.close()


def create_state_machine(world):
    template = yaml.load((ROOT / "template.yaml").read_text(), Template)
    resources = template["Resources"]
    [machine] = [found for found in resources.values() if found["Type"] == "AWS::Serverless::StateMachine"]
    properties = machine["Properties"]
    definition = (ROOT / properties["DefinitionUri"]).read_text()
    for name, value in properties["DefinitionSubstitutions"].items():
        definition = definition.replace(f"${{{name}}}", referenced(template, value))
    assert not re.search(r"\$\{", definition)
    return world.steps.create_state_machine(
        name=world.name,
        definition=json.dumps(yaml.safe_load(definition)),
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/any",
    )["stateMachineArn"]


def referenced(template, value):
    """What `!GetAtt Function.Arn`, `!Ref Topic` or `!Ref Parameter` returns; for an alias its function."""
    [reference] = value.values()
    if reference in template["Parameters"]:
        return template["Parameters"][reference]["Default"]
    resource = template["Resources"][reference.removesuffix(".Arn").removesuffix("Aliaslive")]
    if resource["Type"] == "AWS::Serverless::Function":
        name = resource["Metadata"]["BuildProperties"]["Binary"]
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    assert resource["Type"] == "AWS::SNS::Topic"
    return f"arn:aws:sns:{REGION}:{ACCOUNT}:no-such-topic"


def test_a_campaign_that_is_due_starts_with_an_empty_event(stranger):
    campaign = stranger.campaign(300, status="scheduled", scheduled_at="now() - interval '1 hour'")
    stranger.configure(BATCH_SIZE="100")
    assert stranger.end(stranger.start({}))["status"] == "SUCCEEDED"
    assert stranger.status(campaign) == "sent" and stranger.outcomes(campaign) == {"sent": 300}
    assert stranger.accepted() == 300 and not stranger.received_twice()


@pytest.mark.parametrize("more", [{}, {"batchSize": 100}, {"lanes": 3, "batchSize": 50}])
def test_a_campaign_is_sent_by_its_id(stranger, more):
    campaign = stranger.campaign(300)
    end = stranger.end(stranger.start({"campaignId": campaign, **more}))
    assert stranger.output(end)["status"] == "done"
    assert stranger.status(campaign) == "sent"
    assert stranger.accepted() == 300 and not stranger.received_twice()


def test_a_halted_campaign_fails_with_its_reason_although_nobody_can_be_told(stranger):
    campaign = stranger.campaign(10, subject="Hello {{ name")
    end = stranger.end(stranger.start({"campaignId": campaign}))
    assert (end["status"], end["error"]) == ("FAILED", "CampaignHalted")
    assert end["cause"].startswith("the template does not compile: ")
