"""Secrets that the built functions read at run time, from moto's Secrets Manager."""

import json
import re

import boto3
import pytest

from conftest import REGION, ROOT, http
from function import TARGET

OLD, NEW = "the-old-key-0123456789-0123456789-0123", "the-new-key-0123456789-0123456789-0123"


@pytest.fixture
def secrets(world):
    return boto3.client("secretsmanager", **world.client())


def with_keys(world, function, arn):
    variables = {"UNSUBSCRIBE_SECRET": "", "UNSUBSCRIBE_SECRET_ARN": arn, "AWS_ENDPOINT_URL_SECRETS_MANAGER": world.aws}
    world.configure(TARGET / function, **variables)


def link_of_an_email(world, arn):
    """The token in an email that is sent with the current key."""
    with_keys(world, "send-batch", arn)
    campaign = world.campaign(1)
    assert world.invoke({"campaignId": campaign})["batch"]["sent"] == 1
    [message] = [found for found in world.messages() if campaign in json.dumps(found)]
    email = http("GET", f"{world.ses}/_local/messages/{message['id']}").decode()
    return re.search(r"https://unsubscribe\.example\.com/([\w.~-]+)", email)[1]


def clicked(world, token):
    event = (ROOT / "events/unsubscribe/one-click.json").read_text().replace("TOKEN", token)
    return world.invoke(json.loads(event))["statusCode"]


def test_a_key_is_rotated_without_a_deployment_and_links_of_both_keys_work(world, secrets):
    arn = secrets.create_secret(Name=world.name, SecretString=OLD)["ARN"]
    old = link_of_an_email(world, arn)
    secrets.put_secret_value(SecretId=arn, SecretString=f"{NEW},{OLD}")
    new = link_of_an_email(world, arn)
    # An instance that has read the old key alone, when the first link of the new key is clicked.
    secrets.put_secret_value(SecretId=arn, SecretString=OLD)
    with_keys(world, "unsubscribe", arn)
    assert clicked(world, old) == 200
    secrets.put_secret_value(SecretId=arn, SecretString=f"{NEW},{OLD}")
    assert [clicked(world, token) for token in (new, old)] == [200, 200]
    # A forged token does not have the secret read each time: the instance goes on with what it knows.
    secrets.put_secret_value(SecretId=arn, SecretString="another-key-0123456789-0123456789-0123")
    forged = ("B" if new[-2] == "A" else "A").join([new[:-2], new[-1]])
    assert [clicked(world, token) for token in (forged, new)] == [400, 200]
    assert not [line for line in world.functions.logs() if OLD in line or NEW in line]


def test_keys_that_cannot_be_read_fail_the_invocation_and_halt_nobody(world, secrets):
    arn = secrets.create_secret(Name=world.name, SecretString="too-short")["ARN"]
    with_keys(world, "send-batch", arn)
    campaign = world.campaign(1)
    payload, failed = world.functions.invoke(json.dumps({"campaignId": campaign}).encode())
    assert failed and json.loads(payload)["errorType"] == "UnsubscribeSecretUnavailable"
    assert b"too-short" not in payload and world.status(campaign) == "sending"
    # A campaign that needs no link is sent.
    assert world.invoke({"campaignId": world.campaign(1, transactional=True)})["status"] == "done"
    with_keys(world, "unsubscribe", arn)
    assert clicked(world, "A" * 87) == 503


@pytest.mark.parametrize("whole", [False, True])
def test_a_secret_as_rds_manages_it_takes_the_place_from_the_url(world, secrets, whole):
    info = world.database.info
    secret = {"username": info.user, "password": "p/@:%"}
    if whole:
        # What the URL says goes before it, as with a proxy.
        secret |= {"host": "elsewhere.example.com", "port": 1, "dbname": "other"}
    arn = secrets.create_secret(Name=f"{world.name}-{whole}", SecretString=json.dumps(secret))["ARN"]
    world.configure(
        DATABASE_URL=f"postgres://{info.host}:{info.port}/{world.name}",
        DATABASE_SECRET_ARN=arn,
        AWS_ENDPOINT_URL_SECRETS_MANAGER=world.aws,
    )
    assert world.invoke({"campaignId": world.campaign(2)})["status"] == "done"


def test_a_url_with_a_password_next_to_a_secret_stops_the_start(world):
    world.configure(DATABASE_URL="postgres://u:hunter2@h/d", DATABASE_SECRET_ARN=f"arn:aws:secretsmanager:{REGION}:1:secret:x")
    world.functions.invoke(b"{}")
    [line] = [line for line in world.functions.logs() if "DATABASE_URL" in line]
    assert "has a password (it is not shown)" in line and "hunter2" not in line
