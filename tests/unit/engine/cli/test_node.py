"""The node itself, from a terminal."""

from __future__ import annotations

import json

import pytest

from engine.cli import node as verbs
from engine.model.role import Role
from tests.fakes.operator_session import FakeNode, run_verb

AUTOMATION, SHARED = "/api/admin/automation/v1", "/api/admin/shared-limits/v1"
STATUS = {
    "enabled": True,
    "subscribed_to": "http://tsa:8008",
    "trouble": None,
    "decisions": 0,
    "overlay_of": "http://tsa:8008",
    "feeds": [
        {
            "url": "http://tsa:8008",
            "backlog_octets": 12,
            "refused": 0,
            "given_up": 3,
            "trouble": "slow",
        }
    ],
}


@pytest.mark.parametrize(
    ("made", "arguments", "call"),
    [
        (verbs.reload, (), ("POST", "/api/admin/bump-config-epoch", {})),
        (
            verbs.set_log_filter,
            ("info,cirrus.schedule=debug",),
            (
                "POST",
                "/api/admin/set_diagnostic_log_filter/v1",
                {"filter": "info,cirrus.schedule=debug"},
            ),
        ),
        (verbs.spool_compact, (), ("POST", "/api/admin/spool-compact/v1", {"name": "spool"})),
        (
            verbs.spool_compact,
            ("--name", "data"),
            ("POST", "/api/admin/spool-compact/v1", {"name": "data"}),
        ),
        (verbs.memory_stats, (), ("GET", "/api/admin/memory/stats", {})),
        (verbs.task_dump, ("--timeout", "1"), ("GET", "/api/admin/task-dump", {"timeout": 1.0})),
    ],
)
async def test_text_of_the_node_is_shown_as_it_is(made, arguments, call):
    node = FakeNode({call[:2]: "OK"})

    assert (await run_verb(made, *arguments, node=node))[0] == "OK\n"
    assert (await run_verb(made, *arguments, "--json", node=node))[0] == '"OK"\n'
    assert node.calls == [call, call]


def test_what_changes_the_node_is_for_admins():
    roles = {str(one.name): one.role for one in verbs.VERBS}
    admins = {name for name, role in roles.items() if role is Role.ADMIN}
    assert admins == {"reload", "set-log-filter", "spool-compact"}


async def test_the_automation_is_shown_with_its_feeds():
    text, _ = await run_verb(verbs.automation, node=FakeNode({("GET", AUTOMATION): STATUS}))

    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["automation", "on"]
    assert lines[-1] == ["http://tsa:8008", "12", "0", "3", "slow"]


@pytest.mark.parametrize(("flag", "enabled"), [("--off", False), ("--on", True)])
async def test_the_automation_is_switched(flag, enabled):
    answer = {**STATUS, "enabled": enabled, "feeds": []}
    node = FakeNode({("POST", AUTOMATION): answer})

    text, _ = await run_verb(verbs.automation, flag, "--json", node=node)

    assert json.loads(text) == answer
    assert node.calls == [("POST", AUTOMATION, {"enabled": enabled})]


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({"configured": False}, "limits are of this node alone: the policy names no Redis"),
        (
            {"configured": True, "shared": True, "nodes": 3, "trouble": None},
            "shared  by 3 nodes",
        ),
        (
            {"configured": True, "shared": False, "nodes": 3, "trouble": "Redis is away"},
            "shared   no: this node goes by its share of 3\ntrouble  Redis is away",
        ),
    ],
)
async def test_whether_limits_are_shared_is_said_in_words(answer, shown):
    node = FakeNode({("GET", SHARED): answer})
    assert (await run_verb(verbs.shared_limits, node=node))[0] == f"{shown}\n"
    assert json.loads((await run_verb(verbs.shared_limits, "--json", node=node))[0]) == answer


async def test_what_is_known_of_the_machine_is_shown():
    node = FakeNode({("GET", "/api/machine-info"): {"node_id": "n", "cpu_brand": None}})

    assert (await run_verb(verbs.machine_info, node=node))[0] == "node id  n\n"
    raw, _ = await run_verb(verbs.machine_info, "--json", node=node)
    assert json.loads(raw) == {"node_id": "n", "cpu_brand": None}
