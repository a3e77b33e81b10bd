"""A node as a process under a sample's policy, and a receiver for what it sends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from engine.tools.segment_reader import read_segment

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples" / "policy"
#: Everything waited for here happens within a second; this is for a machine that is busy.
PATIENCE_S = 30.0


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until(what: str, holds: Callable[[], Any]) -> Any:
    """Return the first true answer; fail after a while."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = holds()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


class Receiver:
    """Takes all mail, except what its recipients' names ask to refuse; keeps what it took."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[str], bytes]] = []
        self.helos: list[str] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=free_ports(1)[0])

    async def handle_RCPT(self, server, session, envelope, address, options):
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        self.helos.append(session.host_name)
        self.taken.append((list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 ok"

    @property
    def port(self) -> int:
        return self._controller.port

    @contextlib.contextmanager
    def listening(self) -> Iterator[Receiver]:
        self._controller.start()
        try:
            yield self
        finally:
            self._controller.stop()


class RunningNode:
    """A node process; ``policy`` may be rewritten while it runs."""

    def __init__(self, policy: Path, smtp_port: int, http_port: int, logs: Path) -> None:
        self.policy = policy
        self.smtp_port = smtp_port
        self.http_port = http_port
        self.logs = logs
        self.run_log = policy.with_suffix(".log")

    def is_live(self) -> bool:
        url = f"http://127.0.0.1:{self.http_port}/api/check-liveness/v1"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
        return False

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the log records written so far."""
        found = []
        for segment in sorted(self.logs.iterdir()) if self.logs.is_dir() else []:
            lines = read_segment(segment).splitlines()
            found += [json.loads(line) for line in lines if line.endswith(b"}")]
        return [record for record in found if kind in (None, record["type"])]

    @contextlib.contextmanager
    def running(self) -> Iterator[RunningNode]:
        with self.run_log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "engine", "--policy", str(self.policy), "--drain", "3"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stderr=log,
            )
        try:
            wait_until("the node", lambda: self.is_live() or process.poll() is not None)
            assert process.poll() is None, self.run_log.read_text()
            yield self
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0, self.run_log.read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(PATIENCE_S)


def place_sample(name: str, folder: Path, **changes: str) -> RunningNode:
    """Return a node for a sample whose paths and ports are those of a test.

    Args:
        name: File name of the sample.
        folder: Where everything goes.
        changes: Further constants at the top of the sample, as they are written there.
    """
    smtp_port, http_port = free_ports(2)
    constants = {
        "SPOOL": repr(str(folder / "spool")),
        "LOGS": repr(str(folder / "logs")),
        "SMTP_LISTEN": repr(f"127.0.0.1:{smtp_port}"),
        "HTTP_LISTEN": repr(f"127.0.0.1:{http_port}"),
        **changes,
    }
    lines = (SAMPLES / name).read_text().splitlines()
    for constant, value in constants.items():
        (place,) = [i for i, line in enumerate(lines) if line.startswith(f"{constant} = ")]
        lines[place] = f"{constant} = {value}"
    policy = folder / name
    policy.write_text("\n".join(lines) + "\n")
    return RunningNode(policy, smtp_port, http_port, folder / "logs")


def with_zone(text: str) -> str:
    """Return a policy whose domains all have their MX on loopback."""
    zone = r"$ORIGIN example.\n@ 60 IN MX 10 mx\n* 60 IN MX 10 mx.example.\nmx 60 IN A 127.0.0.1\n"
    assert "def init():\n" in text
    return text.replace(
        "def init():\n", f'def init():\n    mta.dns.configure_test_resolver(zones=["{zone}"])\n'
    )


def deliver_to(text: str, receiver: Receiver) -> str:
    """Return a policy whose domains all have their MX at the receiver."""
    assert "enable_tls=" in text
    return with_zone(text).replace(
        "enable_tls=", f"prohibited_hosts=[], smtp_port={receiver.port}, enable_tls="
    )
