"""The template's alarms and dashboard against the metrics that the function writes."""

import json
import re

import yaml

from conftest import ROOT
from test_policies import Template


def test_every_metric_that_is_watched_is_written(world):
    world.configure(METRICS="on")
    assert world.invoke({})["status"] == "idle"
    assert world.invoke({"campaignId": world.campaign(3)})["status"] == "done"
    assert world.invoke({"campaignId": world.campaign(3, subject="Hello {{ name")})["status"] == "halted"
    # The guard's is written by ses-events, and pinned by its own test.
    assert watched() == {"PausedByGuard"}.union(*written(world.functions.logs()))


def watched():
    resources = yaml.load((ROOT / "template.yaml").read_text(), Template)["Resources"]
    alarms = [found["Properties"] for found in resources.values() if found["Type"] == "AWS::CloudWatch::Alarm"]
    names = {alarm["MetricName"] for alarm in alarms if alarm["Namespace"] == "CampaignSender"}
    return names | set(re.findall(r'\["CampaignSender", "(\w+)"', resources["Dashboard"]["Properties"]["DashboardBody"]["Sub"]))


def written(logs):
    for line in logs:
        if '"_aws"' in line:
            document = json.loads(line)
            [metrics] = document["_aws"]["CloudWatchMetrics"]
            assert (metrics["Namespace"], metrics["Dimensions"]) == ("CampaignSender", [["FunctionName"]])
            assert document["FunctionName"]
            yield {metric["Name"] for metric in metrics["Metrics"]}
