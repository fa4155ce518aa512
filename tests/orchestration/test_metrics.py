"""The template's alarms and dashboard against the metrics that the function writes."""

import json
import re

import psycopg
import yaml

from conftest import ROOT
from test_policies import Template


def test_every_metric_that_is_watched_is_written(world):
    world.configure(METRICS="on")
    assert world.invoke({})["status"] == "idle"
    assert world.invoke({"campaignId": world.campaign(3)})["status"] == "done"
    assert world.invoke({"campaignId": world.campaign(3, subject="Hello {{ name")})["status"] == "halted"
    # These are written by ses-events, and when the database went back; tests of their own pin them.
    elsewhere = {"PausedByGuard", "LostByDatabase", "DatabaseHistoryChanged"}
    assert watched() == elsewhere.union(*written(world.functions.logs()))


def test_a_campaign_that_a_tick_cannot_send_is_seen(world):
    world.configure(METRICS="on")
    assert due(world) == 0
    campaign = world.campaign(3)
    # An import that is open holds it: it is sending, and a tick finds nothing to do.
    world.database.execute("UPDATE campaigns SET started_at = now() - interval '2 hours' WHERE id = %s", [campaign])
    world.database.execute("DELETE FROM campaign_recipients")
    with psycopg.connect(world.database_url) as importing:
        importing.execute("INSERT INTO campaign_recipients (campaign_id, organization_id, email)"
                          " SELECT id, organization_id, 'a@example.com' FROM campaigns WHERE id = %s", [campaign])
        assert 7200 <= due(world) < 7300
        importing.rollback()


def due(world):
    """The metric of an idle tick for the campaign that waits longest, in seconds."""
    assert world.invoke({})["status"] == "idle"
    lines = [line for line in world.functions.logs() if "OldestDueSeconds" in line]
    return json.loads(lines[-1])["OldestDueSeconds"]


def watched():
    resources = yaml.load((ROOT / "template.yaml").read_text(), Template)["Resources"]
    alarms = [found["Properties"] for found in resources.values() if found["Type"] == "AWS::CloudWatch::Alarm"]
    metrics = [alarm for alarm in alarms if "MetricName" in alarm]
    metrics += [part["MetricStat"]["Metric"] for alarm in alarms for part in alarm.get("Metrics", []) if "MetricStat" in part]
    names = {metric["MetricName"] for metric in metrics if metric["Namespace"] == "CampaignSender"}
    return names | set(re.findall(r'\["CampaignSender", "(\w+)"', resources["Dashboard"]["Properties"]["DashboardBody"]["Sub"]))


def written(logs):
    for line in logs:
        if '"_aws"' in line:
            document = json.loads(line)
            [metrics] = document["_aws"]["CloudWatchMetrics"]
            assert (metrics["Namespace"], metrics["Dimensions"]) == ("CampaignSender", [["FunctionName"]])
            assert document["FunctionName"]
            yield {metric["Name"] for metric in metrics["Metrics"]}
