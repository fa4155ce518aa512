"""The report on a campaign, as a browser shows it and a printer prints it."""

import pathlib
import subprocess

import pytest

from conftest import TARGET, shoot

ID = "5f0c2b1e-7d34-4c8a-9b61-2f7e0a4d9c35"


@pytest.fixture
def report(database, tmp_path):
    """The page of a campaign that was sent, with events of SES."""
    for statement in pathlib.Path(__file__).with_name("report.sql").read_text().split(";\n"):
        if statement.strip():
            database.execute(statement)
    return write(database, tmp_path)


def write(database, tmp_path):
    page = tmp_path / "report.html"
    subprocess.run(
        [TARGET / "campaign", "report", ID, "--html", page], check=True, env={"DATABASE_URL": database.url}
    )
    return page


@pytest.mark.parametrize("dark", [False, True])
def test_the_report_shows_figures_and_plots_in_light_and_dark(report, open_page, accessible, dark):
    # axe itself is JavaScript, which the page does without.
    page = open_page(width=900, dark=dark, javascript=True)
    page.goto(report.as_uri())
    assert page.locator("h1").inner_text() == "Spring <harvest> & more"
    figures = dict(zip(page.locator("dt").all_inner_texts(), page.locator("dd").all_inner_texts()))
    assert figures["Sent"].split("\n") == ["5,900", "of 6,000"]
    assert figures["Bounced"].split("\n") == ["118", "2.0%"]
    assert figures["Failed"].split("\n") == ["80", "1.3% of all"]
    # The gap of three minutes in the middle stands in the plot: a column for every minute but those.
    assert page.locator("svg.wide rect.sent").count() in range(38, 44)
    assert page.locator("svg.wide polyline").count() == 2
    assert page.locator(".domain .name").count() == 12
    assert "others" in page.locator(".domain .name").last.text_content()
    accessible(page)
    shoot(page, f"report-{'dark' if dark else 'light'}")


@pytest.mark.parametrize("width", [900, 390, 320])
def test_every_plot_and_its_labels_are_in_the_window_in_letters_that_can_be_read(report, open_page, width):
    page = open_page(width=width)
    page.goto(report.as_uri())
    plots = page.locator("svg:visible").all()
    assert len(plots) == 2
    for svg in plots:
        frame = svg.bounding_box()
        assert frame["x"] >= 0 and frame["x"] + frame["width"] <= width
        # A drawing that is reduced has smaller letters.
        letters = svg.evaluate("svg => 12 * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width")
        assert letters >= 9
        for text in svg.locator("text").all():
            box = text.bounding_box()
            assert box["x"] >= frame["x"] - 1, text.text_content()
            assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1, text.text_content()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_report_fits_a_narrow_window_and_asks_for_nothing_from_elsewhere(report, open_page, dark):
    page = open_page(width=390, dark=dark)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    assert requests == [report.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    shoot(page, f"report-narrow-{'dark' if dark else 'light'}")


def test_the_report_is_printed_on_few_pages_in_ink_on_white(report, open_page):
    page = open_page(dark=True)
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for above in page.locator("h2, h2 + p").all():
        assert above.evaluate("each => getComputedStyle(each).breakAfter") == "avoid", "a title stays with its plot"
    printed = page.pdf(format="A4")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") in (1, 2, 3)


def test_a_campaign_of_which_nothing_is_known_has_a_report_too(database, tmp_path, open_page, accessible):
    database.execute(
        """INSERT INTO campaigns (id, organization_id, from_address, subject, html)
           VALUES (%s, gen_random_uuid(), 'a@example.com', '', '')""",
        [ID],
    )
    page = open_page(javascript=True)
    page.goto(write(database, tmp_path).as_uri())
    assert "Nothing is sent yet." in page.locator("body").inner_text()
    accessible(page)
