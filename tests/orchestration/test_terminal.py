"""The command line in a terminal: what a person sees while it runs."""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import time

import pyte
import pytest

from function import TARGET

LINES, COLUMNS = 40, 100


class Terminal:
    """A command in its own terminal; `shows` is the content of the screen."""

    def __init__(self, arguments, environment, columns=COLUMNS, output=None, echo=True):
        try:
            self.ours, theirs = pty.openpty()
        except OSError as error:
            pytest.skip(f"this machine has no terminals: {error}")
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        if not echo:
            mode = termios.tcgetattr(theirs)
            mode[3] &= ~termios.ECHO
            termios.tcsetattr(theirs, termios.TCSANOW, mode)
        self.screen = pyte.Screen(columns, LINES)
        self.stream = pyte.ByteStream(self.screen)
        self.process = subprocess.Popen(
            [TARGET / "campaign", *arguments],
            stdin=theirs,
            stdout=output or theirs,
            stderr=theirs,
            env=environment,
            # Its own session, so that the terminal is its controlling one and Ctrl-C reaches it.
            preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),
        )
        os.close(theirs)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)

    @property
    def shows(self):
        return "\n".join(self.screen.display)

    @property
    def lines(self):
        """The lines that hold something."""
        return [line.strip() for line in self.screen.display if line.strip()]

    def read(self, seconds):
        """Reads the new output; false at its end."""
        if select.select([self.ours], [], [], seconds)[0]:
            try:
                self.stream.feed(os.read(self.ours, 65536))
            except OSError:  # Linux says so where nobody has the other side any more.
                return False
        return True

    def wait_for(self, text):
        end = time.monotonic() + 30
        while text not in self.shows:
            assert self.read(0.1) and time.monotonic() < end, f"{text!r} never came:\n{self.shows}"

    def press(self, key):
        os.write(self.ours, key)

    def ends(self):
        while self.read(30):
            pass
        return self.process.wait(timeout=30)


@pytest.fixture
def terminal(world):
    opened = []

    def open_terminal(*arguments, columns=COLUMNS, output=None, echo=True, **variables):
        environment = world.environment(TERM="xterm-256color", **variables)
        opened.append(Terminal(arguments, environment, columns, output, echo))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


def test_watching_shows_one_picture_that_changes_until_ctrl_c(world, terminal):
    campaign = world.campaign(10)
    world.database.execute("UPDATE campaigns SET total_count = 10")
    watching = terminal("status", campaign, "--watch", "--interval", "1")
    watching.wait_for("0 of 10")
    world.database.execute("UPDATE campaigns SET sent_count = 5")
    watching.wait_for("5 of 10")
    assert "0 of 10" not in watching.shows.replace("5 of 10", "")
    assert watching.shows.count('"Spring"') == 1, watching.shows
    watching.press(b"\x03")
    assert watching.ends() == 0


def test_a_campaign_that_is_run_from_here_shows_how_far_it_is(world, terminal):
    campaign = world.campaign(30)
    running = terminal("send", "run", campaign, BATCH_SIZE="10")
    assert running.ends() == 0, running.shows
    # The bar is gone: what is left is what it came to.
    lines = running.lines
    assert lines[0].startswith("30 emails sent in ") and lines[1].startswith("The campaign: 30 of 30 sent"), lines
    assert len(lines) == 2 and world.outcomes(campaign) == {"sent": 30}


WIDTHS = pytest.mark.parametrize("columns", [60, 80, 200])


def assert_ends_with_the_only_bar(terminal):
    bars = [line for line in terminal.lines if "─" in line or "━" in line]
    assert len(bars) == 1 and terminal.lines[-1] == bars[0], terminal.shows


@WIDTHS
def test_the_bar_of_a_run_is_one_line_at_any_width_and_leaves_nothing(world, terminal, columns):
    campaign = world.campaign(1200)
    world.ses_latency(60_000)
    # A terminal's own echo of Ctrl-C would move the cursor to the next line, and the bar that stood there would stay.
    settings = {"BATCH_SIZE": "10", "SES_MAX_SEND_RATE": "5"}
    running = terminal("send", "run", campaign, columns=columns, echo=False, **settings)
    running.wait_for("0 of 1,200, ")
    # Messages, such as that SES does not answer, stand above the bar.
    assert_ends_with_the_only_bar(running)
    running.press(b"\x03")
    running.wait_for("ends at once.")
    running.wait_for("0 of 1,200, ")
    assert_ends_with_the_only_bar(running)
    running.press(b"\x03")
    assert running.ends() == 1
    assert "─" not in running.shows, running.shows


