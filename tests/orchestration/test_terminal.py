"""The command line in a terminal: what a person sees while it runs."""

import fcntl
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

    def __init__(self, arguments, environment):
        try:
            self.ours, theirs = pty.openpty()
        except OSError as error:
            pytest.skip(f"this machine has no terminals: {error}")
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.screen = pyte.Screen(COLUMNS, LINES)
        self.stream = pyte.ByteStream(self.screen)
        self.process = subprocess.Popen(
            [TARGET / "campaign", *arguments],
            stdin=theirs,
            stdout=theirs,
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

    def open_terminal(*arguments, **variables):
        opened.append(Terminal(arguments, world.environment(TERM="xterm-256color", **variables)))
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
    lines = [line.strip() for line in running.shows.splitlines() if line.strip()]
    assert lines[0].startswith("30 emails sent in ") and lines[1].startswith("The campaign: 30 of 30 sent"), lines
    assert len(lines) == 2 and world.outcomes(campaign) == {"sent": 30}
