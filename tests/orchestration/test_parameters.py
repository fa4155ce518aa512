"""The template with many sets of parameters, chosen at random from a seed: what is made fits together."""

import json
import random
import re

import pytest

import cloudformation
from test_alias import BASES, OTHERS, TEMPLATE, packaged

# Values at the edges: empty, long, and lists of many.
EDGES = {
    "DatabaseUrl": ["", "none", "postgresql://u@h/d", "postgres://h:5432/d?sslmode=verify-full&options=-c%20a%3Db"],
    "SesEventsDatabaseUrl": ["", "none"],
    "UnsubscribeDatabaseUrl": ["", "none"],
    "DatabaseSecretArn": [""],
    "ActivitiesTable": ["activities", "_a$1.b$2"],
    "SesIdentities": ["*", f"example.com,news@example.com,{'x' * 60}.example", ",".join(f"t{n}.example.com" for n in range(200))],
    "ConfigurationSet": ["", "c" * 64],
    "CampaignConfigurationSets": ["", f"{'a' * 64},{'b' * 64}"],
    "TrackingDomain": [""],
    "LogRetention": ["1", "3653"],
    "SubnetIds": ["", ",".join(f"subnet-{n}" for n in range(16))],
    "SecurityGroupIds": [""],
    "UnsubscribeUrl": ["", f"https://{'a' * 60}.example.com/{'b' * 200}"],
    "NoticeEventBus": ["default", "partner/" + "x" * 200],
    "KmsKeyArn": [""],
    "AlarmEmail": [""],
    "TrafficShift": ["none", "Canary10Percent15Minutes"],
}


def sets_of_parameters(seed, number):
    """Sets that the parameters' constraints and the rules accept."""
    chance = random.Random(seed)
    while number:
        parameters = dict(chance.choice(list(BASES.values())))
        for name in chance.sample(list(OTHERS), chance.randint(1, 25)):
            parameters[name] = chance.choice(OTHERS[name] + EDGES.get(name, []))
        if not cloudformation.problems(TEMPLATE, parameters):
            number -= 1
            yield parameters


def chosen(part, holds):
    """A part of a template without the branches that are not taken."""
    if isinstance(part, dict):
        if set(part) == {"Fn::If"}:
            condition, if_true, if_false = part["Fn::If"]
            return chosen(if_true if holds(condition) else if_false, holds)
        return {name: chosen(value, holds) for name, value in part.items()}
    return [chosen(value, holds) for value in part] if isinstance(part, list) else part


def references(part):
    """The logical ids that a part refers to."""
    if isinstance(part, list):
        for value in part:
            yield from references(value)
    elif isinstance(part, dict):
        for function, operand in part.items():
            match function:
                case "Ref":
                    yield operand
                case "Fn::GetAtt":
                    yield (operand if isinstance(operand, list) else operand.split("."))[0]
                case "Fn::Sub":
                    text, own = operand if isinstance(operand, list) else (operand, {})
                    names = {name.split(".")[0] for name in re.findall(r"\$\{([^!}]+)\}", text)}
                    yield from names - set(own)
                    yield from references(own)
                case _:
                    yield from references(operand)


@pytest.mark.parametrize("seed", range(4))
def test_a_stack_refers_only_to_what_it_makes(seed):
    for parameters in sets_of_parameters(seed, 10):
        values = cloudformation.values(TEMPLATE, parameters)
        template = cloudformation.translated(packaged(), values)
        lists = {name for name, about in template["Parameters"].items() if about["Type"] == "CommaDelimitedList"}
        split = {name: value.split(",") if name in lists else value for name, value in values.items()}
        conditions = template["Conditions"]

        def holds(name):
            return cloudformation.holds(conditions[name], split, conditions)

        def is_made(part):
            return "Condition" not in part or holds(part["Condition"])

        made = {name: chosen(found, holds) for name, found in template["Resources"].items() if is_made(found)}
        outputs = {name: chosen(found, holds) for name, found in template["Outputs"].items() if is_made(found)}
        known = {*made, *template["Parameters"]}
        for name, part in [*made.items(), *outputs.items()]:
            unknown = {found for found in references(part) if not found.startswith("AWS::")} - known
            unknown |= {found for found in [part.get("DependsOn")] if isinstance(found, str)} - known
            assert not unknown, (name, unknown, parameters)


def test_a_policy_has_room_for_the_number_of_identities_that_is_documented():
    """IAM allows 10,240 characters for the policies of a role, white space apart."""
    [text] = re.findall(r"Up to (\d+) names", (cloudformation.ROOT / "docs/deploy.md").read_text())
    names = [f"tenant-{n:05}.example.com" for n in range(int(text))]
    # What the list becomes, beside the rest of the policy with every statement in it.
    rest = TEMPLATE["Resources"]["SendBatchRole"]["Properties"]["Policies"]
    statements = "".join(f'"arn:*:ses:*:*:identity/{name}",' for name in names)
    assert len(json.dumps(rest, separators=(",", ":"))) + len(statements) < 10_240
    assert len(",".join(names)) <= 4096, "the length of a parameter's value"


def test_the_cost_at_rest_counts_the_alarms_and_adds_up():
    page = (cloudformation.ROOT / "SCALE.md").read_text().split("## What a stack costs at rest")[1].split("\n## ")[0]
    alarms = [found["Properties"] for found in TEMPLATE["Resources"].values() if found["Type"] == "AWS::CloudWatch::Alarm"]
    watched = [sum("MetricStat" in part for part in alarm.get("Metrics", [])) or 1 for alarm in alarms]
    assert f"{watched.count(1)} alarms with one metric, {watched.count(2)} with two" in page
    rows = [[cell.strip() for cell in row.strip("| ").split("|")] for row in page.splitlines() if row.startswith("| ")]
    costs = {row[0]: row[-1] for row in rows[1:]}
    assert costs["alarms"] == f"{sum(watched) * 0.10:.2f}"
    total = costs.pop("**total**")
    numbers = [float(cost) for cost in costs.values() if re.fullmatch(r"[0-9.]+", cost)]
    assert total.startswith(f"**{sum(numbers):.2f}**")
