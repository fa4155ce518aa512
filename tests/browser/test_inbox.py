"""The inbox page of the local SES endpoint."""

import re

import pytest
from playwright.sync_api import expect

from conftest import shoot
from ses import LocalSes

ROWS = "#rows [role=option]"
WIDTHS = pytest.mark.parametrize("width", [1200, 390], ids=["wide", "phone"])
COLOURS = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])

LETTER = """<!doctype html><html><head><style>body { background: white } p { color: black }
@media (prefers-color-scheme: dark) { body { background: rgb(1, 2, 3) } p { color: white } }</style></head>
<body><h1>Good morning, Ada</h1><p>The beans are here.</p><a href="https://shop.example.com/beans">See them</a></body></html>"""


@pytest.fixture
def ses():
    ses = LocalSes()
    yield ses
    ses.close()


@pytest.fixture
def inbox(ses, open_page):
    """Opens the inbox page in a window."""

    def inbox(at="", **window):
        page = open_page(javascript=True, **{"width": 1200, "height": 800, **window})
        page.goto(ses.url + at)
        expect(page.locator("#count")).not_to_be_empty()
        return page

    return inbox


def row(page, text):
    return page.locator(ROWS).filter(has_text=text)


def tab(page, name):
    return page.get_by_role("tab", name=name)


def body(page):
    return page.frame_locator("#panel iframe").locator("body")


def elsewhere(page):
    """Requests to other places, which get an answer here instead."""
    own, reached = re.sub("#.*", "", page.url), []

    def answer(route):
        reached.append((route.request.url, route.request.resource_type))
        route.fulfill(body="reached")

    page.context.route(lambda url: not url.startswith(own), answer)
    return reached


def test_messages_appear_as_they_are_accepted_and_what_is_read_stays_in_place(ses, inbox):
    page = inbox()
    expect(page.get_by_text("No messages yet.")).to_be_visible()
    page.evaluate("window.untouched = true")
    ses.send(subject="First")
    expect(row(page, "First")).to_be_visible()
    expect(page.locator("#count")).to_have_text("1 message")
    row(page, "First").click()
    ses.send(subject="Second")
    expect(page.locator(ROWS)).to_contain_text(["Second", "First"])
    expect(row(page, "First")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("heading", name="First")).to_be_visible()
    assert page.evaluate("window.untouched"), "without a reload"


def test_the_first_messages_fill_the_list(ses, inbox):
    page = inbox()
    expect(page.get_by_text("No messages yet.")).to_be_visible()
    ses.send_bulk([f"person{n}@example.com" for n in range(50)])
    expect(page.locator("#count")).to_have_text("50 messages")
    # The list is 740 pixels high, and a row 68.
    expect(page.locator(ROWS).nth(10)).to_be_in_viewport()


def test_a_mailbox_that_is_emptied_is_empty_on_the_page_however_much_came_since(ses, inbox):
    ses.send(subject="Old")
    page = inbox()
    row(page, "Old").click()
    expect(page.get_by_role("heading", name="Old")).to_be_visible()
    ses.control("DELETE", "messages")
    ses.send(subject="New")
    expect(page.locator(ROWS)).to_contain_text(["New"])
    expect(page.get_by_role("heading", name="Old")).to_be_hidden()


def test_an_endpoint_that_went_away_is_told(ses, inbox):
    page = inbox()
    ses.close()
    expect(page.locator("#live.lost")).to_be_visible()
    page.complaints.clear()  # of the requests without an answer


