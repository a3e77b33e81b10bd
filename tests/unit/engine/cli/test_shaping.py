"""An egress path explained in a terminal."""

from __future__ import annotations

import json

from engine.cli.shaping import shaping_explain
from tests.fakes.operator_session import FakeNode, run_verb
from tests.unit.engine.cli.test_ready_text import CEILINGS

EXPLAIN = "/api/admin/shaping-explain/v1"
FILE = {"section": "provider.big", "file": "/etc/shaping.toml", "line": 7}
RATE = {
    "name": "max_message_rate",
    "entry": None,
    "value": "1/s",
    "origin": "automation",
    "in_force": True,
    "section": None,
    "file": None,
    "line": None,
    "decision": {
        "origin": "http://tsa:8008/",
        "reason": "421 too fast\x1b",
        "id": "d1",
        "rule": "default 421",
        "expires": "2026-03-01T03:20:00Z",
    },
    "overrode": [{"value": "10/s", "origin": "shaping", **FILE}],
}
LIMIT = {
    **RATE,
    "name": "additional_connection_limits",
    "entry": "shared",
    "value": 3,
    "origin": "shaping",
    "in_force": False,
    "decision": None,
    "overrode": [],
    **FILE,
}
DEFAULT = {**LIMIT, "name": "smtp_port", "entry": None, "value": 25, "origin": "default"}
ANSWER = {
    "domain": "a.test",
    "source": "ip-1",
    "pool": {"name": "pool", "sources": [{"name": "ip-1", "weight": 2}]},
    "mx": None,
    "queue_name": "ip-1->mx.a.test@smtp_client",
    "answered_by": "shaping",
    "note": None,
    "handlers": [{"file": "/etc/policy.py", "line": 3, "function": ""}],
    "shaping": {
        "file": "/etc/policy.py",
        "line": 3,
        "files": ["/etc/shaping.toml"],
        "files_left_out": 0,
        "is_complete": True,
        "failing": "line 9: no such option",
        "obeys_automation": True,
        "overlay_of": "http://tsa:8008/",
        "date": None,
    },
    "providers": ["big"],
    "sections": [{"section": "provider.big", "file": "/etc/shaping.toml", "line": 7}],
    "sections_left_out": 0,
    "warmups": [
        {
            "section": "warmup.ip-1",
            "day": 4,
            "held": 1,
            "step_day": 3,
            "file": "/etc/shaping.toml",
            "line": 20,
            "has_ended": False,
        }
    ],
    "options": [RATE, LIMIT, DEFAULT],
    "constraints": CEILINGS,
}


async def test_each_option_says_what_set_it_and_what_that_overrode():
    text, _ = await run_verb(shaping_explain, "a.test", node=FakeNode({("GET", EXPLAIN): ANSWER}))

    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[: lines.index("Ceilings:") - 1] == [
        "domain a.test",
        "source ip-1",
        "pool pool: ip-1(2)",
        "ready queue ip-1->mx.a.test@smtp_client",
        "answered by helpers.shaping",
        "asked helpers.shaping /etc/policy.py:3",
        "file /etc/shaping.toml",
        "last load FAILED: line 9: no such option",
        "overlay of http://tsa:8008/",
        "providers big",
        "section provider.big /etc/shaping.toml:7",
        "warm-up warmup.ip-1: day 4, 1 days held /etc/shaping.toml:20",
        "",
        "Options:",
        "max_message_rate = 1/s (automation)",
        "decided by http://tsa:8008/: 421 too fast\\x1b, rule default 421,"
        " until 2026-03-01 03:20:00 (in 20m)",
        "over 10/s (shaping provider.big /etc/shaping.toml:7)",
        "additional_connection_limits[shared] = 3"
        " (shaping provider.big /etc/shaping.toml:7, not in force)",
    ]


async def test_defaults_are_shown_when_they_are_wanted():
    bare = {**ANSWER, "options": [DEFAULT], "shaping": None, "pool": None}
    node = FakeNode({("GET", EXPLAIN): bare})

    plain, _ = await run_verb(shaping_explain, "a.test", node=node)
    full, _ = await run_verb(
        shaping_explain, "a.test", "--defaults", "--source", "s", "--pool", "p", node=node
    )

    assert "all have their defaults" in plain
    assert "smtp_port = 25" in full
    assert node.calls[1][2] == {"domain": "a.test", "source": "s", "pool": "p"}
    raw, _ = await run_verb(shaping_explain, "a.test", "--json", node=node)
    assert json.loads(raw) == bare
