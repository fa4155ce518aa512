"""Every page that people see, in light and dark, on a phone and on a screen, with large letters and on paper.

The contrast of each text, sideways scrolling, texts that are cut or lie on each other, targets that a finger misses,
names, and a focus that can be seen: `audit.js` says what is wrong.
"""

import os
import pathlib
import uuid

import pytest
from playwright.sync_api import expect

from conftest import SECRET, press, shoot
from ses import LocalSes
from test_preview import draft  # noqa: F401
from test_report import ID, write
from test_unsubscribe import Recipient

AUDIT = pathlib.Path(__file__).with_name("audit.js").read_text()
WIDTHS = [320, 390, 1280]
# As a browser enlarges the letters alone. (The pages of a program on one's own machine count in pixels: a browser
# enlarges these as a whole, which is a narrower window.)
ENLARGE = """() => {
  const all = [...document.querySelectorAll("html, body, body *")].filter(each => !(each instanceof SVGElement));
  const sizes = all.map(each => parseFloat(getComputedStyle(each).fontSize) * 2);
  all.forEach((each, at) => { each.style.fontSize = sizes[at] + "px"; });
}"""
NAMES = {
    "usual": "Nordic Garden",
    "german": "Gesellschaft für Rechtsschutzversicherungsvermittlung Nordrhein-Westfalen mbH & Co. KG",
    "japanese": "株式会社グリーンガーデン・ニュースレター編集部からのお知らせ",
    "arabic": "شركة الحديقة الخضراء (المحدودة)",
    "unbroken": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2,
}
LONG_ADDRESS = "somebody-with-a-long-name@a-department.of-an-organization-with-a-long-name.example.com"
FOCUS = """() => [...document.querySelectorAll("*")].map(each => {
  const s = getComputedStyle(each);
  return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.borderColor, s.boxShadow].join();
})"""


class Looks:
    """Opens an address in each look; `found` has what is wrong, `lowest` the lowest contrast."""

    def __init__(self, open_page):
        self.open_page, self.found, self.lowest = open_page, [], {}

    def at(self, name, url, prepare=None, javascript=False, widths=WIDTHS):
        for width in widths:
            page = self.open_page(width=width, height=800, dark=None, javascript=javascript)
            for scheme in ["light", "dark"]:
                page.emulate_media(color_scheme=scheme)
                page.goto(url)
                if prepare:
                    prepare(page)
                self.judge(page, name, f"{width}-{scheme}")
                if width == 1280:
                    self.focus(page, f"{name} {scheme}")
            if width == 1280:
                page.emulate_media(color_scheme="dark", media="print")
                page.goto(url)
                if prepare:
                    prepare(page)
                self.judge(page, name, "print")
                page.emulate_media(color_scheme="light", media="screen")
            elif width == 390 and not javascript:
                page.evaluate(ENLARGE)
                self.judge(page, name, f"{width}-large")
            page.complaints.clear()  # of a status that is an error
            page.context.close()

    def judge(self, page, name, look):
        told = page.evaluate(AUDIT)
        self.found += [f"{name} {look}: {each}" for each in told["found"]]
        self.lowest[name] = min(self.lowest.get(name, 21), told["lowest"])
        shoot(page, f"{name}-{look}")

    def focus(self, page, name):
        """Each place where Tab leads looks otherwise than before."""
        before = page.evaluate(FOCUS)
        seen = set()
        for _ in range(12):
            page.keyboard.press("Tab")
            at = page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)")
            if at in seen or page.evaluate("['BODY', 'HTML', 'IFRAME'].includes(document.activeElement?.tagName ?? 'BODY')"):
                break
            seen.add(at)
            if page.evaluate(FOCUS)[at] == before[at]:
                self.found.append(f"{name}: the focus is not seen: {page.evaluate('document.activeElement.outerHTML').split('>')[0]}")

    def assert_good(self):
        if os.environ.get("SCREENSHOTS"):
            print("lowest contrast:", {name: round(ratio, 2) for name, ratio in self.lowest.items()})
        assert self.found == [], "\n".join(self.found)


