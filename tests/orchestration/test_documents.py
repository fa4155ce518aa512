"""Runs what the documents show: their SQL and their example programs."""

import json
import os
import re
import subprocess
import sys

import pytest

from conftest import ROOT, TARGET

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = ROOT / "docs/examples"
COMMAND_LINE = TARGET / "campaign"
ORGANIZATION = "0d5b1a52-3b1f-4f6e-8f0a-6c2d8e7b9a10"
CAMPAIGN = "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35"

# The documents assume this table of a CRM's customers.
CUSTOMERS = f"""
    CREATE TABLE customers (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL, email text NOT NULL,
        name text, city text, subscribed boolean NOT NULL, welcomed_at timestamptz);
    INSERT INTO customers (organization_id, email, name, city, subscribed, welcomed_at) VALUES
        ('{ORGANIZATION}', 'ana@example.com', 'Ana Silva', 'Porto', true, now()),
        ('{ORGANIZATION}', 'ben@example.com', NULL, 'Oslo', true, NULL),
        ('{ORGANIZATION}', 'eve@example.com', 'Eve', 'Rome', false, NULL);
"""


def blocks(language, document):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", document.read_text(), re.MULTILINE | re.DOTALL)


def sql_blocks(document):
    return blocks("sql", document)


def run_sql(world, document):
    for block in sql_blocks(document):
        # An ellipsis stands for a value, or for a condition, that the reader knows.
        world.database.execute(block.replace("'…'", f"'{ORGANIZATION}'").replace("WHERE …", "WHERE true"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem)
def test_the_sql_of_a_document_runs(document, world, roles):
    world.database.execute(CUSTOMERS)
    run_sql(world, document)


def test_a_campaign_written_by_sql_is_sent(world):
    world.database.execute(CUSTOMERS)
    written = sql_blocks(ROOT / "docs/write-campaigns.md")[0]
    world.database.execute(written)
    assert world.invoke({"campaignId": CAMPAIGN})["progress"]["sent"] == 2
    assert sorted(message["subject"] for message in world.messages()) == ["Hello Ana Silva", "Hello you"]


def test_a_timeline_of_the_crms_own_gets_the_activities(world):
    run_sql(world, ROOT / "docs/your-activities-table.md")
    world.configure(ACTIVITIES_TABLE="crm.activities")
    campaign = world.campaign(3)
    assert world.invoke({"campaignId": campaign})["activities"]["count"] == 3
    assert world.database.execute("SELECT count(*) FROM crm.activities").fetchone()[0] == 3


def test_whom_the_old_loop_has_written_to_is_left_alone(world):
    world.database.execute(CUSTOMERS)
    run_sql(world, ROOT / "docs/from-a-job-loop.md")
    result = world.invoke({"campaignId": "a3c1f0de-2b6d-4f58-8a34-9d0e5b7c6f21"})
    assert result["status"] == "done" and result["batch"]["sent"] == 1 and result["progress"]["sent"] == 2
    assert [message["to"] for message in world.messages()] == [["ben@example.com"]]


def test_the_first_email_of_the_readme_is_sent(world):
    world.psql(EXAMPLES / "first-email.sql", sender="you@example.com")
    assert world.invoke({})["batch"]["sent"] == 1


def test_the_python_example_writes_a_campaign_that_is_sent(world):
    assert_sends_two(world, [sys.executable, EXAMPLES / "write_campaign.py"])


def test_the_typescript_example_writes_a_campaign_that_is_sent(world):
    assert_sends_two(world, ["npx", "--no-install", "tsx", "write-campaign.ts"])


def assert_sends_two(world, command):
    environment = {**os.environ, "DATABASE_URL": world.database_url}
    done = subprocess.run(command, cwd=EXAMPLES, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = world.invoke({"campaignId": done.stdout.strip()})
    assert result["status"] == "done" and result["batch"]["sent"] == 2


def test_the_typescript_example_keeps_its_types():
    command = ["npx", "--no-install", "tsc", "--noEmit", "--strict", "--module", "nodenext", "--target", "es2022"]
    subprocess.run([*command, "--skipLibCheck", "write-campaign.ts"], cwd=EXAMPLES, check=True)


SHELL = {f"{document.stem}-{n}": block for document in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]
         for n, block in enumerate(blocks("sh", document), 1)}


@pytest.mark.parametrize("block", SHELL.values(), ids=SHELL)
def test_the_commands_of_a_document_can_be_pasted(block):
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for path in re.findall(r"(?<=[\s=])(?:docs|events|migrations|scripts|access)/[\w./-]+\.\w+", block):
        assert (ROOT / path).exists(), path
    for arguments in re.findall(r"(?:^|\$\(|campaign -- |/)campaign ((?:.*\\\n)*.*)", block, re.MULTILINE):
        assert_takes(arguments.split("#")[0])


def assert_takes(arguments):
    """`campaign` has this command, and the command has these options."""
    words, command = arguments.strip(" )").split(), []
    while words and re.fullmatch(r"[a-z][a-z-]+", words[0]) and len(command) < 2:
        command.append(words.pop(0))
    shown = subprocess.run([COMMAND_LINE, *command, "--help"], capture_output=True, text=True)
    assert shown.returncode == 0, arguments + shown.stderr
    for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", arguments):
        assert re.search(rf"{option}\b", shown.stdout), f"campaign {' '.join(command)} has no {option}"


def source(*files):
    texts = (ROOT.joinpath("src", file).read_text() for file in files)
    return "\n".join(text.split("#[cfg(test)]")[0] for text in texts)


def names_to_explain():
    """Every status, reason, error type and code that a user can meet, read from the code, and every alarm."""
    patterns = {
        r"^    (\w+),$": source("domain/result.rs").split("pub enum Status {")[1].split("}")[0],
        r'Verdict::wait\([^"]*"([^"{:]+)': source(
            "domain/verdict.rs", "send_batch/answer.rs", "send_batch/close.rs", "send_batch/next_batch.rs"
        ),
        r'ErrorKind::\w+ => "(\w+)"': source("domain/error_kind.rs"),
        r'uncertain\(\s*"(\w+)"|code: "(\w+)"|failed\("(\w+)"': source(
            "ses/classify.rs", "send_batch/record.rs", "send_batch/send.rs", "domain/ledger.rs", "message/compose.rs"
        ),
        r"error_code = '(\w+)'": source("send_batch/record.sql"),
        r"^  (\w+Alarm):$": (ROOT / "template.yaml").read_text(),
    }
    for pattern, text in patterns.items():
        found = {next(filter(None, match.groups())) for match in re.finditer(pattern, text, re.MULTILINE)}
        assert found, pattern
        yield from (name.lower() if pattern.startswith("^    ") else name for name in found)


def test_operate_explains_what_a_user_can_meet():
    page = (ROOT / "docs/operate.md").read_text()
    assert [name for name in names_to_explain() if name not in page] == []


def test_links_lead_somewhere():
    for document in [*DOCUMENTS, *sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*/*.md"))]:
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if not link.startswith("https:"):
                path, _, anchor = link.partition("#")
                target = document.parent / path if path else document
                assert target.exists(), f"{document.name}: {link}"
                assert not anchor or anchor in anchors(target), f"{document.name}: {link}"


def anchors(document):
    """The anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
