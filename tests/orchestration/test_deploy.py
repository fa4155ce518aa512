"""The template is deployed: by SAM's own deployer in a terminal, expanded with many parameters, created on moto."""

import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import sys
import time

import boto3
import pytest
import yaml
from moto.events.models import EventPattern
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.providers.provider import Stack
from samcli.lib.providers.sam_function_provider import SamFunctionProvider

import cloudformation
from conftest import ACCOUNT, REGION, ROOT
from function import TARGET

SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:crm-AbCdEf"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d"
LEAST = {"SesIdentities": "example.com", "DatabaseUrl": "postgres://u:p@db.example.com/crm"}
BY_SECRET = {
    "SesIdentities": "example.com",
    "DatabaseSecretArn": SECRET,
    "DatabaseUrl": "postgres://db.example.com:5432/crm",
}


# ── SAM's deployer ────────────────────────────────────────────────────────────────────────────────────────


def deploy_commands():
    """The `sam deploy` of each block of the README, in their order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [
        command.replace("\\\n", " ")
        for block in blocks
        for command in re.findall(r"^sam deploy(?:.*\\\n)*.*$", block, re.MULTILINE)
    ]


@pytest.fixture
def built(tmp_path):
    """A directory as `sam build` leaves it, with a stand-in for each executable."""
    template = (ROOT / "template.yaml").read_text().replace("    CodeUri: .\n", "")
    build = tmp_path / ".aws-sam/build"
    for name in ("SendBatch", "SesEvents", "Unsubscribe"):
        (build / f"{name}Function").mkdir(parents=True)
        (build / f"{name}Function/bootstrap").write_text("a stand-in")
        role = f"      Role: !GetAtt {name}Role.Arn\n"
        template = template.replace(role, f"{role}      CodeUri: {name}Function\n")
    (build / "template.yaml").write_text(template)
    shutil.copytree(ROOT / "statemachine", build / "statemachine")
    shutil.copy(ROOT / "samconfig.toml", tmp_path)
    return tmp_path


def in_terminal(command, directory, seconds=300, **variables):
    """Runs a command in a terminal without answering anything; its exit status and its output."""
    child, terminal = pty.fork()
    if child == 0:
        path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
        os.chdir(directory)
        os.execvpe("bash", ["bash", "-c", command], {**os.environ, "PATH": path, **variables})
    shown, ends_at = b"", time.monotonic() + seconds
    while time.monotonic() < ends_at:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    else:
        os.kill(child, 9)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode(errors="replace")


def deploy(command, directory, aws, **variables):
    status, shown = in_terminal(
        command,
        directory,
        AWS_ENDPOINT_URL=aws,
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION=REGION,
        SAM_CLI_TELEMETRY="0",
        **variables,
    )
    assert status == 0, shown
    return shown


def variables_of(account, function):
    return account("lambda").get_function_configuration(FunctionName=function)["Environment"]["Variables"]


def test_the_readme_deploys_with_a_url_and_says_how_to_switch_the_schedule_on(built, account, aws):
    with_url, _, switched_on = deploy_commands()
    url = "postgres://crm:p%40ss=w&rd@db.example.com:5432/crm?sslmode=verify-full&connect_timeout=3"
    given = {"SENDER": "you@example.com", "DATABASE_URL": url}
    shown = deploy(with_url, built, aws, **given)
    assert url not in shown
    assert variables_of(account, "campaign-sender-send-batch")["DATABASE_URL"] == url
    assert cloudformation.resolved("campaign-sender", "CampaignSchedule")["State"] == "DISABLED"
    # moto's updates know fewer types than what it creates, so the second command is only read.
    more = dict(re.findall(r"(\w+)=(\S+)", switched_on))
    assert more.pop("ScheduleState") == "ENABLED" and more.pop("AlarmEmail") == '"$SENDER"'
    assert more == dict(re.findall(r"(\w+)=(\S+)", with_url))


def test_the_readme_deploys_with_a_secret(built, account, aws):
    given = {
        "SENDER": "you@example.com",
        "DATABASE_SECRET_ARN": SECRET,
        "DATABASE_HOST": "crm.example.eu-central-1.rds.amazonaws.com",
        "DATABASE": "crm",
        "SUBNETS": "subnet-1,subnet-2",
        "SECURITY_GROUPS": "sg-1",
    }
    deploy(deploy_commands()[1], built, aws, **given)
    for function in ("send-batch", "ses-events", "unsubscribe"):
        variables = variables_of(account, f"campaign-sender-{function}")
        assert variables["DATABASE_SECRET_ARN"] == SECRET
        assert variables["DATABASE_URL"] == "postgres://crm.example.eu-central-1.rds.amazonaws.com:5432/crm"
    assert variables["UNSUBSCRIBE_SECRET"] == "" and variables["UNSUBSCRIBE_SECRET_ARN"].startswith("arn:")


# ── Parameters ────────────────────────────────────────────────────────────────────────────────────────────

WITH_EVERYTHING = {
    **BY_SECRET,
    "SesIdentities": "example.com,news@example.com,xn--bcher-kva.example",
    "DatabaseSecretKeyArn": KEY,
    "ActivitiesTable": "crm.activities",
    "SubnetIds": "subnet-1,subnet-2",
    "SecurityGroupIds": "sg-1",
    "ConfigurationSet": "mine",
    "CampaignConfigurationSets": "spring,summer",
    "EventDelivery": "EventBridge",
    "MaxSendRate": "14",
    "SendApi": "bulk",
    "SendConcurrency": "80",
    "UnsubscribeUrl": "https://news.example.com/u",
    "UnsubscribeSecretArn": SECRET,
    "UnsubscribeSecretKeyArn": KEY,
    "UnsubscribeMailto": "unsubscribe@example.com",
    "UnsubscribeConcurrency": "0",
    "UncertainPolicy": "resend",
    "GuardMaxBounceRate": "0.1",
    "ScheduleState": "ENABLED",
    "SendBatchConcurrency": "5",
    "AlarmEmail": "ops@example.com",
    "LogLevel": "DEBUG",
    "KmsKeyArn": KEY,
    "PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
}


def create(account, name, parameters):
    """The resources of the expanded and created stack, by their logical ids."""
    template = cloudformation.read()
    assert cloudformation.problems(template, parameters) == []
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": "code", "Key": "function.zip"}
    [machine] = [found for found in template["Resources"].values() if found["Type"] == "AWS::Serverless::StateMachine"]
    machine["Properties"]["DefinitionUri"] = {"Bucket": "code", "Key": "campaign.asl.yaml"}
    storage = account("s3")
    storage.create_bucket(Bucket="code")
    storage.put_object(Bucket="code", Key="function.zip", Body=b"PK\x05\x06" + b"\0" * 18)
    storage.put_object(Bucket="code", Key="campaign.asl.yaml", Body=(ROOT / "statemachine/campaign.asl.yaml").read_bytes())
    given = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
    expanded = json.dumps(cloudformation.expand(template, parameters))
    account("cloudformation").create_stack(StackName=name, TemplateBody=expanded, Parameters=given)
    listed = account("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
    # moto lists resources that it does not know without their ids.
    return {found["LogicalResourceId"]: found.get("PhysicalResourceId") for found in listed if "LogicalResourceId" in found}


def policy(account, role, sid):
    """The resources of a statement of a role's own policies."""
    iam = account("iam")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        # moto answers a document of CloudFormation as Python writes it, which is YAML.
        for statement in (yaml.safe_load(document) if isinstance(document, str) else document)["Statement"]:
            # moto puts None in the place of AWS::NoValue.
            if isinstance(statement, dict) and statement["Sid"] == sid:
                return statement["Resource"]
    return None


