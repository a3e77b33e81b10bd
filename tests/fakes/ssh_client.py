"""OpenSSH's client against a console: in a script, and at a terminal with a person before it."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest

from tests.fakes.seen_screen import SeenScreen

PATIENCE_S = 30.0
#: For tests that need the client; where all parts are required they fail instead of being skipped.
needs_ssh = pytest.mark.skipif(
    shutil.which("ssh") is None and not os.environ.get("CIRRUS_PARTS_REQUIRED"),
    reason="needs OpenSSH's client",
)


class SshClient:
    """Somebody with a key and OpenSSH.

    Args:
        folder: Where keys are kept.
        port: Of the console.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port

    @staticmethod
    def make_keys(folder: Path, **roles: str) -> Path:
        """Make a key for each name, and the file that admits them in their roles."""
        lines = []
        for name, role in roles.items():
            path = folder / name
            made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
            subprocess.run(made, check=True)
            public = path.with_suffix(".pub").read_text()
            lines.append(f'role="{role}",name="{name}" {public}')
        authorized = folder / "authorized_keys"
        authorized.write_text("".join(lines))
        return authorized

    def command(self, key: str, *line: str, options: tuple[str, ...] = ()) -> list[str]:
        return [
            "ssh",
            *("-F", "none", "-p", str(self._port), "-i", str(self._folder / key)),
            *("-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no"),
            *("-o", f"UserKnownHostsFile={self._folder / 'known_hosts'}"),
            *("-o", "LogLevel=ERROR", "-o", "BatchMode=yes"),
            *options,
            "operator@127.0.0.1",
            *line,
        ]

    def run(
        self, key: str, *line: str, text: str | None = None, options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Return how one call of ssh ended."""
        return subprocess.run(
            self.command(key, *line, options=options),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            **({"input": text} if text is not None else {"stdin": subprocess.DEVNULL}),
        )

    @contextlib.contextmanager
    def terminal(self, key: str, columns: int = 80, rows: int = 24) -> Iterator[SshTerminal]:
        """Sit at a terminal of this size; whatever still runs at the end is ended."""
        ours, theirs = pty.openpty()
        os.set_blocking(ours, False)
        size = columns, rows
        subprocess.run(["stty", "rows", str(rows), "cols", str(columns)], stdin=theirs, check=True)
        process = subprocess.Popen(
            self.command(key),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(theirs)
        try:
            yield SshTerminal(ours, process, size)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE_S)
            os.close(ours)


class SshTerminal:
    """A terminal with ssh in it, and the screen that a person would see."""

    def __init__(self, ours: int, process: subprocess.Popen[bytes], size: tuple[int, int]) -> None:
        self._ours = ours
        self._process = process
        self._screen = SeenScreen(*size)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        """Return the lines that are on the screen, the last the one with the cursor."""
        return [line.rstrip() for line in self._screen.display[: self._screen.cursor.y + 1]]

    def _read(self) -> None:
        ready, _, _ = select.select([self._ours], [], [], 0.1)
        if ready:
            with contextlib.suppress(OSError):
                self._stream.feed(os.read(self._ours, 65536))

    def see(self, text: str) -> list[str]:
        """Return the screen once something stands on it."""
        until = time.monotonic() + PATIENCE_S
        while not any(text in line for line in self.lines):
            assert time.monotonic() < until, f"never saw {text!r}:\n" + "\n".join(self.lines)
            self._read()
        return self.lines

    def see_prompt(self) -> list[str]:
        """Return the screen once a line is wanted."""
        until = time.monotonic() + PATIENCE_S
        while not self.lines or self.lines[-1] != "cirrus>":
            assert time.monotonic() < until, "no prompt:\n" + "\n".join(self.lines)
            self._read()
        return self.lines

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Return how ssh ended."""
        until = time.monotonic() + PATIENCE_S
        while self._process.poll() is None:
            assert time.monotonic() < until, "ssh does not end"
            self._read()
        return self._process.returncode