@pytest.fixture
def looks(open_page):
    return Looks(open_page)


def test_the_page_that_asks_whoever_the_sender_is(database, unsubscribe, looks):
    for name, sender in NAMES.items():
        recipient = Recipient(database, sender=f'"{sender}" <news@example.com>', email=LONG_ADDRESS)
        looks.at(f"ask-{name}", f"{unsubscribe.url}/{recipient.token}")
    looks.assert_good()


def test_the_pages_behind_an_unsubscribe_link(database, unsubscribe, looks):
    sender = Recipient(database, sender=NAMES["german"] + " <news@example.com>", email=LONG_ADDRESS)
    url = f"{unsubscribe.url}/{sender.token}"

    def suppress(reason):
        database.execute("DELETE FROM suppressions")
        sql = "INSERT INTO suppressions (organization_id, email, reason) VALUES (%s, %s, %s)"
        database.execute(sql, [sender.organization, LONG_ADDRESS, reason])

    def unsubscribed(page):
        if page.get_by_role("button", name="Unsubscribe").count():
            press(page)

    def undo(page):
        press(page)
        sender.rest()
        press(page)

    looks.at("subscribed-again", url, undo)
    looks.at("unsubscribed", url, unsubscribed)
    looks.at("too-soon", url, press)
    suppress("unsubscribe")
    looks.at("unsubscribed-elsewhere", url)
    suppress("complaint")
    looks.at("final", url)
    looks.assert_good()


def test_the_pages_of_links_that_do_not_work(database, unsubscribe, serve_function, looks):
    gone, test = Recipient(database), Recipient(database)
    token = gone.token
    database.execute("DELETE FROM campaign_recipients WHERE id = %s", [gone.id])
    test.id = test.organization = uuid.UUID(int=0)
    unreachable = serve_function("unsubscribe", DATABASE_URL="postgres://nobody@127.0.0.1:9/none", UNSUBSCRIBE_SECRET=SECRET)
    looks.at("gone", f"{unsubscribe.url}/{token}")
    looks.at("test", f"{unsubscribe.url}/{test.token}")
    looks.at("bad-link", f"{unsubscribe.url}/nothing")
    looks.at("unavailable", f"{unreachable.url}/{token}", widths=[320, 1280])
    looks.assert_good()


REPORTS = {
    "usual": [],
    "everything-failed": [
        "DELETE FROM campaign_links",
        "DELETE FROM recipient_events",
        "UPDATE campaign_recipients SET status = 'failed', message_id = NULL, sent_at = NULL, error_code = 'MessageRejected', "
        "error = 'Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: news@example.com'",
        "UPDATE campaigns SET sent_count = 0, failed_count = 6000, suppressed_count = 0",
    ],
    "without-events": ["DELETE FROM recipient_events", "DELETE FROM campaign_links"],
    "still-sending": [
        "DELETE FROM campaign_links",
        "DELETE FROM recipient_events WHERE recipient_id IN (SELECT id FROM campaign_recipients WHERE position % 2 = 0)",
        "UPDATE recipient_events SET occurred_at = now() - make_interval(secs => 80 * random())",
        "UPDATE campaign_recipients SET status = 'pending', message_id = NULL, sent_at = NULL WHERE position % 2 = 0",
        "UPDATE campaign_recipients SET sent_at = now() - make_interval(secs => 90 * random()) WHERE status = 'sent'",
        "UPDATE campaigns SET status = 'sending', sent_count = 2950, failed_count = 40, suppressed_count = 10, completed_at = NULL",
    ],
    "two-recipients": [
        "DELETE FROM campaign_recipients WHERE status <> 'sent' OR message_id NOT IN ('m1', 'm21')",
        "DELETE FROM recipient_events AS e WHERE NOT EXISTS (SELECT FROM campaign_recipients AS r WHERE r.id = e.recipient_id)",
        "UPDATE campaigns SET total_count = 2, sent_count = 2, failed_count = 0, suppressed_count = 0",
    ],
    "huge": [
        "UPDATE campaigns SET total_count = 12345678, sent_count = 12345000, failed_count = 600, suppressed_count = 78",
        "UPDATE campaign_recipients SET sent_at = sent_at + interval '40 days' * (hashtext(email) % 100) / 100.0 WHERE status = 'sent'",
        "UPDATE campaign_links SET clicked_by_people = 1234567, link = link || '&utm_source=' || repeat('newsletter', 30)",
    ],
}
REPORT_SQL = pathlib.Path(__file__).with_name("report.sql").read_text()


