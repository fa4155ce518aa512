"""A world for each test: a database, the local SES endpoint, the built function, and the state machine on moto."""

import json
import os
import subprocess
import time
import urllib.request
import uuid

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)

import cloudformation
from database import Database
from function import ROOT, TARGET, clean_environment
from lambda_service import LambdaService
from ses import LocalSes

REGION = "us-east-1"
ACCOUNT = "123456789012"
ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


def http(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request) as response:
        return response.read()


@pytest.fixture(scope="session")
def aws():
    """moto's endpoint, with its interpreter of state machines enabled."""
    teach_moto_to_start_executions()
    cloudformation.teach_moto()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    empty(url)
    yield url
    server.stop()


def empty(aws):
    """Deletes everything that was created in moto."""
    http("POST", f"{aws}/moto-api/reset")
    http("POST", f"{aws}/moto-api/config", {"stepfunctions": {"execute_state_machine": True}})


@pytest.fixture
def account(aws):
    """Clients of an account that is empty."""
    access = {"region_name": REGION, "endpoint_url": aws, "aws_access_key_id": "test", "aws_secret_access_key": "test"}

    def client(service):
        return boto3.client(service, **access)

    empty(aws)
    yield client
    empty(aws)


def teach_moto_to_start_executions():
    """`states:startExecution` takes `StateMachineArn`, and boto3 `stateMachineArn`: moto passes on the former."""
    evaluate = StateTaskServiceSfn._eval_service_task

    def with_names_of_boto3(self, env, resource_runtime_part, normalised_parameters, state_credentials):
        parameters = {name[0].lower() + name[1:]: value for name, value in normalised_parameters.items()}
        evaluate(self, env, resource_runtime_part, parameters, state_credentials)

    StateTaskServiceSfn._eval_service_task = with_names_of_boto3


@pytest.fixture(scope="session")
def lambda_service(aws):
    service = LambdaService(aws)
    # Where moto's state machines call every service.
    os.environ["MOTO_PORT"] = str(service.port)
    yield service
    service.reset()


@pytest.fixture(scope="session")
def ses():
    endpoint = LocalSes()
    yield endpoint.url
    endpoint.close()


@pytest.fixture
def world(aws, lambda_service, ses):
    world = World(aws, lambda_service, ses)
    yield world
    world.close()


@pytest.fixture
def roles(world):
    """The roles of `access/`, and `crm`, which the CRM connects as. Roles belong to the server: it keeps them."""
    role = "SELECT FROM pg_roles WHERE rolname = 'crm'"
    world.database.execute(f"DO $$ BEGIN IF NOT EXISTS ({role}) THEN CREATE ROLE crm; END IF; END $$")
    # Twice, as after new migrations.
    for file in ["roles.sql", "row_level_security.sql"] * 2:
        world.psql(ROOT / "access" / file)