def test_search_finds_addresses_subjects_text_and_tags_and_goes_back_to_all(ses, inbox):
    ses.send(to="ada@example.com", subject="Beans", text="The kettle is on", tags=[("campaign_id", "c-17")])
    ses.send(to="grace@example.org", subject="Tea leaves")
    ses.send(to="alan@example.org", subject="100% & <more>")
    page = inbox()
    for query, found in [
        ("example.org", ["alan@example.org", "grace@example.org"]),
        ("KETTLE", ["ada@example.com"]),
        ("c-17", ["ada@example.com"]),
        ("tea l", ["grace@example.org"]),
        ("100% & <", ["100% & <more>"]),
    ]:
        page.get_by_role("searchbox").fill(query)
        expect(page.locator(ROWS)).to_contain_text(found)
        expect(page.locator("#count")).to_have_text(f"{len(found)} of 3")
    page.get_by_role("listbox").focus()
    page.keyboard.press("/")
    page.keyboard.type("nowhere")
    expect(page.get_by_text("Nothing matches “nowhere”.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(ROWS)).to_have_count(3)


def test_the_keyboard_moves_through_messages_and_their_parts(ses, inbox):
    for n in range(30):
        ses.send(subject=f"Number {n}")
    page = inbox()
    expect(page.locator("#count")).to_have_text("30 messages")
    chosen = page.locator(f"{ROWS}[aria-selected=true]")
    page.get_by_role("listbox").focus()
    for key, subject in [
        ("j", "Number 29"),
        ("j", "Number 28"),
        ("ArrowDown", "Number 27"),
        ("k", "Number 28"),
        ("End", "Number 0"),
        ("ArrowUp", "Number 1"),
        ("Home", "Number 29"),
        ("k", "Number 29"),
    ]:
        page.keyboard.press(key)
        expect(page.get_by_role("heading", name=subject, exact=True)).to_be_visible()
        expect(chosen).to_contain_text(subject)
        expect(chosen).to_be_in_viewport(ratio=0.99)
        identity = chosen.get_attribute("id")
        assert page.get_by_role("listbox").get_attribute("aria-activedescendant") == identity
    for key, name in [("2", "Text"), ("4", "Source"), ("3", "Headers"), ("1", "HTML")]:
        page.keyboard.press(key)
        expect(tab(page, name)).to_have_attribute("aria-selected", "true")
    tab(page, "HTML").focus()
    page.keyboard.press("ArrowRight")
    expect(tab(page, "Text")).to_be_focused()
    expect(page.get_by_role("tabpanel")).to_have_text("Good day")
    page.keyboard.press("Escape")
    expect(page.get_by_text("Choose a message to read it.")).to_be_visible()
    expect(page.get_by_role("listbox")).to_be_focused()


def test_a_message_shows_its_html_text_headers_and_source(ses, inbox):
    identity = ses.send(
        html=LETTER, text="Good morning,\nAda", headers=[("List-Id", "<spring.example.com>")], tags=[("kind", "spring")]
    )
    page = inbox()
    row(page, "ada@example.com").click()
    facts = page.locator("#facts")
    expect(facts).to_contain_text("News <news@example.com>")
    expect(facts).to_contain_text("kind spring")
    expect(body(page).get_by_role("heading")).to_have_text("Good morning, Ada")
    tab(page, "Text").click()
    expect(page.locator("#panel pre")).to_contain_text("Good morning")
    assert page.locator("#panel pre").inner_text() == "Good morning,\nAda"
    tab(page, "Headers").click()
    headers = page.get_by_role("row")
    expect(headers.filter(has_text="Message id")).to_contain_text(identity)
    expect(headers.filter(has_text="List-Id")).to_contain_text("<spring.example.com>")
    tab(page, "Source").click()
    expect(page.locator("#panel pre")).to_contain_text(re.compile(r"Subject: Hello[\s\S]*Content-Type: multipart/alternative"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as .eml").click()
    assert download.value.suggested_filename == f"{identity}.eml"


def test_a_part_that_a_message_lacks_cannot_be_chosen(ses, inbox):
    ses.send(to="text@example.com", html=None, text="Only text")
    ses.send(to="html@example.com", text=None)
    page = inbox()
    row(page, "text@").click()
    expect(page.get_by_role("tabpanel")).to_have_text("Only text")
    expect(tab(page, "HTML")).to_be_disabled()
    row(page, "html@").click()
    expect(body(page)).to_have_text("Good day")
    expect(tab(page, "Text")).to_be_disabled()


def test_an_email_runs_no_script_loads_nothing_and_goes_nowhere(ses, inbox):
    ses.send(
        subject="Evil",
        html="""<meta http-equiv="refresh" content="0;url=https://evil.example.com/refreshed">
        <script>parent.document.title = "taken"; document.body.append("run")</script>
        <link rel="stylesheet" href="https://evil.example.com/style.css">
        <style>@import "https://evil.example.com/import.css"; p { background: url(https://evil.example.com/css.png) }</style>
        <p onclick="this.append('run')">Text</p><img src="https://evil.example.com/pixel.png" onerror="this.after('run')">
        <iframe src="https://evil.example.com/frame"></iframe>
        <form action="https://evil.example.com/form"><button>Send</button></form>""",
    )
    page = inbox()
    reached = elsewhere(page)
    row(page, "Evil").click()
    body(page).get_by_text("Text").click()
    body(page).get_by_role("button", name="Send").click()
    assert "run" not in body(page).inner_text()
    expect(page).to_have_title("Inbox")
    assert reached == []
    # Its images, and nothing else, are loaded once a person asks for them.
    with page.expect_response("https://evil.example.com/pixel.png"):
        page.get_by_role("button", name="Images").click()
    expect(body(page).get_by_text("Text")).to_be_visible()
    assert {kind for _, kind in reached} == {"image"}
    page.goto("about:blank")
    page.complaints.clear()  # of what the policy has kept out


def test_a_link_opens_beside_the_inbox(ses, inbox):
    ses.send(html=LETTER)
    page = inbox()
    reached = elsewhere(page)
    row(page, "ada").click()
    with page.context.expect_page() as opened:
        body(page).get_by_role("link", name="See them").click()
    expect(opened.value).to_have_url("https://shop.example.com/beans")
    assert opened.value.evaluate("window.opener") is None
    assert reached == [("https://shop.example.com/beans", "document")]
    expect(body(page).get_by_role("heading")).to_be_visible()


def test_a_message_is_shown_narrow_wide_and_dark(ses, inbox):
    ses.send(html=LETTER)
    page = inbox(dark=None)
    row(page, "ada").click()
    expect(body(page)).to_have_css("background-color", "rgb(255, 255, 255)")
    wide = page.locator("#panel iframe").bounding_box()["width"]
    page.get_by_role("button", name="Narrow").click()
    expect(page.locator("#panel iframe")).to_have_css("width", "375px")
    page.get_by_role("button", name="Dark").click()
    expect(body(page)).to_have_css("background-color", "rgb(1, 2, 3)")
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    shoot(page, "inbox-narrow-dark")
    page.get_by_role("button", name="Narrow").click()
    page.get_by_role("button", name="Dark").click()
    expect(body(page)).to_have_css("background-color", "rgb(255, 255, 255)")
    assert page.locator("#panel iframe").bounding_box()["width"] == wide
    expect(page.get_by_role("button", name="Images")).to_be_hidden()


def test_thousands_of_messages_have_few_elements_and_each_can_be_reached(ses, inbox):
    ses.send_bulk([f"person{n}@example.com" for n in range(1, 6001)])
    page = inbox()
    expect(page.locator("#count")).to_have_text("6,000 messages")
    few = lambda: page.locator("*").count() < 300
    expect(page.locator(ROWS).first).to_contain_text("person6000@")
    assert few()
    page.get_by_role("listbox").focus()
    page.keyboard.press("End")
    expect(page.get_by_role("heading", name="Spring for person1@example.com")).to_be_visible()
    expect(row(page, "person1@")).to_be_in_viewport(ratio=0.99)
    assert row(page, "person1@").get_attribute("aria-posinset") == "6000"
    assert few()
    page.locator("#list").evaluate("list => { list.scrollTop = list.scrollHeight / 2 }")
    expect(page.locator(ROWS).filter(has_text=re.compile(r"person(29|30)\d\d@")).first).to_be_attached()
    assert few()
    # Reading in the middle, what comes in above moves nothing.
    middle = page.locator("#list").evaluate("list => list.scrollTop")
    ses.send(subject="One more")
    expect(page.locator("#count")).to_have_text("6,001 messages")
    assert page.locator("#list").evaluate("list => list.scrollTop") == middle + 68
    page.get_by_role("searchbox").fill("person4711@")
    expect(page.locator("#count")).to_have_text("1 of 6,001")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Spring for person4711@example.com")).to_be_visible()


def test_the_address_names_the_message_and_the_way_back_leads_to_the_list(ses, inbox):
    identity = ses.send(subject="Kept")
    ses.send(subject="Other")
    page = inbox(at="/#" + identity)
    expect(page.get_by_role("heading", name="Kept")).to_be_visible()
    page = inbox(width=390)
    row(page, "Kept").click()
    expect(page.get_by_role("heading", name="Kept")).to_be_visible()
    expect(page.locator("#list")).to_be_hidden()
    page.go_back()
    expect(page.locator("#list")).to_be_visible()
    row(page, "Other").click()
    page.get_by_role("button", name="Messages").click()
    expect(row(page, "Kept")).to_be_visible()


@WIDTHS
@COLOURS
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(ses, inbox, accessible, width, dark):
    page = inbox(width=width, dark=dark)
    accessible(page)
    ses.send(subject="A subject that is so long that no list can show it, " * 5, html=LETTER, tags=[("kind", "spring")])
    for n in range(20):
        ses.send(to=f"person{n}@example.com")
    expect(page.locator("#count")).to_have_text("21 messages")
    accessible(page)
    look = f"{width}-{'dark' if dark else 'light'}"
    shoot(page, f"inbox-list-{look}")
    page.get_by_role("searchbox").fill("spring")
    page.keyboard.press("Enter")
    for name in ["HTML", "Text", "Headers", "Source"]:
        tab(page, name).click()
        expect(page.locator("#panel > *")).to_be_visible()
        accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if name == "HTML":
            # All in one row, on a phone too.
            places = [page.locator(place).bounding_box() for place in ["#tab-source", "#dark", "#download"]]
            assert max(place["y"] for place in places) < min(place["y"] + place["height"] for place in places)
        shoot(page, f"inbox-{name.lower()}-{look}")