@pytest.mark.parametrize("case", REPORTS)
def test_reports(database, tmp_path, looks, case):
    for statement in [each for each in REPORT_SQL.split(";\n") if each.strip()] + REPORTS[case]:
        database.execute(statement)
    database.execute("SELECT recount_campaign_results(%s)", [ID])
    looks.at(f"report-{case}", write(database, tmp_path).as_uri())
    looks.assert_good()


@pytest.mark.parametrize("name", ["german", "japanese", "arabic", "unbroken"])
def test_reports_of_campaigns_with_other_names(database, tmp_path, looks, name):
    # The name is at the top, whatever follows.
    database.execute(REPORT_SQL.split(";\n")[0])
    database.execute("UPDATE campaigns SET name = %s, status = 'paused', status_reason = %s", [NAMES[name], "the template cannot be rendered: " + NAMES[name]])
    page = write(database, tmp_path)
    # The statement made no recipients: as after `campaign prune --recipients`, there are only counts.
    assert "The recipients have been deleted, and with them the times." in page.read_text()
    looks.at(f"report-{name}", page.as_uri())
    looks.assert_good()


LETTER = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Spring</title></head><body style="margin: 0; background: #fff">
<table role="presentation" width="600" style="max-width: 100%"><tr><td><h1>{{ name }}</h1><p>An offer for {{ email }}.</p>
<p><a href="https://shop.example.com/a-path-that-is-long/offers?utm_source=newsletter">See the offers</a></p>
<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p></td></tr></table></body></html>"""


def test_the_inbox(looks):
    ses = LocalSes()
    try:
        looks.at("inbox-empty", ses.url, loaded, javascript=True)
        for name, text in NAMES.items():
            ses.send(to=LONG_ADDRESS, subject=f"{text}: " + text, html=LETTER, text=text * 9, tags=[("kind", name * 20)])
        for n in range(30):
            ses.send(to=f"person{n}@example.com")
        looks.at("inbox-list", ses.url, loaded, javascript=True)

        def search(page, view, text):
            loaded(page)
            page.get_by_role("searchbox").fill(text)
            page.keyboard.press("Enter")
            page.get_by_role("tab", name=view).click()
            expect(page.locator("#panel > *")).to_be_visible()

        for view, name in [("HTML", "arabic"), ("Text", "unbroken"), ("Headers", "german"), ("Source", "japanese")]:
            looks.at(f"inbox-{view.lower()}", ses.url, lambda page: search(page, view, name * 20), javascript=True)
    finally:
        ses.close()
    looks.assert_good()


def loaded(page):
    expect(page.locator("#count")).not_to_be_empty()


@pytest.mark.parametrize("name", ["german", "arabic"])
def test_previews(draft, tmp_path, looks, name):  # noqa: F811
    html = LETTER.replace("https://shop", "https:/shop").replace("{{ unsubscribe_url }}", "#")
    own = draft(html=html + "<p>{{ city }}</p>")
    own.database.execute("UPDATE campaigns SET name = %s, from_address = %s", [NAMES[name], f'"{NAMES[name]}" <news@example.com>'])
    own.database.execute(
        "UPDATE campaign_recipients SET email = %s, variables = %s WHERE name = 'Ada'", [LONG_ADDRESS, '{"city": "' + NAMES[name] + '"}']
    )

    def opened(page):
        loaded(page)
        expect(page.locator("#preview")).to_be_visible()
        page.frame_locator("iframe").get_by_text("An offer").wait_for()

    file = tmp_path / "preview.html"
    own.share(file, "--check")
    looks.at(f"preview-file-{name}", file.as_uri())
    looks.at(f"preview-{name}", own.preview("--check"), opened, javascript=True)
    looks.assert_good()
