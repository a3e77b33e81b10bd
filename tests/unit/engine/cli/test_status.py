"""How a node is, on one screen."""

from __future__ import annotations

import json

import pytest

from engine.cli.errors import NodeAwayError, NodeRefusedError
from engine.cli.node_port import LIVENESS_PATH
from engine.cli.status import status
from tests.fakes.operator_session import FakeNode, FakeTerminal, verb_status

METRICS = """\
memory_usage 157286400
memory_limit 2147483648
memory_low_thresh 1717986918
process_cpu_usage_sum 41.6
scheduled_count_total 12345
ready_count{service="smtp_client:a->b@smtp_client"} 7
ready_count{service="smtp_client"} 7
connection_count{service="esmtp_listener"} 3
connection_count{service="smtp_client"} 20
connection_count{service="smtp_client:a->b@smtp_client"} 20
total_messages_received{service="esmtp_listener"} 99
total_messages_delivered{service="smtp_client"} 80
total_messages_transfail{service="smtp_client"} 4
disk_free_percent{name="spool"} 80.4
disk_free_bytes{name="spool"} 5368709120
"""
ANSWERS = {
    ("GET", LIVENESS_PATH): "OK",
    ("GET", "/api/machine-info"): {
        "hostname": "mta1",
        "node_id": "n-1",
        "version": "0.1.0",
        "online_since": "2026-02-28T23:55:00Z",
    },
    ("GET", "/api/admin/queues/v1"): {"scheduled_total": 20, "ready_total": 4},
    ("GET", "/api/admin/bounce/v1"): [{}],
    ("GET", "/api/admin/suspend/v1"): [{}, {}],
    ("GET", "/api/admin/suspend-ready-q/v1"): [],
    ("GET", "/api/admin/suspend-source/v1"): [],
    ("GET", "/api/admin/automation/v1"): {
        "enabled": True,
        "subscribed_to": "http://tsa:8008",
        "trouble": "gone",
        "decisions": 3,
    },
    ("GET", "/api/admin/shared-limits/v1"): {
        "configured": True,
        "shared": False,
        "nodes": 3,
        "trouble": "Redis is away",
    },
    ("GET", "/api/admin/drain/v1"): {
        "draining": True,
        "target": "http://b:8000",
        "author": "ann",
        "left": 5,
    },
}


async def look(*arguments, **changed):
    node = FakeNode({**ANSWERS, **{("GET", path): found for path, found in changed.items()}})
    node.exposition = METRICS
    terminal = FakeTerminal()
    code = await verb_status(status, *arguments, node=node, terminal=terminal)
    return code, terminal.text


def fields(text):
    return dict(
        (part.strip() for part in line.split("  ", 1)) for line in text.splitlines() if line
    )


async def test_one_screen_says_how_the_node_is():
    code, text = await look()

    assert code == 0
    assert fields(text) == {
        "takes mail": "yes",
        "node": "mta1 (n-1)",
        "version": "0.1.0",
        "up since": "2026-02-28 23:55:00 (3h 5m ago)",
        "memory": "150.0 MiB of 2.0 GiB",
        "CPU": "42 % of one core",
        "disk of spool": "80 % free (5.0 GiB)",
        "scheduled": "12,345 messages in 20 queues",
        "ready": "7 messages in 4 queues",
        "connections": "3 in, 20 out",
        "since its start": "99 received, 80 delivered, 4 deferred, 0 failed",
        "in force": "2 suspensions of scheduled queues, 0 of ready queues, 0 of sources, 1 bounces",
        "automation": "on, subscribed to http://tsa:8008, 3 decisions; TROUBLE: gone",
        "shared limits": "ALONE with its share of 3 nodes: Redis is away",
        "drain": "to http://b:8000 (by ann), 5 messages left",
    }
    assert len(text.splitlines()) <= 24


async def test_a_node_that_takes_no_mail_is_status_one():
    refused = NodeRefusedError("the node answers 503: the disk is full", 503)
    code, text = await look(**{LIVENESS_PATH: refused})

    assert code == 1
    assert fields(text)["takes mail"] == "NO: the disk is full"


async def test_what_may_not_be_seen_hides_nothing_else():
    code, text = await look(
        **dict.fromkeys(
            (path for _, path in ANSWERS if path != LIVENESS_PATH),
            NodeRefusedError("the node answers 403: no", 403),
        )
    )

    found = fields(text)
    assert code == 0
    assert found["drain"] == found["automation"] == "the node answers 403: no"
    assert found["scheduled"] == "12,345 messages"


async def test_what_is_not_in_use_is_said_in_a_word():
    quiet = {"enabled": False, "subscribed_to": "", "trouble": None, "decisions": 0}
    _, text = await look(
        **{
            "/api/admin/automation/v1": quiet,
            "/api/admin/shared-limits/v1": {"configured": False},
            "/api/admin/drain/v1": {"draining": False},
        }
    )

    found = fields(text)
    assert (found["automation"], found["shared limits"], found["drain"]) == (
        "off, 0 decisions",
        "not configured",
        "none",
    )
    shared = {"configured": True, "shared": True, "nodes": 2}
    _, text = await look(**{"/api/admin/shared-limits/v1": shared})
    assert fields(text)["shared limits"] == "shared by 2 nodes"


async def test_a_program_gets_all_of_it():
    code, text = await look("--json")

    found = json.loads(text)
    assert (code, found["is_live"], found["drain"]["left"]) == (0, True, 5)
    assert found["metrics"]["memory_usage"] == 157286400
    assert found["metrics"]["ready_count"] == [{"service": "smtp_client", "value": 7}]


async def test_a_node_that_is_away_has_no_status():
    for error in (NodeAwayError("gone"), NodeRefusedError("403", 403)):
        with pytest.raises(type(error)):
            await look(**{LIVENESS_PATH: error})
