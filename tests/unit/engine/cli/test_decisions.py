"""Decisions of the automation in a terminal."""

from __future__ import annotations

import json

from engine.cli.decisions import KINDS, decisions
from engine.model.decision import DecisionKind
from tests.fakes.operator_session import FakeNode, run_verb

DECISIONS = "/api/admin/decisions/v1"
OVERRIDE = {
    "id": "d1",
    "kind": "ConfigOverride",
    "scope": {"site_name": "mx.a.test", "source": "ip-1", "option": "max_message_rate"},
    "origin": "http://tsa:8008/",
    "reason": "421 too fast\x1b",
    "rule": "default 421",
    "place": "shaping.toml:7",
    "first_seen": "2026-03-01T02:50:00Z",
    "expires": "2026-03-01T03:20:00Z",
    "in_force": True,
    "value": "1/s",
}
BOUNCE = {
    **OVERRIDE,
    "kind": "SchedQBounce",
    "scope": {"domain": "a.test", "tenant": None},
    "rule": "",
    "in_force": False,
}
BOUNCE.pop("value")
ANSWER = {"decisions": [OVERRIDE, BOUNCE], "matching": 9, "total": 12, "kinds": {}}


async def test_decisions_are_listed_with_what_they_are_about_and_when_they_end():
    text, terminal = await run_verb(decisions, node=FakeNode({("GET", DECISIONS): ANSWER}))

    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[1:] == [
        "ConfigOverride site_name=mx.a.test source=ip-1 option=max_message_rate 1/s yes 10m"
        " 2026-03-01 03:20:00 (in 20m) 421 too fast\\x1b (rule default 421)",
        "SchedQBounce domain=a.test no 10m 2026-03-01 03:20:00 (in 20m) 421 too fast\\x1b",
    ]
    assert terminal.notes == "(2 of 9 decisions, of 12 in all)\n"


async def test_what_is_asked_for_is_asked_of_the_node():
    empty = {**ANSWER, "decisions": [], "matching": 0}
    node = FakeNode({("GET", DECISIONS): empty})

    _, terminal = await run_verb(decisions, "--kind", "WarmupHold", "--site", "s", node=node)
    raw, _ = await run_verb(decisions, "--json", node=node)

    assert node.calls[0][2] == {"kind": "WarmupHold", "site": "s", "limit": 100}
    assert terminal.notes == "(0 decisions, of 12 in all)\n"
    assert json.loads(raw) == empty


def test_all_kinds_may_be_asked_for():
    assert set(KINDS) == {kind.value for kind in DecisionKind}
