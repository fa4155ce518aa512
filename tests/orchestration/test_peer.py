"""The emails of the built function, received by another implementation of SES v2."""

import email
import email.policy
import json
import subprocess
import urllib.parse

import pytest

from conftest import ROOT, http

PEER = ROOT / "tests/orchestration/peer"
# What an email client must get back unchanged: letters beyond ASCII, quoting, a lone dot, long lines.
HTML = """<p>Dear {{ name }},</p>
<p>.</p>
<p>Zoë &amp; Łukasz — 日本語 = <a href="https://example.com/?a=1&amp;b=2">the offers</a>{{ "x" * 2000 }}</p>"""
# What all recipients share stands in SES's template in a bulk call, and must not be read as one.
SHARED = "<p>Everybody gets {{name}}, {{{name}}} and \\{{name}} as they stand here, in a long text &amp; with a brace }</p>\n"
TEXT = "Dear {{ name }},\n.\nZoë & Łukasz — 日本語 = https://example.com/?a=1&b=2"


@pytest.fixture(scope="module")
def peer():
    """aws-ses-v2-local, which also writes each message as MIME (by nodemailer)."""
    process = subprocess.Popen(["node", PEER / "serve.js"], stdout=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()
    assert url, "aws-ses-v2-local did not start"
    yield url
    process.kill()
    process.wait()


def received(peer):
    """The messages in the peer's store, each parsed from its MIME source."""
    messages = []
    for stored in json.loads(http("GET", f"{peer}/store"))["emails"]:
        query = urllib.parse.urlencode({"messageId": stored["messageId"]})
        source = bytes(json.loads(http("GET", f"{peer}/get-emlContent?{query}"))["body"]["data"])
        messages.append((stored, email.message_from_bytes(source, policy=email.policy.default)))
    return messages


def part(message, kind):
    return message.get_body([kind]).get_content().replace("\r\n", "\n").rstrip("\n")


@pytest.mark.parametrize("api", ["single", "bulk"])
def test_each_recipient_gets_what_was_rendered(world, peer, api):
    http("POST", f"{peer}/clear-store")
    world.configure(AWS_ENDPOINT_URL_SESV2=peer, SEND_API=api)
    campaign = world.campaign(
        0, subject="Grüße, {{ name }} — 日本語", html=HTML + "{% raw %}" + SHARED + "{% endraw %}{{ name }}", text=TEXT, reply_to=["Help <help@example.com>"],
        transactional=True,
    )
    names = {"ada@example.com": "Ada", "zoe@example.com": "Zoë O'Neil <x>", "li@example.com": "李"}
    for address, name in names.items():
        world.database.execute(
            """INSERT INTO campaign_recipients (campaign_id, organization_id, email, name)
               SELECT id, organization_id, %s, %s FROM campaigns WHERE id = %s""",
            [address, name, campaign],
        )
    payload, failed = world.functions.invoke(json.dumps({"campaignId": campaign}).encode())
    assert not failed and json.loads(payload)["status"] == "done", payload

    messages = received(peer)
    assert sorted(message["To"] for _, message in messages) == sorted(names)
    recorded = dict(world.database.execute("SELECT email, message_id FROM campaign_recipients").fetchall())
    for stored, message in messages:
        address, name = message["To"], names[message["To"]]
        assert recorded[address] == stored["messageId"]
        assert message["From"] == "news@example.com"
        assert message["Reply-To"] == "Help <help@example.com>"
        assert message["Subject"] == f"Grüße, {name} — 日本語"
        escaped = name.replace("'", "&#x27;").replace("<", "&lt;").replace(">", "&gt;")
        html = HTML.replace("{{ name }}", escaped).replace('{{ "x" * 2000 }}', "x" * 2000) + SHARED + escaped
        assert part(message, "html") == html
        assert part(message, "plain") == TEXT.replace("{{ name }}", name)
        for header, value in (message.items()):
            assert "\n" not in value, header
