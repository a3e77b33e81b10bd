"""Ready queues and ways out, from a terminal."""

from __future__ import annotations

import json
import tomllib

import click
import pytest

from engine.cli.ready import (
    abort_ready_q_conn,
    inspect_ready_q,
    ready_q_states,
    resolve_egress_path,
)
from tests.fakes.operator_session import FakeNode, run_verb
from tests.unit.engine.cli.test_ready_text import ANSWER, SESSION

INSPECT, STATES = "/api/admin/inspect-ready-q/v1", "/api/admin/ready-q-states/v1"
ABORT, RESOLVE = "/api/admin/abort-ready-q-conn/v1", "/api/admin/resolve-egress-path/v1"
NAME = ANSWER["queue_name"]
PATH = {name: ANSWER[name] for name in ("mx", "queue_name", "path_config", "constraints")} | {
    "domain": "a.test",
    "source": "ip-1",
    "queue_config": {},
}


async def test_only_what_is_asked_for_is_shown_of_a_ready_queue():
    answer = {**ANSWER, "dispatchers": [SESSION], "scheduled_queue_names": ["t@a.test"]}
    node = FakeNode({("GET", INSPECT): answer})

    plain, _ = await run_verb(inspect_ready_q, NAME, node=node)
    full, _ = await run_verb(
        inspect_ready_q, NAME, "--connections", "--config", "--sched-q", node=node
    )

    assert "Sessions:" not in plain and "smtp_port" not in plain and "t@a.test" not in plain
    assert SESSION["session_id"] in full
    assert "Scheduled queues:\n  t@a.test\n" in full
    assert full.endswith('\nconnection_limit = "10"\nsmtp_port = 25\n')
    assert [call[2]["include_scheduled_queues"] for call in node.calls] == [False, True]


async def test_a_program_gets_a_ready_queue_as_the_node_tells_it():
    text, _ = await run_verb(
        inspect_ready_q, NAME, "--json", node=FakeNode({("GET", INSPECT): ANSWER})
    )
    assert json.loads(text) == ANSWER


async def test_what_limits_queues_stands_beside_their_names():
    states = {NAME: ANSWER["state"], "b": {"ready_count": 1, "connection_count": 0}}
    node = FakeNode({("GET", STATES): {"states_by_ready_queue": states}})

    text, _ = await run_verb(ready_q_states, node=node)

    lines = text.splitlines()
    assert lines[1].split(maxsplit=3) == ["b", "1", "0", "nothing limits it"]
    assert lines[2].split(maxsplit=3) == [NAME, "7", "2", "suspended: too hot (by ann)"]
    assert lines[3].strip().startswith("connection limit: shared: 3, since")
    assert node.calls[0][2] == {}


async def test_named_queues_are_asked_for():
    node = FakeNode({("GET", STATES): {"states_by_ready_queue": {}}})

    text, terminal = await run_verb(ready_q_states, "a", "b", node=node)

    assert (text, terminal.notes) == ("", "nothing limits any ready queue\n")
    assert node.calls[0][2] == {"queues": ["a", "b"]}
    assert (await run_verb(ready_q_states, "--json", node=node))[0].startswith("{")


async def test_a_session_is_ended_by_its_queue_and_id():
    node = FakeNode({("POST", ABORT): "OK"})

    assert (await run_verb(abort_ready_q_conn, NAME, "s1", node=node))[0] == "OK\n"
    assert (await run_verb(abort_ready_q_conn, NAME, "s1", "--json", node=node))[0] == '"OK"\n'
    assert node.calls[0][2] == {"queue_name": NAME, "session_id": "s1"}


async def test_a_way_out_is_shown_whole_or_in_part():
    node = FakeNode({("GET", RESOLVE): PATH})

    whole, _ = await run_verb(resolve_egress_path, "a.test", "ip-1", node=node)
    config, _ = await run_verb(resolve_egress_path, "a.test", "--config", node=node)
    ceilings, _ = await run_verb(resolve_egress_path, "a.test", "--constraints", node=node)
    raw, _ = await run_verb(resolve_egress_path, "a.test", "--json", node=node)

    assert f"ready queue  {NAME}" in whole and "mx3.a.test" in whole and "smtp_port = 25" in whole
    assert tomllib.loads(config) == PATH["path_config"]
    assert ceilings.startswith("Ceilings:\n") and "mx3" not in ceilings
    assert json.loads(raw) == PATH
    assert [call[2] for call in node.calls[:2]] == [
        {"domain": "a.test", "source": "ip-1"},
        {"domain": "a.test"},
    ]


async def test_a_way_out_is_shown_in_one_manner():
    with pytest.raises(click.UsageError, match="one of"):
        await run_verb(resolve_egress_path, "a.test", "--config", "--json")
