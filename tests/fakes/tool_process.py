"""A command of ours as a process: started as a shell would, watched, and ended by its id."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_START = (
    "import sys, importlib\n"
    "from engine.base import command_line\n"
    "place, _, name = sys.argv[1].partition(':')\n"
    "module = importlib.import_module(place)\n"
    "command = getattr(module, name or place.rpartition('.')[2])\n"
    "group = command_line.cirrus_command()\n"
    "group.add_command(command)\n"
    "command_line.cirrus_command = lambda: group\n"
    "command_line.main([command.name, *sys.argv[2:]])\n"
)


class ToolProcess:
    """A running command and what it said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""

    def read_until(self, pattern: str) -> re.Match[str]:
        """Read standard error up to a line in which the pattern is found."""
        assert self.process.stderr is not None
        while True:
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line
            found = re.search(pattern, line)
            if found:
                return found

    def end(self, number: int | None = None, timeout_s: float = 20.0) -> tuple[int, str, str]:
        """Return exit status, standard output and the rest of standard error."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out, self.said + err


@contextlib.contextmanager
def running(module: str, *arguments: str, cwd: Path) -> Iterator[ToolProcess]:
    process = subprocess.Popen(
        [sys.executable, "-c", _START, module, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield ToolProcess(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
