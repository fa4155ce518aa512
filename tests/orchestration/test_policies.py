"""Compares the template's policies with the functions' requests to AWS."""

import json
import urllib.request

import botocore.session
import pytest
import yaml

from function import ROOT, QuietHandler, serve


class Template(yaml.SafeLoader):
    """Reads !Ref and its like as {"Ref": …}."""


Template.add_multi_constructor("!", lambda loader, tag, node: {tag: getattr(loader, f"construct_{node.id}")(node)})


def allowed(role):
    """The actions that a role's own policies and its managed policies allow."""
    resources = yaml.load((ROOT / "template.yaml").read_text(), Template)["Resources"]
    properties = resources[role]["Properties"]
    policies = [policy["PolicyDocument"] for policy in properties["Policies"]]
    for choice in properties.get("ManagedPolicyArns", []):
        policies.append(resources[choice["If"][1]["Ref"]]["Properties"]["PolicyDocument"])
    actions = set()
    for statement in (statement for policy in policies for statement in policy["Statement"]):
        # What conditions add.
        while "If" in statement:
            statement = statement["If"][1]
        if statement["Effect"] == "Allow":
            found = statement["Action"]
            actions.update([found] if isinstance(found, str) else found)
    return actions


# Lambda itself does these for its functions: logs, network interfaces, the queue it polls, failures it reports.
# Keys of KMS are used by the services, on the role's behalf.
LAMBDAS_OWN = ("logs:", "ec2:", "sqs:", "kms:")


class Recorder:
    """Passes requests to SES on, answers for Secrets Manager, and notes the actions."""

    def __init__(self, ses, secret):
        self.actions = set()
        operations = botocore.session.get_session().get_service_model("sesv2")
        by_path = {}
        for name in operations.operation_names:
            http = operations.operation_model(name).http
            by_path[http["method"], http["requestUri"]] = f"ses:{name}"
        recorder = self

        class Handler(QuietHandler):
            def do_GET(self):
                self.pass_on(None)

            def do_POST(self):
                body = self.body()
                target = self.headers.get("X-Amz-Target")
                if target:
                    recorder.actions.add(target.replace(".", ":"))
                    body = json.dumps({"SecretString": json.dumps(secret)}).encode()
                    self.answer(200, body, [("Content-Type", "application/x-amz-json-1.1")])
                else:
                    self.pass_on(body)

            def pass_on(self, body):
                recorder.actions.add(by_path[self.command, self.path])
                request = urllib.request.Request(ses + self.path, body, dict(self.headers), method=self.command)
                with urllib.request.urlopen(request) as response:
                    self.answer(response.status, response.read(), [("Content-Type", "application/json")])

        self.url = f"http://127.0.0.1:{serve(Handler).server_port}"


def test_send_batch_may_do_what_it_does_and_nothing_else(world):
    host, port, user = (world.database.info.host, world.database.info.port, world.database.info.user)
    secret = {"username": user, "password": "any", "host": host, "port": port, "dbname": world.name}
    recorder = Recorder(world.ses, secret)
    world.state_machine()
    for send_api in ("single", "bulk"):
        world.configure(
            DATABASE_URL="",
            DATABASE_SECRET_ARN="arn:aws:secretsmanager:us-east-1:123456789012:secret:crm",
            AWS_ENDPOINT_URL_SESV2=recorder.url,
            AWS_ENDPOINT_URL_SECRETS_MANAGER=recorder.url,
            SEND_API=send_api,
        )
        campaign = world.campaign(20)
        assert world.output(world.run({"campaignId": campaign}))["status"] == "done"
    own = {action for action in allowed("SendBatchRole") if not action.startswith(LAMBDAS_OWN)}
    # No request is made for a token: it is signed here, and PostgreSQL has it checked.
    assert own == recorder.actions | {"rds-db:connect"}


@pytest.mark.parametrize(("role", "more"), [("SesEventsRole", {"events:PutEvents"}), ("UnsubscribeRole", set())])
def test_the_others_ask_nothing_of_aws_but_to_be_let_into_the_database_and_to_give_notice(role, more):
    own = {action for action in allowed(role) if not action.startswith(LAMBDAS_OWN)}
    assert own == {"secretsmanager:GetSecretValue", "rds-db:connect"} | more


def test_the_state_machine_may_do_what_its_tasks_do_and_nothing_else():
    definition = yaml.safe_load((ROOT / "statemachine/campaign.asl.yaml").read_text())
    resources = set()

    def collect(states):
        for state in states.values():
            if state["Type"] == "Task":
                resources.add(state["Resource"].removeprefix("arn:aws:states:::"))
            elif state["Type"] == "Map":
                collect(state["ItemProcessor"]["States"])

    collect(definition["States"])
    assert resources == {"lambda:invoke", "states:startExecution", "sns:publish", "events:putEvents"}
    own = {action for action in allowed("CampaignStateMachineRole") if not action.startswith(("logs:", "kms:"))}
    assert own == {"lambda:InvokeFunction", "states:StartExecution", "sns:Publish", "events:PutEvents"}
