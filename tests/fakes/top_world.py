"""What a node answers to ``cirrus top``, small and as it is in a real one."""

from __future__ import annotations

from typing import Any

from engine.cli.samples import Samples, parse_samples
from engine.cli.top_state import COUNTERS, GAUGES, WALKED

METRICS = """\
# HELP total_messages_received messages received
# TYPE total_messages_received counter
total_messages_received{{service="esmtp_listener"}} {received}
total_messages_received{{service="http_listener"}} 0
total_messages_delivered{{service="smtp_client:ip-1->mx.big.example@smtp_client"}} {delivered}
total_messages_delivered{{service="smtp_client"}} {delivered}
total_messages_transfail{{service="smtp_client"}} 9
total_messages_fail{{service="smtp_client"}} 4
smtp_server_rejections{{service="127.0.0.1:25"}} 3
smtp_server_rejections{{service="total"}} 3
memory_usage 97316864
process_cpu_usage_sum 12.5
scheduled_count_total 1203
ready_count{{service="smtp_client:ip-1->mx.big.example@smtp_client"}} 7
ready_count{{service="smtp_client"}} 7
message_count 15
connection_count{{service="esmtp_listener"}} 4
connection_count{{service="smtp_client:ip-1->mx.big.example@smtp_client"}} 2
connection_count{{service="smtp_client"}} 2
"""
SAMPLE: dict[str, Any] = {
    "time": "2026-11-29T10:00:00Z",
    "seconds": 10.0,
    "received": 100,
    "delivered": 80,
    "transfailed": 20,
    "failed": 10,
    "rejected": 0,
    "scheduled": 1000,
    "ready": 5,
    "sessions_in": 3,
    "sessions_out": 2,
    "memory": 90_000_000,
    "cpu": 10.0,
    "decisions": 1,
    "suspensions": 2,
    "bounces": 0,
    "providers": [
        {
            "name": "big",
            "delivered": 60,
            "transfailed": 20,
            "failed": 0,
            "queued": 900,
            "connections": 2,
        },
        {
            "name": "mx.fine.example",
            "delivered": 20,
            "transfailed": 0,
            "failed": 10,
            "queued": 0,
            "connections": 1,
        },
    ],
}
REASON: dict[str, Any] = {
    "is_permanent": False,
    "provider": "big",
    "code": 451,
    "enhanced": "4.7.28",
    "count": 26,
    "text": "too much mail, slow down",
    "queue_name": "acme@big.example",
    "last": "2026-11-29T09:59:58Z",
}
QUEUES: dict[str, Any] = {
    "scheduled": [
        {"queue_name": "acme@big.example", "count": 900, "due": 12, "held": 0},
        {
            "queue_name": "beta@other.example",
            "count": 303,
            "due": 0,
            "held": 303,
            "suspended": "their request (by ops)",
        },
    ],
    "ready": [
        {
            "queue_name": "ip-1->mx.big.example@smtp_client",
            "site_name": "mx.big.example",
            "source": "ip-1",
            "protocol": "smtp_client",
            "pool": "pool",
            "count": 7,
            "connections": 2,
            "limited_by": "connection_limit",
        }
    ],
    "scheduled_matching": 2,
    "ready_matching": 1,
    "scheduled_total": 5,
    "ready_total": 8,
}
AUTOMATION = {
    "enabled": True,
    "subscribed_to": "http://tsa.example:8008",
    "trouble": None,
    "decisions": 1,
    "overlay_of": "http://tsa.example:8008",
    "feeds": [],
}
DECISIONS = {
    "decisions": [
        {
            "id": "d1",
            "kind": "ConfigOverride",
            "scope": {"site_name": "mx.big.example", "option": "max_message_rate"},
            "origin": "http://tsa.example:8008",
            "reason": "they said slow down",
            "rule": "provider.big",
            "first_seen": "2026-11-29T09:59:00Z",
            "expires": "2026-11-29T11:00:00Z",
            "in_force": True,
            "value": "1.5/s",
        }
    ],
    "matching": 1,
    "total": 1,
    "kinds": {"ConfigOverride": 1},
}
SUSPENSION = {
    "id": "s1",
    "campaign": None,
    "tenant": "beta",
    "domain": None,
    "routing_domain": None,
    "queue_names": [],
    "reason": "their request",
    "author": "ops",
    "duration": "1h",
    "expires": "2026-11-29T11:00:00Z",
}
IDENTITY = {
    "hostname": "mail-1",
    "version": "0.1.0",
    "node_id": "n-1",
    "online_since": "2026-11-29T07:00:00Z",
    "num_cores": 2,
}
#: The present of this node: 2026-11-29T10:00:00Z.
NOW_AT = 1795946400.0


def history(*samples: dict[str, Any], now: str = "2026-11-29T10:00:00Z") -> dict[str, Any]:
    return {"now": now, "interval": 10.0, "samples": list(samples), "reasons": [REASON]}


def metrics_text(received: int = 570, delivered: int = 517) -> str:
    return METRICS.format(received=received, delivered=delivered)


def counters(**totals: int) -> Samples:
    names = [*COUNTERS.values(), *GAUGES.values()]
    return parse_samples(metrics_text(**totals).splitlines(), names)


def walked() -> Samples:
    return parse_samples(metrics_text().splitlines(), list(WALKED.values()))


def answers() -> dict[tuple[str, str], Any]:
    """Return what a node answers, by method and path."""
    found = {
        "/api/check-liveness/v1": "OK",
        "/api/machine-info": IDENTITY,
        "/api/admin/history/v1": history(SAMPLE),
        "/api/admin/queues/v1": QUEUES,
        "/api/admin/automation/v1": AUTOMATION,
        "/api/admin/decisions/v1": DECISIONS,
        "/api/admin/suspend/v1": [SUSPENSION],
        "/api/admin/suspend-ready-q/v1": [],
        "/api/admin/suspend-source/v1": [],
        "/api/admin/bounce/v1": [],
    }
    return {("GET", path): answer for path, answer in found.items()}
