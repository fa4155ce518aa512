"""Compares the JSON Schemas of event, result and notice, and their types, with the functions' events and results."""

import importlib.util
import json
import os
import shutil
import subprocess
import typing

import jsonschema
import pytest

from conftest import ROOT
from function import TARGET

SCHEMAS = ROOT / "docs/schema"
TYPESCRIPT = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022"]


def schema(name):
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text())


def validator(name):
    checker = jsonschema.Draft7Validator.FORMAT_CHECKER
    return jsonschema.Draft7Validator(schema(name), format_checker=checker)


@pytest.fixture
def results(world):
    """Results of every status with the events that led to them: (event, result)."""
    found = []

    def invoke(event):
        found.append((event, world.invoke(event)))
        return found[-1][1]

    campaign = world.campaign(3)
    assert invoke({"campaignId": campaign, "batchSize": 2})["status"] == "continue"
    assert invoke({"campaignId": campaign, "batchSize": None, "lanes": 2})["status"] == "done"
    later = world.campaign(1, status="scheduled", scheduled_at="now() + interval '1 hour'")
    assert invoke({"campaignId": later})["status"] == "wait"
    for status in ("paused", "cancelled"):
        assert invoke({"campaignId": world.campaign(1, status=status)})["status"] == status
    halted = world.campaign(1, subject="Hello {{ name")
    assert invoke({"campaignId": halted})["status"] == "halted"
    assert invoke({})["status"] == "idle"
    tick = json.loads((ROOT / "events/eventbridge-rule.json").read_text())
    assert invoke(tick)["status"] == "idle"
    owing = world.campaign(2)
    world.configure(ACTIVITIES_TABLE="crm.activities")
    columns = "organization_id uuid, user_id uuid, entity_type text, entity_id uuid, action text, description text, metadata jsonb, source text, source_ref text"
    world.database.execute(f"CREATE SCHEMA crm; CREATE TABLE crm.activities ({columns})")
    assert invoke({"campaignId": owing, "batchSize": 1})["status"] == "continue"
    world.database.execute("DROP TABLE crm.activities")
    owed = invoke({"campaignId": owing, "batchSize": 1})
    assert owed["next"]["unrecorded"] and not owed["activities"]["success"]
    world.database.execute(f"CREATE TABLE crm.activities ({columns})")
    assert invoke(owed["next"])["status"] == "done"
    return found


def test_what_the_function_takes_and_answers_is_as_the_schemas_say(results):
    assert {result["status"] for _, result in results} == set(schema("result")["definitions"]["status"]["enum"])
    for event, result in results:
        validator("event").validate(event)
        validator("result").validate(result)
        if result["next"]:
            validator("event").validate(result["next"])


@pytest.mark.parametrize(
    "event",
    [
        {"batchSize": 5},
        {"campaignId": "7"},
        {"campaignId": "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35", "batchSize": 0},
        {"campaignId": "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35", "batchSize": 10001},
        {"campaignId": "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35", "batchSize": "500"},
        {"campaignId": "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35", "lanes": 41},
        {"campaignId": "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35", "batchSise": 5},
        {"campaignId": "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35", "unrecorded": 5},
        {"detail-type": "Other Event"},
        [],
    ],
)
def test_what_the_function_refuses_the_schema_refuses(event, world):
    payload, failed = world.functions.invoke(json.dumps(event).encode())
    assert failed and b"InvalidEvent" in payload
    assert not validator("event").is_valid(event)


def test_the_typescript_types_are_those_of_the_schemas_and_take_what_the_function_answers(results, tmp_path):
    made = tmp_path / "made"
    options = ["--bannerComment", "/* Made from ../*.schema.json by `npm run types`. */"]
    json2ts = ["npx", "--no-install", "json2ts", "--input", "*.schema.json", "--output", str(made), *options]
    subprocess.run(json2ts, cwd=SCHEMAS, check=True)
    for file in sorted(made.iterdir()):
        assert file.read_text() == (SCHEMAS / "typescript" / file.name).read_text(), file.name

    shutil.copytree(SCHEMAS / "typescript", tmp_path / "typescript")
    answers = ",\n".join(json.dumps(result) for _, result in results)
    events = ",\n".join(json.dumps(event) for event, _ in results)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "program.ts").write_text(
        f"""import type {{ BatchResult, BatchStatus, NextEvent, SendBatchEvent }} from "./typescript/index.js";
            const results: BatchResult[] = [{answers}];
            const events: SendBatchEvent[] = [{events}];
            export function next(result: BatchResult): NextEvent | null {{
              switch (result.status) {{
                case "continue": case "wait": return result.next;
                case "done": case "paused": case "cancelled": case "halted": case "idle": return null;
                default: {{ const never: never = result.status; return never; }}
              }}
            }}
            export const rates: number[] = results.map((result) => result.batch.sent / result.batch.claimed);
            export const statuses: BatchStatus[] = results.map((result) => result.status);
            events.push({{ campaignId: "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35", batchSize: 500 }});
        """
    )
    assert compiled(tmp_path) == ""
    # A field of another name or type is none.
    program = (tmp_path / "program.ts").read_text()
    for good, bad in [("result.batch.sent", "result.batch.send"), ("batchSize: 500", 'batchSize: "500"')]:
        (tmp_path / "program.ts").write_text(program.replace(good, bad))
        assert "error TS" in compiled(tmp_path), bad


def compiled(directory):
    command = [SCHEMAS / "node_modules/.bin/tsc", *TYPESCRIPT, "program.ts"]
    done = subprocess.run(command, cwd=directory, env=dict(os.environ), capture_output=True, text=True)
    return done.stdout + done.stderr


def test_the_python_types_are_those_of_the_schemas():
    spec = importlib.util.spec_from_file_location("types_of_campaign_sender", SCHEMAS / "campaign_sender_types.py")
    types = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(types)
    for name, python in [("result", types.BatchResult), ("notice", types.CampaignNotice)]:
        assert_same(schema(name), schema(name), python)
    event = schema("event")
    assert_same(event, event["definitions"]["campaignEvent"], types.CampaignEvent)
    assert_same(event, event["definitions"]["scheduledEvent"], types.ScheduledEvent)
    assert_same(event, event["definitions"]["emptyEvent"], types.EmptyEvent)


NAMES = {"string": str, "integer": int, "boolean": bool, "null": type(None)}


def assert_same(whole, part, python):
    """Checks that a type equals a part of a schema."""
    if "$ref" in part:
        return assert_same(whole, whole["definitions"][part["$ref"].rsplit("/", 1)[1]], python)
    if "anyOf" in part:
        options = part["anyOf"]
        assert len(typing.get_args(python)) == len(options), (part, python)
        for option, of in zip(options, typing.get_args(python)):
            assert_same(whole, option, of)
    elif "enum" in part:
        assert list(typing.get_args(python)) == part["enum"], (part, python)
    elif part["type"] == "object" and (part.get("properties") or part.get("maxProperties") == 0):
        hints = typing.get_type_hints(python, include_extras=False)
        properties = part.get("properties", {})
        assert list(hints) == list(properties), (part, python)
        assert python.__required_keys__ == set(part.get("required", [])), python
        for name, of in hints.items():
            assert_same(whole, properties[name], of)
    elif isinstance(part["type"], list):
        assert {kind_of(of) for of in typing.get_args(python)} == set(part["type"]), (part, python)
    else:
        assert kind_of(python) == part["type"], (part, python)


def kind_of(python):
    if typing.get_origin(python) is dict:
        return "object"
    return next(name for name, of in NAMES.items() if of is python)
