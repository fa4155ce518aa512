"""The page behind an unsubscribe link, as people meet it."""

import base64
import hashlib
import hmac
import uuid

import pytest

from conftest import SECRET, press, shoot


class Recipient:
    """A recipient that was sent an email, and its link's token."""

    def __init__(self, database, sender="Nordic Garden <news@example.com>", email="Ada.Lovelace@example.com"):
        self.database = database
        self.id, self.organization, campaign = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
        database.execute(
            """INSERT INTO campaigns (id, organization_id, name, status, from_address, subject, text)
               VALUES (%s, %s, 'Spring', 'sent', %s, 'Hello', 'Good day')""",
            [campaign, self.organization, sender],
        )
        database.execute(
            """INSERT INTO campaign_recipients (id, campaign_id, organization_id, email, status, message_id)
               VALUES (%s, %s, %s, %s, 'sent', 'message')""",
            [self.id, campaign, self.organization, email],
        )

    @property
    def token(self):
        signed = bytes([1]) + self.id.bytes + self.organization.bytes
        token = signed + hmac.digest(SECRET.encode(), signed, hashlib.sha256)
        return base64.urlsafe_b64encode(token).decode().rstrip("=")

    def suppress(self, reason):
        self.database.execute(
            "INSERT INTO suppressions (organization_id, email, reason) VALUES (%s, 'ada.lovelace@example.com', %s)",
            [self.organization, reason],
        )

    def rest(self):
        """Lets the minute pass after which a link may be used again."""
        self.database.execute(
            "UPDATE campaign_recipients SET link_used_at = link_used_at - interval '1 minute' WHERE id = %s", [self.id]
        )

    @property
    def suppressed(self):
        """Why nobody writes to it, or None."""
        found = self.database.execute(
            "SELECT email, reason FROM suppressions WHERE organization_id = %s", [self.organization]
        ).fetchall()
        assert all(email == "ada.lovelace@example.com" for email, _ in found)
        return found[0][1] if found else None

    @property
    def activities(self):
        sql = "SELECT action FROM activities WHERE source_ref = %s ORDER BY created_at"
        return [action for (action,) in self.database.execute(sql, [str(self.id)]).fetchall()]


@pytest.fixture
def recipient(database):
    return Recipient(database)


def heading(page):
    assert page.title() == page.locator("h1").inner_text()
    return page.title()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1024, 320], ids=["wide", "phone"])
def test_the_page_asks_unsubscribes_and_offers_a_way_back(recipient, unsubscribe, open_page, width, dark):
    page = open_page(width=width, dark=dark)
    look = f"{width}-{'dark' if dark else 'light'}"

    page.goto(f"{unsubscribe.url}/{recipient.token}")
    assert heading(page) == "Do you want to unsubscribe?"
    assert recipient.suppressed is None, "to look changes nothing"
    for name, button, title, reason in [
        ("1-ask", "Unsubscribe", "You are unsubscribed", "unsubscribe"),
        ("2-unsubscribed", "Subscribe again", "You are subscribed again", None),
        ("3-again", "Unsubscribe", "You are unsubscribed", "unsubscribe"),
    ]:
        fits(page)
        shoot(page, f"{name}-{look}")
        recipient.rest()
        press(page, button)
        assert heading(page) == title
        assert recipient.suppressed == reason
    assert recipient.activities == ["email_unsubscribed", "email_resubscribed", "email_unsubscribed"]
    press(page, "Subscribe again")
    assert heading(page) == "Please try again in a minute"
    fits(page)
    shoot(page, f"4-too-soon-{look}")
    assert recipient.suppressed == "unsubscribe"
    page.goto(f"{unsubscribe.url}/{recipient.token}")
    assert heading(page) == "You are unsubscribed", "the link itself tells it, too"


def fits(page):
    """Nothing has to be scrolled sideways, and a finger hits the buttons."""
    width = page.viewport_size["width"]
    for element in page.locator("main, button").all():
        box = element.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    for button in page.locator("button").all():
        assert button.bounding_box()["height"] >= 44


def test_the_keyboard_is_enough_and_shows_where_it_is(recipient, unsubscribe, open_page):
    page = open_page()
    page.goto(f"{unsubscribe.url}/{recipient.token}")
    page.keyboard.press("Tab")
    focused = page.locator("button:focus-visible")
    assert focused.inner_text() == "Unsubscribe"
    shoot(page, "focus")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert heading(page) == "You are unsubscribed"
    recipient.rest()
    page.keyboard.press("Tab")
    with page.expect_navigation():
        page.keyboard.press("Space")
    assert heading(page) == "You are subscribed again"
    assert recipient.suppressed is None


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_on_any_page(recipient, unsubscribe, open_page, accessible, dark):
    # axe itself is JavaScript, which the pages do without.
    page = open_page(dark=dark, javascript=True)
    page.goto(f"{unsubscribe.url}/{recipient.token}")
    accessible(page)
    press(page)
    accessible(page)
    press(page)
    accessible(page)
    recipient.rest()
    press(page)
    accessible(page)
    recipient.suppress("complaint")
    page.goto(f"{unsubscribe.url}/{recipient.token}")
    accessible(page)


def test_a_page_loads_nothing_and_is_in_no_frame(recipient, unsubscribe, open_page):
    page = open_page(javascript=True)
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    url = f"{unsubscribe.url}/{recipient.token}"
    page.goto(url)
    assert requested == [url]
    # The policy has let the style sheet in.
    assert page.locator("main").evaluate("main => getComputedStyle(main).maxWidth") == "512px"

    framing = open_page()
    framing.set_content(f'<iframe src="{url}"></iframe>')
    framing.wait_for_load_state("networkidle")
    assert framing.frames[1].locator("form").count() == 0
    assert any("frame-ancestors" in complaint for complaint in page.complaints)
    page.complaints.clear()


@pytest.mark.parametrize("reason", ["complaint", "manual"])
def test_a_stronger_reason_has_no_way_back(recipient, unsubscribe, open_page, reason):
    recipient.suppress(reason)
    page = open_page()
    page.goto(f"{unsubscribe.url}/{recipient.token}")
    assert heading(page) == "This address gets no more emails"
    assert page.get_by_role("button").count() == 0
    shoot(page, f"final-{reason}")


@pytest.mark.parametrize("path", ["", "/", "/wp-login.php", "/<script>alert(1)</script>", "/forged"])
def test_a_link_that_is_not_ours_gets_a_friendly_page_that_repeats_nothing_of_it(
    recipient, unsubscribe, open_page, path
):
    if path == "/forged":
        token = recipient.token
        path = "/" + token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    page = open_page(width=360)
    response = page.goto(unsubscribe.url + path + "?next=https://evil.example.com")
    assert response.status == 400
    assert heading(page) == "This link is not complete"
    assert "script" not in page.content() and "evil" not in page.content() and "forged" not in page.content()
    shoot(page, "bad-link")
    page.complaints.clear()  # of the status itself
    assert recipient.activities == []


def test_what_a_sender_is_called_is_text(database, unsubscribe, open_page):
    recipient = Recipient(database, sender='"<img src=x onerror=alert(1)> & Sønner" <news@example.com>')
    page = open_page(javascript=True)
    page.goto(f"{unsubscribe.url}/{recipient.token}")
    assert "<img src=x onerror=alert(1)> & Sønner sends emails to a…@example.com" in page.locator("main").inner_text()
