"""The daemon of the automation as a process: state on disk, sockets on loopback."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.fakes.tool_process import ROOT
from tests.samples.running_node import PATIENCE_S, free_ports, wait_until

NDJSON = "application/x-ndjson"


def command_line(*arguments: str) -> list[str]:
    """Return the command line of ``cirrus tsa``, whether or not it is installed."""
    start = (
        "import sys\nfrom engine.base import command_line\nfrom tsa.__main__ import tsa\n"
        "group = command_line.cirrus_command()\ngroup.add_command(tsa)\n"
        "command_line.cirrus_command = lambda: group\n"
        "command_line.main(['tsa', *sys.argv[1:]])\n"
    )
    return [sys.executable, "-c", start, *arguments]


class TsaProcess:
    """A daemon; not started until ``start`` or ``running``.

    Args:
        folder: Where rules, state and its diagnostic log are.
        rules: The text of its shaping file; left alone if there is a script.
        script: The text of its script, in which ``{port}`` and ``{folder}`` are filled in.
        arguments: Further arguments.
    """

    def __init__(
        self,
        folder: Path,
        rules: str = "",
        *,
        script: str | None = None,
        arguments: Iterable[str] = (),
        port: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port or free_ports(1)[0]
        self.rules, self.state = folder / "rules.toml", folder / "state"
        self.policy, self.run_log = folder / "policy.py", folder / "run.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.write_rules(rules)
        if script is not None:
            self.write_script(script)
            self._arguments = ["--policy", str(self.policy), *arguments]
        else:
            self._arguments = [
                *("--shaping", str(self.rules), "--state", str(self.state)),
                *("--listen", f"127.0.0.1:{self.port}", *arguments),
            ]

    def write_rules(self, text: str) -> None:
        """Write the rules anew, as an editor would: whole or not at all."""
        _replace(self.rules, text)

    def write_script(self, text: str) -> None:
        """Write the script anew."""
        text = text.replace("{port}", str(self.port)).replace("{folder}", str(self.folder))
        _replace(self.policy, text)

    # -- the process

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it to be ready."""
        with self.run_log.open("ab") as log:
            self.process = subprocess.Popen(
                command_line(*self._arguments),
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def start(self) -> TsaProcess:
        process = self.launch()
        wait_until("the daemon", lambda: self.is_up() or process.poll() is not None)
        assert process.poll() is None, self.log_text()
        return self

    def stop(self) -> int:
        """Ask it to stop; return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)

    @contextlib.contextmanager
    def running(self) -> Iterator[TsaProcess]:
        """Run it; at the end it has to stop in good order."""
        try:
            self.start()
            yield self
            status = self.stop()
            assert status == 0, self.log_text()
            assert "Traceback" not in self.log_text(), self.log_text()
        finally:
            self.kill()

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """Let none of its files grow, as on a disk that is full."""
        assert self.process is not None
        pid = self.process.pid
        size = max(path.stat().st_size for path in self.state.iterdir())
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

    def log_text(self) -> str:
        return self.run_log.read_text("utf-8", "replace")

    def wait_log(self, text: str, count: int = 1) -> str:
        """Wait until its diagnostic log says something; return the last line that does."""
        wait_until(f"{text!r} in the log", lambda: self.log_text().count(text) >= count)
        return [line for line in self.log_text().splitlines() if text in line][-1]

    # -- over HTTP

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def http(
        self,
        path: str,
        body: bytes | None = None,
        *,
        kind: str = "application/json",
        **headers: str,
    ) -> tuple[int, bytes]:
        """Return status and body of an answer; a body makes it a POST."""
        fields = {"Content-Type": kind, **{n.replace("_", "-"): v for n, v in headers.items()}}
        request = urllib.request.Request(self.url + path, data=body, headers=fields)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def json(self, path: str) -> Any:
        status, body = self.http(path)
        assert status == 200, (status, body)
        return json.loads(body)

    def is_up(self) -> bool:
        with contextlib.suppress(OSError):
            return self.http("/tsa/status")[0] == 200
        return False

    def publish(self, line: bytes) -> int:
        """Send one record; return the status of the answer."""
        return self.http("/publish_log_v1", line)[0]

    def publish_batch(self, lines: Iterable[bytes], *, packed: bool = False) -> tuple[int, Any]:
        """Send records as one batch; return status and answer."""
        body = b"\n".join(lines)
        extra = {"Content_Encoding": "gzip"} if packed else {}
        status, answer = self.http(
            "/publish_log_v1", gzip.compress(body) if packed else body, kind=NDJSON, **extra
        )
        return status, json.loads(answer)

    def decisions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("/decisions")
        return found


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.rename(path)
