"""An operator at a shell: types `cirrus ...` at a node, as a process of its own each time."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from typing import Any

from engine.cli.catalogue import all_verbs
from engine.cli.http_node import HttpNode
from engine.cli.verb import Session
from tests.fakes.operator_session import FakeTerminal
from tests.fakes.tool_process import ROOT

_CIRRUS = "from engine.base.command_line import main; main()"


class OperatorShell:
    """A shell in which CIRRUS_ENDPOINT names a node.

    Args:
        http_port: Where the node's HTTP listener is on loopback.
    """

    def __init__(self, http_port: int) -> None:
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CIRRUS_ENDPOINT": f"http://127.0.0.1:{http_port}",
            "NO_COLOR": "1",
        }

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start ``cirrus`` with words behind it."""
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [sys.executable, "-u", "-c", _CIRRUS, *words],
            env=self.environment,
            text=True,
            **{**given, **options},
        )

    def type(self, *words: str) -> tuple[int, str, str]:
        """Return exit status, standard output and standard error of ``cirrus`` in a pipe."""
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def fine(self, *words: str) -> str:
        """Return what ``cirrus`` wrote; it has to end well."""
        status, out, err = self.type(*words)
        assert status == 0, (words, status, out, err)
        return out

    def json(self, *words: str) -> Any:
        """Return the answer of ``cirrus`` for programs."""
        return json.loads(self.fine(*words, "--json"))

    def answer(self, answer: str, *words: str) -> tuple[int, str]:
        """Return exit status and text of ``cirrus`` on a terminal, where a person answers once."""
        ours, theirs = pty.openpty()
        process = self.start(*words, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        text = ""
        try:
            while "[y/N]" not in text:
                text += os.read(ours, 4096).decode()
            os.write(ours, f"{answer}\n".encode())
            while True:
                piece = os.read(ours, 4096)
                if not piece:
                    break
                text += piece.decode()
        except OSError:
            # A terminal whose other side is gone.
            pass
        finally:
            os.close(ours)
        return process.wait(60), text

    def ask(self, name: str, *words: str) -> Any:
        """Return the answer of a verb for programs, run in this process."""
        return json.loads(self.look(name, *words, "--json").text)

    def look(self, name: str, *words: str) -> FakeTerminal:
        """Return what a verb wrote that was run in this process: quicker than by ``type``."""
        terminal = FakeTerminal(columns=100)

        async def run() -> None:
            async with HttpNode(self.environment["CIRRUS_ENDPOINT"]) as node:
                context = all_verbs()[name].make_context(
                    name, list(words), obj=Session(node, terminal)
                )
                with context:
                    await context.command.invoke(context)

        asyncio.run(run())
        return terminal
