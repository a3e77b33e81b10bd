"""Log records at the console."""

from __future__ import annotations

import click
import msgspec
import pytest

from engine.console.tail import PATH, tail
from engine.model.log_record import LogRecord
from tests.fakes.operator_session import FakeNode, run_verb


def record(**fields: object) -> dict[str, object]:
    given = {"type": "Delivery", "id": "m1", "queue": "a.test", "recipient": "b@a.test"}
    default = {"sender": "", "size": 1, "timestamp": 1, "created": 1, "num_attempts": 1}
    stamped = {"event_time": "2026-01-02T03:04:05.000006Z", "record_id": "r1"}
    reply = {"response": {"code": 250, "content": "OK \x1b[2J"}}
    return {**default, **stamped, **reply, **given, **fields}


async def test_records_are_shown_a_line_each_and_cannot_harm_the_terminal():
    node = FakeNode()
    node.frames[PATH] = [record(), {"missed": 7}, record(id="m2")]

    text, terminal = await run_verb(tail, "--type", "Delivery", "--code", "2xx", node=node)

    lines = text.splitlines()
    assert len(lines) == 2
    assert "m1" in lines[0]
    assert "\x1b" not in text
    assert terminal.notes == "7 records were missed: they came too fast\n"
    assert node.calls == [("WATCH", PATH, {"type": ["Delivery"], "code": ["2xx"]})]


async def test_it_ends_after_as_many_as_are_wanted():
    node = FakeNode()
    node.frames[PATH] = [record(id=f"m{n}") for n in range(5)]

    text, _ = await run_verb(tail, "--limit", "2", "--json", node=node)

    assert [msgspec.json.decode(line)["id"] for line in text.splitlines()] == ["m0", "m1"]


async def test_the_past_is_in_files():
    with pytest.raises(click.UsageError, match="--since is for files"):
        await run_verb(tail, "--since", "2h")


def test_the_record_of_these_tests_is_one():
    assert msgspec.convert(record(), LogRecord).id == "m1"
