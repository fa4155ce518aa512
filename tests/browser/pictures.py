"""The pictures of README.md and docs/: `./dev pictures` takes them and writes them into docs/images."""

import io
import re
import subprocess

import pytest
from PIL import Image
from playwright.sync_api import expect

from conftest import TARGET
from function import ROOT, clean_environment
from test_preview import draft  # noqa: F401
from test_report import report, write  # noqa: F401
from test_unsubscribe import recipient  # noqa: F401

IMAGES = ROOT / "docs" / "images"
# A recipient's and a sender's mistakes, to be found.
LETTER = (ROOT / "cli/src/demo/campaign.html").read_text().replace('href="{{ unsubscribe_url }}"', 'href="https:/nordic.example/unsubscribe"')
VARIABLES = """{"shop": "Nordic Roasters", "accent": "#b3541e", "favourite": "Yirgacheffe", "points": 240,
                "coupon": "SPRING-7KX2", "city": "Oslo"}"""


def take(page, name, **options):
    """Writes a picture of the page in 256 colours, which takes a third of the bytes and looks the same."""
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled", **options))).convert("RGB")
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)


@pytest.fixture
def demo(database):
    """The inbox page of a demo."""
    process = subprocess.Popen(
        [TARGET / "campaign", "demo", "--keep", "--latency", "0"],
        env=clean_environment(DATABASE_URL=database.url),
        stdout=subprocess.PIPE,
        text=True,
    )
    yield next(found[1] for line in process.stdout if (found := re.search(r"Inbox\s+(http\S+)", line)))
    process.terminate()
    process.wait()


def picture_of_the_inbox(demo, open_page):
    page = open_page(width=1200, height=700, javascript=True, scale=1.5)
    page.goto(demo)
    # To names of scripts for which few machines lack a font.
    page.locator("#rows", has_text="joao=davila991").wait_for()
    page.evaluate("[...rows.children].find(row => row.innerText.startsWith('joao')).scrollIntoView()")
    page.locator("#rows [role=option]", has_text="siobhan990").click()
    expect(page.frame_locator("iframe").get_by_text("Good morning").first).to_be_visible()
    take(page, "inbox")


def picture_of_a_preview(draft, open_page):
    own = draft(html=LETTER)
    own.database.execute("UPDATE campaigns SET name = 'Spring harvest', variables = %s WHERE id = %s", [VARIABLES, own.id])
    page = open_page(width=1200, height=820, javascript=True, scale=1.5)
    page.goto(own.preview("--recipient=ada@example.com", "--recipient=grace@example.com"))
    page.get_by_role("button", name="Narrow").click()
    expect(page.frame_locator("iframe").get_by_text("Good morning").first).to_be_visible()
    take(page, "preview")


def picture_of_a_report(report, database, tmp_path, open_page):
    database.execute("UPDATE campaigns SET name = 'Spring harvest'")
    page = open_page(width=880, scale=1.5)
    page.goto(write(database, tmp_path).as_uri())
    take(page, "report", full_page=True)


def picture_of_the_unsubscribe_page(recipient, unsubscribe, open_page):
    page = open_page(width=640, height=420, scale=1.5)
    page.goto(f"{unsubscribe.url}/{recipient.token}")
    take(page, "unsubscribe")
