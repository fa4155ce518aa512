"""The page of `campaign preview --inbox`."""

import subprocess
import uuid

import pytest
from playwright.sync_api import expect

from conftest import TARGET, shoot
from function import clean_environment

HTML = """<p>Dear {{ name or "friend" }}, the beans of this year's harvest are here, and a bag is put aside for you.</p>
<p><a href="https:/shop.example.com/beans">See them</a></p>"""


class Draft:
    """A campaign of three recipients, the last of whom lacks a variable, and its preview."""

    def __init__(self, database, html=HTML):
        self.database, self.id, organization = database, uuid.uuid4(), uuid.uuid4()
        self.process = None
        database.execute(
            """INSERT INTO campaigns (id, organization_id, name, status, from_address, subject, html)
               VALUES (%s, %s, 'Spring <harvest>', 'draft', 'News <news@example.com>', 'For {{ city }}', %s)""",
            [self.id, organization, html],
        )
        for name, city in [("ada", "Oslo"), ("grace", "Rome"), ("alan", None)]:
            database.execute(
                """INSERT INTO campaign_recipients (campaign_id, organization_id, email, name, variables)
                   VALUES (%s, %s, %s, %s, jsonb_strip_nulls(jsonb_build_object('city', %s::text)))""",
                [self.id, organization, f"{name}@example.com", name.title(), city],
            )

    def preview(self, *arguments):
        """Starts the command; returns the address of its page."""
        self.process = subprocess.Popen(
            [TARGET / "campaign", "preview", str(self.id), "--inbox", *arguments],
            env=clean_environment(DATABASE_URL=self.database.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for line in self.process.stdout:
            if line.startswith("Inbox"):
                return line.split()[1]
        raise AssertionError("the command has ended without a page")

    def share(self, file, *arguments):
        """Writes the page to share; a campaign with errors ends the command with 65."""
        command = [TARGET / "campaign", "preview", str(self.id), "--file", file, *arguments]
        environment = clean_environment(DATABASE_URL=self.database.url)
        assert subprocess.run(command, env=environment, capture_output=True).returncode == 65

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def draft(database):
    """Makes drafts."""
    drafts = []

    def draft(**differences):
        drafts.append(Draft(database, **differences))
        return drafts[-1]

    yield draft
    for each in drafts:
        each.close()


def findings(page):
    return page.locator("#preview li")


@pytest.mark.parametrize("width", [1200, 390], ids=["wide", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_first_message_is_open_and_what_was_found_stands_above_it(draft, open_page, accessible, width, dark):
    page = open_page(width=width, dark=dark, javascript=True)
    page.goto(draft().preview())
    expect(page).to_have_title("Preview of Spring <harvest>")
    expect(page.get_by_role("heading", name="For Oslo")).to_be_visible()
    expect(page.frame_locator("iframe").get_by_text("Dear Ada, the beans")).to_be_visible()
    expect(page.locator("#preview summary")).to_have_text("2 errors, 1 warning")
    expect(findings(page)).to_contain_text(["link_broken", "unsubscribe_missing", "identity_unknown"])
    expect(findings(page).first).to_contain_text('the link "https:/shop.example.com/beans" lacks // after its scheme')
    expect(page.locator("#preview")).to_be_in_viewport(ratio=1)
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shoot(page, f"preview-{width}-{'dark' if dark else 'light'}")
    for name, text in [("Text", "Dear Ada, the beans"), ("Source", "Subject: For Oslo"), ("Headers", "Message id")]:
        page.get_by_role("tab", name=name).click()
        expect(page.get_by_role("tabpanel")).to_contain_text(text)
    page.locator("#preview summary").click()
    expect(findings(page).first).to_be_hidden()


def test_the_recipients_that_were_asked_for_stand_in_their_order_and_a_failing_one_is_named(draft, open_page):
    page = open_page(javascript=True)
    url = draft().preview(*(f"--recipient={name}@example.com" for name in ["grace", "alan", "ada"]))
    page.goto(url)
    expect(page.locator("#rows [role=option]")).to_contain_text(["grace@example.com", "ada@example.com"])
    expect(page.get_by_role("heading", name="For Rome")).to_be_visible()
    failing = findings(page).filter(has_text="render")
    expect(failing).to_contain_text("would fail: city is not defined")
    expect(failing).to_contain_text("(alan@example.com)")


def test_a_check_of_all_recipients_is_counted_on_the_page(draft, open_page):
    page = open_page(javascript=True)
    page.goto(draft().preview("--check"))
    expect(page.locator("#preview summary")).to_have_text("3 recipients checked: 3 errors, 1 warning")
    expect(findings(page).filter(has_text="unsubscribe_missing")).to_contain_text("(2 recipients, for example ada@example.com)")


def test_a_template_that_does_not_compile_has_a_page_that_says_so(draft, open_page, accessible):
    page = open_page(javascript=True)
    page.goto(draft(html="<p>{% if name %}</p>").preview())
    expect(findings(page)).to_have_count(1)
    expect(findings(page)).to_contain_text("html, line 1")
    expect(page.get_by_text("There is no email to show")).to_be_visible()
    accessible(page)
    shoot(page, "preview-template")


@pytest.mark.parametrize("width", [1200, 390], ids=["wide", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_to_share_fits_every_window_and_shows_what_was_found(draft, open_page, accessible, tmp_path, width, dark):
    file = tmp_path / "spring.html"
    draft(html=HTML + "<p>A word that is long: " + "x" * 200 + "</p>").share(file, "--check", "--recipient=ada@example.com")
    page = open_page(width=width, dark=dark, javascript=True)
    page.goto(file.as_uri())
    expect(page.get_by_role("heading", name="Spring <harvest>")).to_be_visible()
    expect(page.locator("li.error").first).to_contain_text("lacks // after its scheme")
    # A phone shows the email once: a frame as wide as a screen would have to be scrolled.
    frames = page.locator("iframe:visible")
    expect(frames).to_have_count(2 if width > 500 else 1)
    expect(page.frame_locator("iframe >> nth=1").get_by_text("Dear Ada, the beans")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shoot(page, f"share-{width}-{'dark' if dark else 'light'}")
    accessible(page)
