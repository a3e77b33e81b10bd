"""What the shapes of several nodes share: their script, their load, and how limits are measured.

Place in flow: beside ``daemons``; used by the shapes whose nodes share limits through Redis.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from tests.shapes.daemons import ROOT, Node, Sink, send_traffic
from tests.shapes.hosts import Host
from tests.shapes.others import needs
from tests.shapes.redis_hosts import REDIS, REDIS_CLI

_HAS_SHARED_LIMITS = "configure_redis_throttles" in (ROOT / "mta-stubs" / "__init__.pyi").read_text(
    "utf-8"
)
#: Marks of tests whose nodes share limits.
SHARED_LIMITS = (
    pytest.mark.skipif(not _HAS_SHARED_LIMITS, reason="limits cannot be shared yet"),
    needs(REDIS, REDIS_CLI),
)

SCRIPT = '''\
import mta
from helpers import shaping
from mta import on

shaping.setup(["shaping.toml"], publish={tsas!r}, subscribe={tsas!r})


@on("init")
def init():
    mta.define_spool(path="spool")
    mta.configure_local_logs(log_dir="logs", max_segment_duration="1s")
    mta.start_esmtp_listener(listen="0.0.0.0:2525", relay_hosts=["127.0.0.1", "192.0.2.0/24"])
    mta.start_http_listener(listen="127.0.0.1:8000")
    mta.dns.configure_test_resolver(zones=["""{zone}"""])
    {redis}


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(retry_interval="1s", max_retry_interval="1s")
'''


def script(
    tsas: Sequence[str], zone: str, redis: str | Sequence[str] | None, **options: Any
) -> str:
    """Return the script of a node.

    Args:
        tsas: Where it publishes to and subscribes at.
        zone: What it knows of the world.
        redis: Where limits are shared.
        options: Further options of ``configure_redis_throttles``.
    """
    more = "".join(f", {name}={value!r}" for name, value in options.items())
    line = f"mta.configure_redis_throttles(node={redis!r}{more})" if redis else ""
    return SCRIPT.format(tsas=list(tsas), zone=zone, redis=line)


class Load:
    """Clients of several nodes at a time, each a process.

    Args:
        host: Where the clients run.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._pool = ThreadPoolExecutor(8)
        self._running: list[Future[dict[str, Any]]] = []

    def begin(self, nodes: Iterable[Node], *arguments: str, within_s: float = 90.0) -> None:
        """Have a client send to each node; recipients tell the node."""
        for node in nodes:
            target = f"{node.host.address}:{node.SMTP_PORT}"
            self._running.append(
                self._pool.submit(
                    send_traffic,
                    self._host,
                    target,
                    *("--local-part", node.host.name, *arguments),
                    within_s=within_s,
                )
            )

    def end(self) -> int:
        """Wait until all was sent; return how many messages were taken."""
        taken = sum(int(one.result()["accepted"]) for one in self._running)
        self._running.clear()
        self._pool.shutdown()
        return taken


def most_within(times: Sequence[float], window_s: float) -> int:
    """Return how many fall into the fullest window of this length, given times in order."""
    most = first = 0
    for last, end in enumerate(times):
        while times[first] <= end - window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def arrivals(sink: Sink, domain: str = "") -> list[float]:
    """Return when mail for a domain arrived, in order; all mail without one."""
    return sorted(one["at"] for one in sink.messages() if one["recipients"][0].endswith(domain))


def automation(node: Node) -> Any:
    """Return where a node publishes to, and whom it obeys."""
    return node.json("/api/admin/automation/v1")


def rate_of(node: Node, mx: str) -> str | None:
    """Return the message rate in force on a node for an MX host; None before it has any mail."""
    name = quote(f"unspecified->{mx}@smtp_client")
    status, text = node.http(f"/api/admin/inspect-ready-q/v1?queue_name={name}")
    if status != 200:
        return None
    rate: str = json.loads(text)["path_config"]["max_message_rate"]
    return rate


def backlog(node: Node) -> int:
    """Return how much a node has yet to tell its TSAs, octets."""
    return sum(feed["backlog_octets"] for feed in automation(node)["feeds"])
