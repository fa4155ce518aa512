"""What tests of pages share: a headless Chromium, a database, and the built functions behind HTTP.

    def test_a_page(database, unsubscribe, open_page, accessible):
        page = open_page(dark=True, width=360)      # a Playwright page in a context of its own
        page.goto(unsubscribe.url + "/TOKEN")
        accessible(page)                            # axe finds nothing to complain of
        shoot(page, "name")                         # a picture, where SCREENSHOTS names a directory

`serve_function` makes the HTTP front for any function that answers requests of payload format 2.0. Pages that a
server of this package serves itself (the inbox page of `local-ses`) need `open_page` and `accessible` only. A page
that logs an error to the console or violates its content security policy fails its test.
"""

import base64
import json
import os
import pathlib

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from database import Database
from function import TARGET, Instance, QuietHandler, clean_environment, serve

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A busy machine makes a browser slow, not wrong.
expect.set_options(timeout=30_000)
SECRET = "a-secret-of-the-tests-0123456789abcdef"


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens pages, each in a context of its own; JavaScript is off unless a test asks for it. `dark=None`: a frame
    may have another colour scheme than the page, which Playwright would override."""
    contexts, complaints = [], []

    def open_page(width=1024, height=768, dark=False, javascript=False, scale=1):
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme={True: "dark", False: "light", None: "null"}[dark],
            java_script_enabled=javascript,
            device_scale_factor=scale,
            is_mobile=width < 500,
            has_touch=width < 500,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.complaints = complaints
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == [], "what the browser complained of"


@pytest.fixture
def accessible():
    """Checks a page with axe; what its rules cannot decide is not checked."""

    def accessible(page):
        found = Axe().run(page).response["violations"]
        told = [f"{violation['id']}: {violation['help']}: {node['html']}" for violation in found for node in violation["nodes"]]
        assert told == [], "\n".join(told)

    return accessible


def press(page, name=None):
    """Presses the button of that name, or the only one, and waits for the page that it leads to. (A click alone may
    return before the browser has left the page.)"""
    with page.expect_navigation():
        page.get_by_role("button", name=name).click()


def shoot(page, name):
    """Takes a picture of the page, to be looked at."""
    if directory := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=pathlib.Path(directory) / f"{name}.png", full_page=True)


@pytest.fixture
def database():
    database = Database("browser")
    yield database
    database.close()


class Front:
    """Serves a function over HTTP, as a function URL does."""

    def __init__(self, executable, environment):
        self.instance = Instance(TARGET / executable, clean_environment(**environment))
        self.server = serve(self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.instance.close()

    def _handler(self):
        front = self

        class Handler(QuietHandler):
            def do_GET(self):
                self.pass_on()

            do_HEAD = do_POST = do_PUT = do_GET

            def pass_on(self):
                body = self.body()
                path, _, query = self.path.partition("?")
                event = {
                    "version": "2.0",
                    "routeKey": "$default",
                    "rawPath": path,
                    "rawQueryString": query,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "requestContext": {"http": {"method": self.command, "path": path, "protocol": "HTTP/1.1"}},
                    "body": base64.b64encode(body).decode() if body else None,
                    "isBase64Encoded": bool(body),
                }
                payload, failed = front.instance.invoke(json.dumps(event).encode(), timeout=30)
                answer = json.loads(payload)
                if failed:
                    self.answer(502, payload)
                else:
                    self.answer(answer["statusCode"], answer["body"].encode(), answer["headers"].items())

        return Handler


@pytest.fixture
def serve_function():
    """Serves a built function by the name of its executable, with these variables."""
    fronts = []

    def serve_function(executable, **environment):
        fronts.append(Front(executable, environment))
        return fronts[-1]

    yield serve_function
    for front in fronts:
        front.close()


@pytest.fixture
def unsubscribe(database, serve_function):
    return serve_function("unsubscribe", DATABASE_URL=database.url, UNSUBSCRIBE_SECRET=SECRET)
