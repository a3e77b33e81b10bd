"""``cirrus top`` in a terminal of its own, before a node with mail."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator

import pyte
import pytest

from tests.fakes.node_process import NodeProcess
from tests.fakes.seen_screen import SeenScreen
from tests.samples.running_node import PATIENCE_S, ROOT, free_ports

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


class TopInTerminal:
    """``cirrus top`` in a pseudo-terminal, and what is seen there."""

    def __init__(self, node: NodeProcess, *options: str) -> None:
        self.ours, self.theirs = pty.openpty()
        self.resize(80, 24)
        self.modes = termios.tcgetattr(self.theirs)
        self.screen = SeenScreen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self._stream.feed(b"$ cirrus top\r\n")
        command = [sys.executable, "-c", "from engine.cli.top import top; top()", *options]
        self.process = subprocess.Popen(
            command,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "CIRRUS_ENDPOINT": f"http://127.0.0.1:{node.http_port}",
                "TERM": "xterm",
            },
        )

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    def read(self) -> None:
        if select.select([self.ours], [], [], 0.1)[0]:
            self._stream.feed(os.read(self.ours, 65536))

    def see(self, what: str | Callable[[list[str]], bool]) -> list[str]:
        """Return the screen once something stands on it."""
        until = time.monotonic() + PATIENCE_S
        while not (what(self.lines) if callable(what) else what in "\n".join(self.lines)):
            assert time.monotonic() < until, f"never saw {what!r}:\n" + "\n".join(self.lines)
            self.read()
        return self.lines

    def end(self) -> int:
        until = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < until, "it does not end"
            self.read()
        while select.select([self.ours], [], [], 0)[0]:
            self.read()
        return self.process.returncode

    def gave_back(self) -> bool:
        """Return whether the terminal is as it was."""
        return (
            termios.tcgetattr(self.theirs) == self.modes
            and not self.screen.is_second
            and not self.screen.cursor.hidden
            and self.lines[0] == "$ cirrus top"
        )

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def watch() -> Iterator[Callable[..., TopInTerminal]]:
    made: list[TopInTerminal] = []

    def make(node: NodeProcess, *options: str) -> TopInTerminal:
        made.append(TopInTerminal(node, *options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def node(make_node) -> Iterator[NodeProcess]:
    """Return a node on which mail to two domains waits, since nobody listens there."""
    made = make_node(sink=free_ports(1)[0])
    with made.running():
        for recipient in ("one@y.test", "two@y.test", "three@other.test"):
            made.send("waits", recipient)
        made.wait_records("TransientFailure", 3)
        yield made


def test_a_person_watches_a_node(node, watch):
    top = watch(node)
    top.see(lambda lines: lines[0].startswith("live"))
    overview = top.see("y.test")
    assert any(line.startswith("QUEUES (2)") for line in overview)
    assert "scheduled        3" in "\n".join(top.see("scheduled        3"))
    assert top.screen.cursor.hidden

    node.send("waits too", "four@y.test")
    top.see("scheduled        4")

    top.press("\t")
    queues = top.see("[queues]")
    assert not any(line.startswith("PROVIDERS") for line in queues)
    top.press("f")
    top.press("other\r")
    top.see(lambda lines: lines[-1].startswith("only 'other'") and "y.test" not in lines[3])
    assert "other.test" in "\n".join(top.lines)

    top.press("q")
    assert top.end() == 0
    assert top.gave_back()


def test_the_screen_follows_the_window(node, watch):
    top = watch(node)
    top.see("y.test")
    top.resize(120, 30)
    top.screen.resize(30, 120)
    os.kill(top.process.pid, signal.SIGWINCH)

    top.see(lambda lines: lines[29].startswith("[overview]"))
    assert len(top.lines[0]) == 120


def test_a_node_that_goes_and_comes_is_followed(node, watch):
    top = watch(node, "--update-interval", "0.3")
    top.see("y.test")
    assert node.stop() == 0
    lines = top.see("NO ANSWER")
    assert "stale since" in lines[-1]
    assert "y.test" in "\n".join(lines)

    node.start()
    top.see(lambda lines: lines[0].startswith("live") and "stale" not in lines[-1])
    top.press("\x1b")
    assert top.end() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_gives_the_terminal_back(node, watch, number, status):
    top = watch(node)
    top.see("y.test")
    os.kill(top.process.pid, number)

    assert top.end() == status
    assert top.gave_back()


def test_a_window_that_is_closed_ends_it(node, watch):
    top = watch(node)
    top.see("y.test")
    os.close(top.theirs)
    os.close(top.ours)

    top.process.wait(PATIENCE_S)
    top.ours, top.theirs = pty.openpty()


def test_a_pipe_is_told_what_to_do(node):
    env = {**os.environ, "CIRRUS_ENDPOINT": f"http://127.0.0.1:{node.http_port}"}

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from engine.cli.top import top; top()", *options],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
        )

    refused = run()
    once = run("--once")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--once" in refused.stderr
    assert (once.returncode, len(once.stdout.splitlines())) == (0, 24)
    assert "\x1b" not in once.stdout
