"""``cirrus top`` as a person and as a script use it, in the session of a console."""

from __future__ import annotations

import asyncio
import json

import click
import pytest

from engine.cli.errors import NodeAwayError
from engine.cli.node_port import LIVENESS_PATH
from engine.cli.top import top
from tests.fakes.operator_session import FakeNode, FakeScreen, FakeTerminal, help_of, run_verb
from tests.fakes.top_world import answers, metrics_text


def a_node() -> FakeNode:
    node = FakeNode(answers())
    node.exposition = metrics_text()
    return node


async def watched(*keys: str | None, node: FakeNode | None = None, options=()) -> FakeScreen:
    screen = FakeScreen(keys)
    await run_verb(top, *options, node=node or a_node(), terminal=FakeTerminal(screen=screen))
    return screen


def text_of(frame: list[str]) -> str:
    return "\n".join(frame)


async def test_a_screen_shows_the_node_until_somebody_leaves():
    screen = await watched(None, None, None, "q")

    assert all(len(frame) == 24 for frame in screen.frames)
    assert "asking" in screen.frames[0][0]
    assert "live  mail-1" in screen.frames[-1][0]
    assert "acme@big.example" in text_of(screen.frames[-1])


async def test_a_person_who_goes_away_ends_it():
    screen = await watched()

    assert screen.frames


async def test_keys_choose_what_is_shown():
    screen = await watched(None, None, "tab", None, "4", None, "?", None, "q")

    lasts = [frame[-1] for frame in screen.frames]
    for view in ("[queues]", "[providers]", "[help]"):
        assert any(view in last for last in lasts), view


async def test_what_is_chosen_is_asked_for_at_once():
    node = a_node()
    await watched(None, None, "6", None, None, "q", node=node)

    assert ("GET", "/api/admin/suspend/v1", {}) in node.calls


async def test_a_filter_is_typed_and_told_to_the_node():
    node = a_node()
    screen = await watched(None, None, "f", "b", "i", "g", "enter", None, "q", node=node)

    assert screen.frames[-1][-1].startswith("only 'big'")
    assert any(arguments.get("name") == "big" for *_, arguments in node.calls)


async def test_a_view_and_a_filter_can_be_chosen_beforehand():
    screen = await watched(None, None, "q", options=["--view", "reasons", "--filter", "slow"])

    assert "[reasons]" in screen.frames[-1][-1]
    assert "slow down" in text_of(screen.frames[-1])


async def test_a_list_is_scrolled_no_further_than_it_goes():
    screen = await watched(None, None, "7", "end", "q", options=["--view", "help"])

    assert screen.frames[-1][0].startswith("live")
    assert "Tab, Shift-Tab" in text_of(screen.frames[-1])


async def test_it_goes_on_while_the_node_is_away():
    class Flaky(FakeNode):
        readings = 0

        async def call(self, method, path, **arguments):
            if path == LIVENESS_PATH:
                self.readings += 1
                if 3 <= self.readings <= 4:
                    raise NodeAwayError("no answer of http://n: connection refused")
            return await super().call(method, path, **arguments)

    node = Flaky(answers())
    node.exposition = metrics_text()
    screen = await watched(*[None] * 40, "q", node=node)

    heads = [frame[0].split("  ")[0] for frame in screen.frames]
    seen = [head for place, head in enumerate(heads) if place == 0 or heads[place - 1] != head]
    assert seen == ["asking", "live", "NO ANSWER", "live"]
    away = next(frame for frame in screen.frames if frame[0].startswith("NO ANSWER"))
    assert "stale since" in away[-1]
    assert "acme@big.example" in text_of(away)


async def test_keys_work_while_an_answer_is_awaited():
    class Silent(FakeNode):
        async def call(self, method, path, **arguments):
            await asyncio.sleep(3600)

    clock = asyncio.get_running_loop().time
    began = clock()
    screen = await watched(None, "tab", None, "q", node=Silent())

    assert "[queues]" in screen.frames[-1][-1] or "takes its time" in screen.frames[-1][-1]
    assert clock() - began < 5


async def test_a_defect_of_a_reading_is_not_hidden():
    class Broken(FakeNode):
        async def call(self, method, path, **arguments):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await watched(None, None, None, node=Broken())


async def test_nothing_goes_on_after_it_was_left():
    node = a_node()
    await watched(None, None, "q", node=node)
    calls = len(node.calls)
    await asyncio.sleep(60)

    assert len(node.calls) == calls
    assert len(asyncio.all_tasks()) == 1


async def test_one_picture_can_be_had_on_a_pipe():
    text, _ = await run_verb(top, "--once", node=a_node())

    lines = text.splitlines()
    assert len(lines) == 24
    assert lines[0].startswith("live  mail-1")
    # Rates need two readings.
    assert lines[1].startswith("received/s       0")


async def test_programs_get_a_reading_a_line():
    node = a_node()
    text, _ = await run_verb(top, "--json", "--once", node=node)

    (line,) = text.splitlines()
    values = json.loads(line)
    assert values["node"]["hostname"] == "mail-1"
    assert values["rates"]["delivered"] == 0.0
    assert values["scheduled"][0]["queue_name"] == "acme@big.example"


async def test_programs_get_readings_until_they_go():
    class Reader(FakeTerminal):
        async def write(self, text: str) -> None:
            await super().write(text)
            if self.text.count("\n") == 3:
                raise BrokenPipeError

    terminal = Reader()
    with pytest.raises(BrokenPipeError):
        await run_verb(top, "--json", "--update-interval", "5", node=a_node(), terminal=terminal)

    times = [json.loads(line)["now"] for line in terminal.text.splitlines()]
    assert len(set(times)) == 3


@pytest.mark.parametrize("option", ["--once", "--json"])
async def test_a_script_is_told_when_there_is_no_node(option):
    node = a_node()
    node.answers["GET", LIVENESS_PATH] = NodeAwayError("no answer of http://n: connection refused")

    with pytest.raises(NodeAwayError, match="connection refused"):
        await run_verb(top, option, node=node)


async def test_where_there_is_no_screen_it_is_refused():
    with pytest.raises(click.UsageError):
        await run_verb(top, node=a_node())


def test_the_manual_says_the_keys():
    assert "f to filter" in help_of(top)