@WIDTHS
def test_the_bar_of_an_import_is_one_line_at_any_width_and_leaves_nothing(world, terminal, tmp_path, columns):
    campaign = world.campaign(0, status="draft")
    people = tmp_path / "people.csv"
    people.write_text("email\n" + "".join(f"person{n}@example.com\n" for n in range(20_000)))
    with world.database.connection.transaction():
        # The import waits for another one into the same campaign.
        world.database.execute("SELECT pg_advisory_xact_lock(hashtextextended('campaign import ' || %s, 0))", [campaign])
        importing = terminal("import", campaign, people, columns=columns)
        importing.wait_for("20,000 rows read, checking them")
        assert len(importing.lines) == 1, importing.shows
    assert importing.ends() == 0
    assert importing.lines[0].startswith('"Spring": 20,000 of 20,000 rows imported in '), importing.shows
    people.write_text('email\nada@example.com\n"bob@example.com\n')
    importing = terminal("import", campaign, people, columns=columns)
    assert importing.ends() == 65
    assert importing.lines[0].startswith("campaign: ") and "─" not in importing.shows, importing.shows


@WIDTHS
def test_an_error_breaks_no_word_and_its_command_can_be_copied(world, terminal, columns):
    campaign = world.campaign(1)
    world.database.execute("UPDATE campaigns SET status = 'paused', status_reason = 'too many of the emails of this campaign bounced'")
    running = terminal("send", "run", campaign, columns=columns)
    assert running.ends() == 75
    text = f"campaign: campaign {campaign} is paused (too many of the emails of this campaign bounced): correct the cause, then campaign send resume {campaign}"
    assert " ".join(running.lines) == text, running.shows
    assert running.lines[-1].endswith(f"campaign send resume {campaign}"), running.shows


LONG_NAME = "Gesellschaft für Rechtsschutzversicherungsvermittlung Nordrhein-Westfalen: the newsletter of spring"


@WIDTHS
def test_a_long_name_hides_no_status_and_a_command_can_be_copied(world, terminal, columns):
    campaign = world.campaign(1)
    world.database.execute("UPDATE campaigns SET name = %s, started_at = now(), completed_at = now(), status = 'paused'", [LONG_NAME])
    status = terminal("status", campaign, columns=columns)
    assert status.ends() == 0
    assert status.lines[0].startswith('"Gesellschaft für ') and status.lines[0].endswith("paused"), status.shows
    assert "started" in status.shows and " ".join(status.lines[2:4]).count(" UTC") == 2, status.shows
    assert any(line.endswith(f"campaign send resume {campaign}") for line in status.lines), status.shows


@WIDTHS
def test_results_are_broken_between_words(world, terminal, tmp_path, columns):
    campaign = world.campaign(1, status="draft")
    world.database.execute("UPDATE campaigns SET name = %s", [LONG_NAME])
    people = tmp_path / "people.csv"
    people.write_text("email\nnowhere\nada@example.com\nada@example.com\n")
    importing = terminal("import", campaign, people, "--skip-bad", columns=columns)
    assert importing.ends() == 0, importing.shows
    said = " ".join(importing.lines)
    assert said.startswith(f'"{LONG_NAME}": 1 of 3 rows imported in '), importing.shows
    assert "it is not of the form local@domain" in said and "the same address as in line 3" in said, importing.shows
    wrong = terminal("send", "schedule", campaign, "--at", "2030-06-01 09:00", columns=columns)
    assert wrong.ends() == 64
    assert "the time zone is missing: expected a time, for example 2030-06-01T09:00:00+02:00" in " ".join(wrong.lines), wrong.shows


def test_a_question_is_seen_although_the_result_goes_to_a_file(world, terminal, tmp_path):
    campaign = world.campaign(1)
    result = tmp_path / "result.json"
    with result.open("wb") as output:
        cancelling = terminal("send", "cancel", campaign, "--json", output=output)
        cancelling.wait_for('Cancel "Spring"? [y/N]')
        cancelling.press(b"y\n")
        assert cancelling.ends() == 0, cancelling.shows
    assert json.loads(result.read_text()) == {"campaignId": campaign, "status": "cancelled"}