class World:
    def __init__(self, aws, lambda_service, ses):
        self.aws, self.functions, self.ses = aws, lambda_service, ses
        self.database = Database("orchestration")
        self.name, self.database_url = self.database.name, self.database.url
        # The endpoint is shared: each test finds it empty and at rest.
        for method, what, body in [
            ("DELETE", "messages", None),
            ("DELETE", "rules", None),
            ("PUT", "latency", {"ms": 0}),
        ]:
            http(method, f"{ses}/_local/{what}", body)
        self.steps = boto3.client("stepfunctions", **self.client())
        self.notifications = self.make_topic()
        self.configure()

    def close(self):
        self.functions.reset()
        self.database.close()

    def client(self):
        return {
            "region_name": REGION,
            "endpoint_url": self.aws,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }

    def environment(self, **variables):
        """The variables that a function, or the command line, needs to send."""
        return clean_environment(
            **{
                "DATABASE_URL": self.database_url,
                "AWS_ENDPOINT_URL_SESV2": self.ses,
                "AWS_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "AKIDLOCAL",
                "AWS_SECRET_ACCESS_KEY": "local-secret",
                "UNSUBSCRIBE_URL": "https://unsubscribe.example.com",
                "UNSUBSCRIBE_SECRET": "a-secret-of-the-tests-0123456789abcdef",
                **variables,
            }
        )

    def configure(self, executable=TARGET / "send-batch", timeout=30, **variables):
        self.functions.configure(executable, self.environment(**variables), timeout)

    def psql(self, file, **variables):
        arguments = [f"--set={name}={value}" for name, value in {"ON_ERROR_STOP": 1, **variables}.items()]
        command = ["psql", "--quiet", "--no-psqlrc", *arguments, f"--file={file}", self.database_url]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    # ── Campaigns ─────────────────────────────────────────────────────────────────────────────────────────

    def campaign(self, recipients, status="sending", scheduled_at=None, campaign_id=None, **columns):
        """A campaign with this number of recipients; `scheduled_at` is an SQL expression."""
        campaign_id = campaign_id or uuid.uuid4()
        values = {"subject": "Hello", "text": "Good day", **columns}
        names = "".join(f", {name}" for name in values)
        self.database.execute(
            f"""INSERT INTO campaigns (id, organization_id, name, status, from_address, created_by, scheduled_at{names})
                VALUES (%s, gen_random_uuid(), 'Spring', %s, 'news@example.com', gen_random_uuid(),
                        {scheduled_at or "NULL"}{", %s" * len(values)})""",
            [campaign_id, status, *values.values()],
        )
        self.database.execute(
            """INSERT INTO campaign_recipients (campaign_id, organization_id, email)
               SELECT id, organization_id, 'r' || n || '@' || id || '.example.com'
                 FROM campaigns, generate_series(1, %s) AS n WHERE id = %s""",
            [recipients, campaign_id],
        )
        return str(campaign_id)

    def status(self, campaign_id):
        return self.database.execute("SELECT status FROM campaigns WHERE id = %s", [campaign_id]).fetchone()[0]

    def outcomes(self, campaign_id):
        sql = "SELECT status, count(*) FROM campaign_recipients WHERE campaign_id = %s GROUP BY status"
        return dict(self.database.execute(sql, [campaign_id]).fetchall())

    def messages(self):
        return json.loads(http("GET", f"{self.ses}/_local/messages?limit=1000"))["messages"]

    def accepted(self):
        return json.loads(http("GET", f"{self.ses}/_local/messages?limit=1"))["total"]

    def received_twice(self):
        return json.loads(http("GET", f"{self.ses}/_local/duplicates"))

    def ses_rule(self, rule):
        http("POST", f"{self.ses}/_local/rules", rule)

    def ses_latency(self, ms):
        http("PUT", f"{self.ses}/_local/latency", {"ms": ms})

    # ── The state machine ─────────────────────────────────────────────────────────────────────────────────

    def make_topic(self):
        """The ARN of a topic, and a function that reads what was published to it."""
        sns, sqs = boto3.client("sns", **self.client()), boto3.client("sqs", **self.client())
        self.topic = sns.create_topic(Name=self.name)["TopicArn"]
        queue = sqs.create_queue(QueueName=self.name)["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}"
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)

        def read():
            messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
            return [json.loads(message["Body"])["Message"] for message in messages]

        return read

    def notices(self):
        """A function that reads the notices of campaigns that EventBridge was given since the last look."""
        events, sqs = boto3.client("events", **self.client()), boto3.client("sqs", **self.client())
        name = f"{self.name}-notices"
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]
        events.put_rule(Name=name, EventPattern=json.dumps({"source": ["campaign-sender"]}))
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

        def read():
            messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
            for message in messages:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return [json.loads(message["Body"]) for message in messages]

        return read

    def state_machine(self, passes=None, bus="default"):
        """Creates the state machine as the template has it, if need be with another number of passes."""
        text = (ROOT / "statemachine/campaign.asl.yaml").read_text()
        text = text.replace("${SendBatchFunctionArn}", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:send-batch")
        text = text.replace("${HaltedTopicArn}", self.topic).replace("${NoticeEventBus}", bus)
        if passes:
            assert text.count("NumericGreaterThanEquals: 800") == 1
            text = text.replace("NumericGreaterThanEquals: 800", f"NumericGreaterThanEquals: {passes}")
        assert "${" not in text
        self.machine = self.steps.create_state_machine(
            name=self.name,
            definition=json.dumps(yaml.safe_load(text)),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/{self.name}",
        )["stateMachineArn"]

    def invoke(self, event):
        """Invokes the function without a state machine; its result."""
        payload, failed = self.functions.invoke(json.dumps(event).encode())
        assert not failed, payload
        return json.loads(payload)

    def start(self, event, name=None):
        # moto gives no name of its own.
        name = name or str(uuid.uuid4())
        return self.steps.start_execution(stateMachineArn=self.machine, name=name, input=json.dumps(event))[
            "executionArn"
        ]

    def history(self, execution, seconds=60):
        """All events of an execution, after its end."""
        self.end(execution, seconds)
        pages = self.steps.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def end(self, execution, seconds=60):
        """Waits for the end of an execution."""
        give_up = time.monotonic() + seconds
        while True:
            description = self.steps.describe_execution(executionArn=execution)
            if description["status"] in ENDED:
                return description
            if time.monotonic() > give_up:
                pytest.fail(f"no end after {seconds} s\n" + "\n".join(self.functions.logs()[-5:]))
            time.sleep(0.05)

    def run(self, event, seconds=60):
        """Runs an execution, and those that it starts, to the end; returns the first."""
        first = self.end(self.start(event), seconds)
        self.end_all(seconds)
        return first

    def end_all(self, seconds=60):
        """Waits for the end of all executions, also of those that they start meanwhile; returns them."""
        ended = {}
        while running := [execution for execution in self.executions() if execution not in ended]:
            ended |= {execution: self.end(execution, seconds) for execution in running}
        return list(ended.values())

    def executions(self):
        listed = self.steps.list_executions(stateMachineArn=self.machine)["executions"]
        return [execution["executionArn"] for execution in listed]

    def output(self, description):
        assert description["status"] == "SUCCEEDED", (description.get("error"), description.get("cause"))
        return json.loads(description["output"])
