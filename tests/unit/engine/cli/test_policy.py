"""The running policy in a terminal."""

from __future__ import annotations

import json

from engine.cli.policy import policy
from tests.fakes.operator_session import FakeNode, FakeTerminal, verb_status

POLICY = "/api/admin/policy/v1"
HANDLER = {
    "event": "get_egress_path",
    "function": "path",
    "file": "/etc/policy.py",
    "line": 30,
    "kind": "handler",
    "is_async": False,
    "calls": 1200,
    "errors": 2,
    "overruns": 0,
    "cpu_us": 1.0,
    "cpu_mean_us": 1500.0,
    "cpu_max_us": 20_000.0,
    "cpu_budget_us": None,
    "wait_us": 0.0,
    "wait_mean_us": 0.0,
    "wait_max_us": 0.0,
    "under_way": 0,
    "breaker": {
        "is_open": True,
        "until": "2026-03-01T03:01:00Z",
        "is_probing": False,
        "turned_away": 7,
    },
    "last_error": {
        "at": "2026-03-01T02:50:00Z",
        "file": "/etc/policy.py",
        "line": 33,
        "message": "KeyError: 'x'\x1b",
    },
}
ANSWER = {
    "running": {
        "number": 4,
        "hash": "0123456789abcdef0123",
        "loaded_at": "2026-03-01T01:00:00Z",
        "load_s": 0.123,
        "files": [{"name": "/etc/policy.py", "hash": "aa"}, {"name": "/etc/x", "hash": None}],
        "files_left_out": 1,
        "warnings": [{"file": "/etc/policy.py", "line": None, "message": "odd"}],
        "warnings_left_out": 0,
        "transactions": 3,
    },
    "retired": [
        {
            "number": 3,
            "hash": "ff",
            "loaded_at": "2026-03-01T00:00:00Z",
            "transactions": 1,
            "calls_under_way": 2,
        }
    ],
    "rejected": {
        "at": "2026-03-01T02:55:00Z",
        "is_pending": True,
        "file": "/etc/policy.py",
        "line": 7,
        "message": "no such name",
    },
    "handlers": [HANDLER],
    "handlers_left_out": 5,
}


async def look(*arguments, **changed):
    node = FakeNode({("GET", POLICY): {**ANSWER, **changed}})
    terminal = FakeTerminal()
    status = await verb_status(policy, *arguments, node=node, terminal=terminal)
    return status, terminal, node


async def test_a_rejected_load_and_failing_handlers_stand_out():
    status, terminal, _ = await look("--files")

    lines = [" ".join(line.split()) for line in terminal.text.splitlines()]
    assert status == 1
    assert lines == [
        "running load 4, 0123456789ab",
        "since 2026-03-01 01:00:00 (2h ago)",
        "loaded in 0.12 s",
        "files 3",
        "transactions 3",
        "warning /etc/policy.py: odd",
        "retired load 3: 1 transactions, 2 calls under way",
        "REJECTED /etc/policy.py:7: no such name, 2026-03-01 02:55:00 (5m ago)",
        "",
        "FILE SHA-256",
        "/etc/policy.py aa",
        "/etc/x missing",
        "",
        "EVENT CALLS ERRORS CPU MAX WAIT MAX WAIT WHERE",
        "get_egress_path 1200 2 1.50 20.00 0.00 0.00 path /etc/policy.py:30",
        "",
        "get_egress_path failed last at /etc/policy.py:33, 2026-03-01 02:50:00 (10m ago):",
        "KeyError: 'x'\\x1b",
        "get_egress_path is NOT RUN until 2026-03-01 03:01:00 (in 1m): it overran again and again;",
        "7 calls were turned away",
    ]
    assert terminal.notes == "(5 more handlers, see --limit)\n"


async def test_a_policy_that_is_fine_is_status_zero():
    quiet = {**HANDLER, "function": "", "breaker": None, "last_error": None}
    done = {**ANSWER["rejected"], "is_pending": False}
    status, terminal, _ = await look(handlers=[quiet], rejected=done, handlers_left_out=0)
    assert status == 0
    assert "once rejected" in terminal.text and "NOT RUN" not in terminal.text
    assert terminal.notes == ""
    assert (await look(handlers=[], rejected=None))[0] == 0


async def test_what_is_asked_for_is_asked_of_the_node():
    status, terminal, node = await look("--event", "init", "--limit", "3", "--json")
    assert node.calls[0][2] == {"event": "init", "limit": 3}
    assert (status, json.loads(terminal.text)) == (1, ANSWER)