def test_the_least_parameters_make_a_stack_whose_events_come_by_sns(account):
    made = create(account, "least", LEAST)
    sns, sqs = account("sns"), account("sqs")
    subscription = cloudformation.resolved("least", "SesEventsSubscription")
    raw, dead_letters = subscription.pop("RawMessageDelivery"), subscription.pop("RedrivePolicy")
    assert dead_letters["deadLetterTargetArn"].endswith(made["UntakenSesEvents"].rpartition("/")[2])
    sns.subscribe(**subscription, Attributes={"RawMessageDelivery": str(raw).lower()})
    event = (ROOT / "events/ses/sns/delivery.json").read_text()
    sns.publish(TopicArn=made["SesEventsTopic"], Message=event)
    [message] = sqs.receive_message(QueueUrl=made["SesEvents"])["Messages"]
    assert json.loads(message["Body"]) == json.loads(event)
    assert "SesEventsRule" not in made
    queue = sqs.get_queue_attributes(QueueUrl=made["SesEvents"], AttributeNames=["All"])["Attributes"]
    assert json.loads(queue["RedrivePolicy"])["maxReceiveCount"] >= 100
    assert policy(account, made["SendBatchRole"], "Send") == [f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/example.com"]
    variables = variables_of(account, "least-send-batch")
    # Nothing secret in the variables: the keys are named, and read at run time.
    assert variables["UNSUBSCRIBE_SECRET"] == "" and ":secret:" in variables["UNSUBSCRIBE_SECRET_ARN"]


def test_every_parameter_reaches_what_it_is_for(account):
    made = create(account, "everything", WITH_EVERYTHING)
    variables = variables_of(account, "everything-send-batch")
    expected = {
        "ACTIVITIES_TABLE": "crm.activities",
        "SES_CONFIGURATION_SET": "mine",
        "SES_MAX_SEND_RATE": "14",
        "SEND_API": "bulk",
        "SEND_CONCURRENCY": "80",
        "UNSUBSCRIBE_URL": "https://news.example.com/u",
        "UNSUBSCRIBE_SECRET_ARN": SECRET,
        "UNSUBSCRIBE_MAILTO": "unsubscribe@example.com",
        "UNCERTAIN_POLICY": "resend",
    }
    assert {name: str(variables[name]) for name in expected} == expected
    assert "campaign_sender=debug" in variables["RUST_LOG"]
    assert str(variables_of(account, "everything-ses-events")["GUARD_MAX_BOUNCE_RATE"]) == "0.1"
    assert not {"CampaignConfigurationSet", "UnsubscribeSecret", "SesEventsTopic"} & set(made)
    assert {"SesEventsRule", "UseKey", "DecryptDatabaseSecret"} <= set(made)
    identities = policy(account, made["SendBatchRole"], "Send")
    assert [identity.rpartition("/")[2] for identity in identities] == WITH_EVERYTHING["SesIdentities"].split(",")
    sets = policy(account, made["SendBatchRole"], "UseConfigurationSetsOfCampaigns")
    assert [found.rpartition("/")[2] for found in sets] == ["spring", "summer"]


SECRETS = {name: SECRET.replace("crm-", f"{name}-") for name in ("send-batch", "ses-events", "unsubscribe")}
USERS = {name: f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:db-ABC/{name}" for name in SECRETS}


def database_of(account, made, stack, function):
    """How a function logs in, which secrets its role may read, and as whom it may connect."""
    variables = variables_of(account, f"{stack}-{function}")
    role = made[f"{''.join(word.title() for word in function.split('-'))}Role"]
    return (
        variables["DATABASE_URL"], variables["DATABASE_SECRET_ARN"], str(variables["DATABASE_IAM_AUTH"]).lower(),
        policy(account, role, "ReadOwnDatabaseSecret") or policy(account, role, "ReadDatabaseSecret"),
        policy(account, role, "ConnectAsOwnUser") or policy(account, role, "ConnectByIam"))


def test_each_function_may_have_a_login_of_its_own_and_reads_no_others_secret(account):
    place = "postgres://db.example.com:5432/crm"
    made = create(account, "secrets", {
        "SesIdentities": "example.com", "DatabaseUrl": place, "DatabaseSecretArn": SECRETS["send-batch"],
        "SesEventsDatabaseSecretArn": SECRETS["ses-events"],
        "UnsubscribeDatabaseSecretArn": SECRETS["unsubscribe"], "DatabaseSecretKeyArn": KEY})
    for name, secret in SECRETS.items():
        assert database_of(account, made, "secrets", name) == (place, secret, "", secret, None)

    urls = {name: f"postgres://{name}@db.example.com:5432/crm" for name in USERS}
    made = create(account, "users", {
        "SesIdentities": "example.com", "DatabaseUrl": urls["send-batch"], "DatabaseIamUserArn": USERS["send-batch"],
        "SesEventsDatabaseUrl": urls["ses-events"], "SesEventsDatabaseIamUserArn": USERS["ses-events"],
        "UnsubscribeDatabaseUrl": urls["unsubscribe"], "UnsubscribeDatabaseIamUserArn": USERS["unsubscribe"]})
    for name, user in USERS.items():
        assert database_of(account, made, "users", name) == (urls[name], "", "true", None, user)

    # A URL with a password for one of them beside the secret of the others.
    own = "postgres://unsubscribe:password@db.example.com/crm"
    made = create(account, "mixed", {
        **BY_SECRET, "UnsubscribeDatabaseUrl": own, "SesEventsDatabaseUrl": "none"})
    assert database_of(account, made, "mixed", "unsubscribe") == (own, "", "", None, None)
    assert database_of(account, made, "mixed", "ses-events") == (BY_SECRET["DatabaseUrl"], SECRET, "", SECRET, None)


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ({"DatabaseUrl": ""}, "DatabaseUrl or DatabaseSecretArn is needed"),
        ({"DatabaseUrl": "none"}, "DatabaseUrl or DatabaseSecretArn is needed"),
        ({"SubnetIds": "subnet-1"}, "SubnetIds need SecurityGroupIds"),
        ({"SecurityGroupIds": "sg-1"}, "SecurityGroupIds need SubnetIds"),
        ({"DatabaseSecretKeyArn": KEY}, "DatabaseSecretKeyArn goes with DatabaseSecretArn"),
        ({"SesEventsDatabaseIamUserArn": USERS["ses-events"]}, "SesEventsDatabaseIamUserArn goes with"),
        ({"UnsubscribeDatabaseUrl": "postgres://u@h/d", "UnsubscribeDatabaseSecretArn": SECRET,
          "UnsubscribeDatabaseIamUserArn": USERS["unsubscribe"]}, "UnsubscribeDatabaseIamUserArn goes with"),
        ({"ConfigurationSet": "mine", "TrackingDomain": "links.example.com"}, "TrackingDomain goes with a configuration set"),
        ({"SesIdentities": ""}, "Parameter SesIdentities failed"),
        ({"SesIdentities": "example.com,nobody"}, "Parameter SesIdentities failed"),
        ({"UnsubscribeUrl": "http://example.com"}, "Parameter UnsubscribeUrl failed"),
        ({"Timeout": "901"}, "Parameter Timeout failed"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_created(more, refused):
    [problem] = cloudformation.problems(cloudformation.read(), {**LEAST, **more})
    assert problem.startswith(refused)


@pytest.mark.parametrize(
    "more", [{}, {"DatabaseUrl": "none"}, {"DatabaseUrl": ""}, {"SesIdentities": "*"}, {"DatabaseSecretKeyArn": KEY}]
)
def test_what_can_work_is_accepted(more):
    assert cloudformation.problems(cloudformation.read(), {**BY_SECRET, **more}) == []


def test_two_stacks_of_an_account_leave_each_others_events_alone(account):
    event = json.loads((ROOT / "events/ses/eventbridge/send.json").read_text())
    event["account"] = ACCOUNT
    rules = {}
    for name, more in {"first": {}, "second": {"CampaignConfigurationSets": "spring,summer"}}.items():
        made = create(account, name, {**LEAST, "EventDelivery": "EventBridge", **more})
        described = account("events").describe_rule(Name=made["SesEventsRule"])
        rules[name] = EventPattern.load(described["EventPattern"])

    def takers(configuration_set):
        event["detail"]["mail"]["tags"]["ses:configuration-set"] = [configuration_set]
        return [name for name, rule in rules.items() if rule.matches_event(event)]

    assert [takers(name) for name in ("first", "second", "spring", "other")] == [["first"], ["second"], ["second"], []]
    del event["detail"]["mail"]["tags"]["campaign_id"]
    assert takers("first") == []


def test_two_stacks_by_sns_let_their_own_configuration_sets_publish(account):
    for name in ("first", "second"):
        create(account, name, LEAST)
        [statement] = cloudformation.resolved(name, "SesEventsTopicPolicy")["PolicyDocument"]["Statement"]
        own = [f"arn:aws:ses:{REGION}:{ACCOUNT}:configuration-set/{name}"]
        assert statement["Condition"]["ArnLike"]["AWS:SourceArn"] == own


# ── On one's own machine ──────────────────────────────────────────────────────────────────────────────────


def local_environment(function, world):
    """What `sam local invoke FUNCTION --env-vars events/environment.json` sets, by SAM's own resolver."""
    file = (ROOT / "events/environment.json").read_text()
    overrides = json.loads(re.sub(r"postgres://[^\"]*", world.database_url, file))
    stack = Stack("", "", str(ROOT / "template.yaml"), {}, cloudformation.read())
    found = SamFunctionProvider([stack]).get(function)
    runner = LocalLambdaRunner(None, None, str(ROOT), str(ROOT), env_vars_values=overrides)
    return runner._make_env_vars(found).resolve()


def test_sam_local_invoke_sends_what_is_due(world):
    campaign = world.campaign(3)
    resolved = local_environment("SendBatchFunction", world)
    assert resolved["UNSUBSCRIBE_URL"].startswith("https://")
    # SAM's resolver knows nothing of this machine's SES; what it sets otherwise is what the function is given.
    stand_ins = {name: value for name, value in world.environment().items() if name.startswith("AWS_")}
    ours = {name: value for name, value in resolved.items() if not name.startswith("AWS_")}
    world.functions.configure(TARGET / "send-batch", {"PATH": os.environ["PATH"], **ours, **stand_ins})
    assert world.invoke({})["status"] == "done" and world.outcomes(campaign) == {"sent": 3}


@pytest.mark.parametrize("function", ["SesEventsFunction", "UnsubscribeFunction"])
def test_sam_local_invoke_starts_the_others(function, world):
    ours = {k: v for k, v in local_environment(function, world).items() if not k.startswith("AWS_")}
    executable = {"SesEventsFunction": "ses-events", "UnsubscribeFunction": "unsubscribe"}[function]
    world.functions.configure(TARGET / executable, {"PATH": os.environ["PATH"], **ours})
    if executable == "ses-events":
        event = json.loads((ROOT / "events/ses/sqs/sns-raw.json").read_text())
        assert world.invoke(event) == {"batchItemFailures": []}
    else:
        event = json.loads((ROOT / "events/unsubscribe/get.json").read_text())
        assert world.invoke(event)["statusCode"] in (400, 404)
