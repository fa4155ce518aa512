"""Runs what the documents show: their SQL and their example programs."""

import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from conftest import ROOT, TARGET
from test_policies import Template

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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.stem)
def test_the_commands_that_a_sentence_names_exist(document):
    for arguments in set(re.findall(r"`(?:[^`\n]* \| )?campaign ([a-z][^`\n]*)`", document.read_text())):
        assert_takes(arguments)


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


def section(document, heading):
    """The text below a heading, up to the next heading of its level or above."""
    text = (ROOT / document).read_text().split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(heading.split()[0])}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text):
    """The cells of all tables of a text, without the tables' heads."""
    tables = re.findall(r"^\|.*\n\|[-| ]+\|\n((?:\|.*\n?)+)", text, re.MULTILINE)
    assert tables
    lines = [line for table in tables for line in table.splitlines()]
    return [[cell.strip() for cell in re.split(r"(?<= )\|(?= |$)", line[1:-1])] for line in lines]


def table(document, heading):
    """The rows between a heading and the next one."""
    return rows(section(document, heading).split("\n#")[0])


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def all_sources(*folders):
    """The text of all sources without their tests; literals that go over several lines are on one."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix == ".rs":
                yield re.sub(r"\\\n\s*", "", file.read_text().split("#[cfg(test)]")[0]).replace('\\"', '"')
            elif file.suffix == ".sql":
                yield re.sub(r"'\n\s*'", "", file.read_text()).replace("''", "'")


def template(part):
    return yaml.load((ROOT / "template.yaml").read_text(), Template)[part]


DURATIONS = {300: "five minutes", 900: "a quarter of an hour", 3600: "an hour", 7200: "two hours"}


def test_each_alarm_is_listed_with_its_time_and_no_other_is():
    alarms = {name: found["Properties"] for name, found in template("Resources").items()
              if found["Type"] == "AWS::CloudWatch::Alarm"}
    listed = {name: row[1] for row in table("docs/operate.md", "## Alarms") for name in quoted(row[0])}
    assert sorted(listed) == sorted(alarms)
    for name, alarm in alarms.items():
        if re.search("Seconds$|^ApproximateAge", alarm.get("MetricName", "")):
            assert DURATIONS[alarm["Threshold"]] in listed[name], name
        elif alarm["EvaluationPeriods"] > 1 or alarm["Threshold"] > 0:
            assert DURATIONS[alarm["Period"] * alarm["EvaluationPeriods"]] in listed[name], name
    [of_the_end] = re.findall(r"([^.]*) notify again when the cause is over", section("docs/operate.md", "## Alarms"))
    assert set(quoted(of_the_end)) == {name for name, alarm in alarms.items() if "OKActions" in alarm}


def test_each_metric_is_listed_with_its_unit_and_function_and_no_other_is():
    metrics = set(re.findall(r'\("(\w+)", "(Count|Seconds|Milliseconds)", ', "\n".join(all_sources("src/lambda"))))
    named = [(name, row) for row in table("docs/operate.md", "## Metrics") for name in quoted(row[0])]
    assert {(name, row[1]) for name, row in named} == metrics
    functions = {"SendBatchFunction": "send-batch", "SesEventsFunction": "ses-events"}
    listed = {name: quoted(row[2])[0] for name, row in named}
    for dimensions in re.findall(r'"CampaignSender", "(\w+)", "FunctionName", "\$\{(\w+)\}"',
                                 (ROOT / "template.yaml").read_text()):
        assert listed[dimensions[0]] == functions[dimensions[1]]
    for alarm in template("Resources").values():
        properties = alarm.get("Properties", {})
        if properties.get("Namespace") == "CampaignSender":
            assert listed[properties["MetricName"]] == functions[properties["Dimensions"][0]["Value"]["Ref"]]


def log_lines():
    """Each log line that the functions write: its level and message, and the names of its fields."""
    for text in all_sources("src"):
        for call in re.finditer(r"tracing::(error|warn|info)!\(", text):
            arguments = arguments_of(text[call.end():])
            fields = [re.match(r"\s*[%?]?(\w+)", argument).group(1) for argument in arguments[:-1]]
            yield (call.group(1), arguments[-1].strip()[1:-1]), set(fields)


def arguments_of(text):
    """The arguments of a call that begins before this text."""
    arguments, depth, in_string = [""], 1, False
    for character in text:
        if character == '"':
            in_string = not in_string
        if not in_string:
            depth += (character in "([{") - (character in ")]}")
            if depth == 0:
                break
            if depth == 1 and character == ",":
                arguments.append("")
                continue
        arguments[-1] += character
    return [argument for argument in arguments if argument.strip()]


def test_each_log_line_of_the_functions_is_listed_with_its_level_and_fields_and_no_other_is():
    written = {}
    for line, fields in log_lines():
        written.setdefault(line, set()).update(fields)
    assert len(written) > 30
    listed = {}
    for level, message, meaning, _ in rows(section("docs/operate.md", "## The functions' logs")):
        fields = re.search(r"fields: ([^;.]*)", meaning)
        listed[level, quoted(message)[0]] = set(quoted(fields.group(1))) if fields else set()
    assert listed == written


@pytest.mark.parametrize("heading", ["## The result of a batch", "## Errors of an invocation"])
def test_the_messages_that_are_listed_are_in_the_sources(heading):
    sources = "\n".join(all_sources("src", "migrations", "cli/src/send"))
    cells = [row[1] for row in table("docs/operate.md", heading)]
    messages = [message for cell in cells if not cell.startswith("for example") for message in quoted(cell)]
    assert len(messages) > 10
    parts = [part.strip(" .") for message in messages for part in re.split("…|: ", message)]
    assert [part for part in parts if part not in sources] == []


def test_the_statuses_and_codes_that_are_listed_are_produced():
    statuses = source("domain/result.rs").split("pub enum Status {")[1].split("}")[0]
    results = [name for row in table("docs/operate.md", "## The result of a batch") for name in quoted(row[0])]
    assert sorted(results) == sorted(name.lower() for name in re.findall(r"^    (\w+),$", statuses, re.MULTILINE))
    sources = "\n".join(all_sources("src", "cli/src/resolve"))
    # The examples after "SES's own code", and those with HTTP's status, are whatever SES or a proxy answers.
    cells = [row[1].split("SES's own code")[0] for row in table("docs/operate.md", "## Recipients that are not `sent`")]
    codes = [code for cell in cells for code in quoted(cell) if not code.startswith("http_")]
    assert len(codes) > 8
    assert [code for code in codes if f'"{code}"' not in sources and f"'{code}'" not in sources] == []


LIMITS = ("MinValue", "MaxValue")


def test_each_parameter_is_listed_with_its_default_and_limits_and_no_other_is():
    parameters, listed = template("Parameters"), []
    for names, defaults, meaning in table("docs/deploy.md", "## Parameters"):
        names = quoted(names)
        listed += names
        defaults = quoted(defaults) or defaults.split(", ")
        for name, default in zip(names, defaults * len(names) if len(defaults) == 1 else defaults, strict=True):
            about = parameters[name]
            assert default == (str(about["Default"]) or "empty" if "Default" in about else "required"), name
            least, most = (about.get(limit) for limit in LIMITS)
            if most is not None:
                assert f"{least} to {most}" in meaning, name
            elif least is not None:
                assert f"at least {least}" in meaning, name
            if len(values := about.get("AllowedValues", [])) < 10:
                assert set(values) <= set(quoted(meaning)), name
    assert sorted(listed) == sorted(parameters)


def test_each_variable_is_listed_and_no_other_is():
    read = set()
    for text in all_sources("src"):
        read |= set(re.findall(r'(?:variable|rate|env::var|env::var_os)\("([A-Z][A-Z_]+)"', text))
        read |= set(re.findall(r'"((?:SSL|GUARD)_[A-Z_]+)"', text))
    of_lambda = {name for name in read if name.startswith("AWS_")}
    listed = {name: row for row in table("README.md", "## Configuration") for name in quoted(row[0])}
    assert sorted(listed) == sorted(read - of_lambda | {"AWS_*"})
    # The template's parameters have the defaults of the variables that they set.
    parameters = template("Parameters")
    for function in ("SendBatchFunction", "SesEventsFunction"):
        variables = template("Resources")[function]["Properties"]["Environment"]["Variables"]
        for name, value in variables.items():
            default = parameters.get(value.get("Ref") if isinstance(value, dict) else None, {}).get("Default")
            # Without the template no bus is told of anything, and the URL is the only one.
            if default not in (None, "") and name != "NOTICE_EVENT_BUS":
                names, defaults = quoted(listed[name][0]), quoted(listed[name][1]) or listed[name][1].split(", ")
                assert defaults[names.index(name)] == str(default), name


def test_each_finding_of_a_preview_is_listed_with_its_severity():
    found = {}
    for text in all_sources("src/message", "cli/src/preview", "cli/src"):
        for severity, code in re.findall(r'Finding::(error|warning)\(\s*"(\w+)"', text):
            found[code] = severity
    listed = {}
    tables = ["### What the mailbox providers look up", "## Checks before sending"]
    for cell, _ in (row for heading in tables for row in table("docs/reputation.md", heading)):
        for names, errors in re.findall(r"((?:`\w+`(?:, )?)+)( \(errors?\))?", cell):
            listed.update(dict.fromkeys(quoted(names), "error" if errors else "warning"))
    assert {code: listed.get(code) for code in found} == found


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
