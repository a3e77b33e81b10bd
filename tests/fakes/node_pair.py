"""Two nodes as processes that transfer mail to each other, and what operators see of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.fakes.node_process import NodeProcess, submit, wait_until
from tests.fakes.tool_process import running

XFER, CANCEL = "/api/admin/xfer/v1", "/api/admin/xfer/cancel/v1"
DRAIN, SUSPEND = "/api/admin/drain/v1", "/api/admin/suspend/v1"


class NodePair:
    """Two nodes, neither started.

    Attributes:
        first: The one that mail leaves.
        second: The one it goes to.
    """

    def __init__(
        self, make: Callable[..., NodeProcess], folder: Path, handlers: str = "", **options: Any
    ) -> None:
        self.folder = folder
        self.first = make(handlers, folder=folder / "first", **options)
        self.second = make(handlers, folder=folder / "second", **options)

    @property
    def target(self) -> str:
        return f"http://127.0.0.1:{self.second.http_port}"

    @property
    def queue_name(self) -> str:
        return f"{self.target}/.xfer.kumomta.internal"

    def drain(self, *arguments: str, timeout_s: float = 60.0) -> tuple[int, dict[str, Any], str]:
        """Run ``cirrus drain`` for the first node; return status, its report and what it said."""
        endpoint = f"http://127.0.0.1:{self.first.http_port}"
        options = ("--endpoint", endpoint, "--json", *arguments)
        with running("engine.cli.drain", *options, cwd=self.folder) as tool:
            status, out, err = tool.end(timeout_s=timeout_s)
        return status, json.loads(out) if out else {}, err

    def wait_left(self, count: int) -> dict[str, Any]:
        """Wait until so many messages are left on the first node; return its report."""

        def enough() -> dict[str, Any] | None:
            report = self.first.json(DRAIN)
            return report if report["left"] == count else None

        return wait_until(f"{count} messages left", enough)


def message_of(node: NodeProcess, spool_id: str, *, body: bool = False) -> dict[str, Any]:
    """Return a message as a node shows it."""
    query = f"?id={spool_id}&want_body={str(body).lower()}"
    return node.json(f"/api/admin/inspect-message/v1{query}")["message"]


def due_of(message: dict[str, Any]) -> float:
    """Return when a message that a node showed is due, in seconds since the Unix epoch."""
    return datetime.fromisoformat(message["due"]).timestamp()


def send_many(node: NodeProcess, names: list[str], to: Callable[[str], str]) -> None:
    """Send a message for each name, over one connection."""
    with node.client() as client:
        for name in names:
            submit(client, name, to(name))


def launch(node: NodeProcess) -> None:
    """Start a node that may not take mail; return when it answers."""
    process = node.launch()

    def answers() -> bool:
        assert process.poll() is None, node.log_text()
        with contextlib.suppress(OSError):
            return node.http("/api/check-liveness/v1")[0] in (200, 503)
        return False

    wait_until("an answer", answers)
