"""What a node is asked by ``cirrus top``, and how often."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from engine.base.clock import Clock
from engine.cli.errors import NodeAwayError, NodeRefusedError
from engine.cli.node_port import LIVENESS_PATH
from engine.cli.top_controls import Controls, View
from engine.cli.top_reader import QUESTION_S, ROWS_MAX, SLOW_S, TopReader
from engine.cli.top_state import TopState
from tests.fakes.operator_session import FakeNode
from tests.fakes.top_world import SAMPLE, answers, history, metrics_text

QUEUES = "/api/admin/queues/v1"
HISTORY = "/api/admin/history/v1"
SUSPEND = "/api/admin/suspend/v1"


class SlowNode(FakeNode):
    """A node that takes its time.

    Attributes:
        delays: Seconds, by path; ``metrics`` for those.
        now_mono: The time, which passes only while it is waited for.
    """

    def __init__(self) -> None:
        super().__init__(answers())
        self.exposition = metrics_text()
        self.delays: dict[str, float] = {}
        self.metric_calls: list[list[str]] = []
        self.now_mono = 1000.0

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.now_mono += seconds

    async def call(self, method, path, **arguments):
        await self.wait(self.delays.get(path, 0.0))
        return await super().call(method, path, **arguments)

    async def read_metrics(self, names):
        self.metric_calls.append(list(names))
        await self.wait(self.delays.get("metrics", 0.0))
        return await super().read_metrics(names)

    def asked(self) -> Counter[str]:
        return Counter(path for _, path, _ in self.calls)


class World:
    def __init__(self, view: View = View.OVERVIEW) -> None:
        self.node, self.state = SlowNode(), TopState()
        self.clock = Clock(lambda: self.node.now_mono, lambda: self.node.now_mono + 1e9)
        self.reader = TopReader(self.node, self.state, self.clock)
        self.controls = Controls(view)

    async def read(self, seconds: float = 0.0, *, is_hurried: bool = False) -> None:
        """Read once, or as often as that takes each second."""
        until_mono = self.clock.mono() + seconds
        while True:
            await self.reader.read(self.controls, is_hurried=is_hurried)
            if self.clock.mono() >= until_mono:
                return
            await self.node.wait(1.0)


async def test_one_reading_fills_an_overview():
    world = World()
    await world.read(1.0)

    state = world.state
    assert state.identity["hostname"] == "mail-1"
    assert (state.not_live, state.away, state.refused) == ("", "", {})
    assert state.answered_at == pytest.approx(world.clock.wall())
    assert state.series["scheduled"].last == 1203.0
    assert state.series["received"].last == 0.0
    assert state.queues["scheduled_total"] == 5
    assert state.automation["enabled"]
    assert state.decisions["total"] == 1
    assert state.reasons


async def test_only_what_is_shown_is_asked_for():
    for view, wanted, unwanted in (
        (View.OVERVIEW, {QUEUES, HISTORY, SUSPEND}, {"/api/admin/bounce/v1"}),
        (View.QUEUES, {QUEUES}, {SUSPEND, "/api/admin/automation/v1"}),
        (View.REASONS, {HISTORY}, {QUEUES, SUSPEND}),
        (View.DECISIONS, {SUSPEND, "/api/admin/bounce/v1"}, {QUEUES}),
        (View.HELP, {LIVENESS_PATH}, {QUEUES, HISTORY, SUSPEND}),
    ):
        world = World(view)
        await world.read()
        asked = set(world.node.asked())
        assert wanted <= asked, view
        assert not unwanted & asked, view


async def test_very_many_suspensions_are_only_counted_on_the_overview():
    world = World()
    many = dict(SAMPLE, suspensions=5000)
    world.node.answers["GET", HISTORY] = history(many)
    await world.read()
    assert world.node.asked()[SUSPEND] == 0

    world.controls.view = View.DECISIONS
    await world.read(6.0)
    assert world.node.asked()[SUSPEND] == 1
    assert world.state.directives["suspensions"]


async def test_no_series_of_single_queues_are_asked_for():
    world = World()
    await world.read()

    names = {name for names in world.node.metric_calls for name in names}
    assert not {"scheduled_count", "scheduled_by_domain", "queued_count_by_provider"} & names


async def test_as_many_rows_are_asked_for_as_are_looked_at():
    world = World(View.QUEUES)
    world.controls.page, world.controls.scroll = 20, 30
    await world.read()
    world.controls.scroll = 1 << 30
    await world.read()

    limits = [one["limit"] for _, path, one in world.node.calls if path == QUEUES]
    assert limits == [51, ROWS_MAX]


async def test_the_node_filters_queues():
    world = World(View.QUEUES)
    world.controls.filter_text = "big"
    await world.read()

    assert [one["name"] for _, path, one in world.node.calls if path == QUEUES] == ["big"]


async def test_what_changes_slowly_is_asked_for_now_and_then():
    world = World()
    await world.read(20.0)

    asked = world.node.asked()
    assert asked[LIVENESS_PATH] == asked[QUEUES] == 21
    assert 4 <= asked[HISTORY] <= 21 / SLOW_S + 1
    assert asked["/api/machine-info"] == 1


async def test_history_is_continued_where_it_was_known_to():
    world = World()
    await world.read(6.0)

    since = [one.get("since") for _, path, one in world.node.calls if path == HISTORY]
    assert since == [None, "2026-11-29T10:00:00Z"]


async def test_what_takes_long_to_answer_is_asked_rarely():
    world = World()
    world.node.delays[QUEUES] = 0.5
    await world.read(60.0)

    # Busy for half a second in more than ten.
    assert world.node.asked()[QUEUES] <= 6
    assert world.node.asked()[LIVENESS_PATH] > 30


async def test_all_queues_are_counted_rarely_where_the_node_remembers_their_count():
    world = World(View.PROVIDERS)
    world.node.delays["metrics"] = 0.5
    await world.read(300.0)
    often = [call for call in world.node.metric_calls if "scheduled_count_total" in call]

    assert len(often) <= 4
    assert world.state.series["scheduled"].last == 1000


async def test_a_slow_network_is_not_taken_for_a_busy_node():
    world = World()
    world.node.delays.update(dict.fromkeys([LIVENESS_PATH, QUEUES, "metrics"], 0.2))
    await world.read(30.0)

    assert world.node.asked()[QUEUES] == world.node.asked()[LIVENESS_PATH]


async def test_a_choice_is_answered_at_once_but_rates_keep_their_pace():
    world = World()
    await world.read()
    measured = len(world.node.metric_calls)
    await world.read(is_hurried=True)

    assert world.node.asked()[HISTORY] == 2
    assert len(world.node.metric_calls) == measured


async def test_a_busy_node_is_not_hurried():
    world = World()
    world.node.delays[QUEUES] = 1.0
    await world.read()
    for _ in range(10):
        await world.read(is_hurried=True)

    assert world.node.asked()[QUEUES] == 1


async def test_a_node_that_is_away_is_said_to_be_and_asked_anew_when_it_is_back():
    world = World()
    await world.read()
    away = NodeAwayError("no answer of http://n: connection refused")
    world.node.answers["GET", LIVENESS_PATH] = away
    await world.read(3.0)

    assert world.state.away == "no answer of http://n: connection refused"
    assert world.state.not_live is None

    world.node.answers["GET", LIVENESS_PATH] = "OK"
    await world.read()
    assert world.state.away == ""
    assert world.node.asked()["/api/machine-info"] == 2


async def test_a_node_that_says_nothing_is_not_waited_for():
    world = World()
    world.node.delays[LIVENESS_PATH] = 10 * QUESTION_S
    await world.read()

    assert world.state.away == "it took too long"


async def test_why_a_node_takes_no_mail_is_kept():
    world = World()
    world.node.answers["GET", LIVENESS_PATH] = NodeRefusedError("the node answers 503: disk", 503)
    await world.read()

    assert world.state.not_live == "the node answers 503: disk"
    assert world.state.queues


async def test_a_refusal_of_one_thing_leaves_the_others():
    world = World()
    del world.node.answers["GET", HISTORY]
    await world.read()

    assert world.state.refused == {"history": "the node answers 404: nothing"}
    assert world.state.queues

    world.node.answers.update(answers())
    await world.read(6.0)
    assert world.state.refused == {}


@pytest.mark.parametrize("strange", [["a"], "text", {"samples": [{"time": 1}]}, 7])
async def test_an_answer_of_something_else_than_a_node_does_no_harm(strange):
    world = World(View.DECISIONS)
    for known in list(world.node.answers):
        world.node.answers[known] = strange
    await world.read(10.0)

    assert world.state.away == ""
    assert set(world.state.refused.values()) <= {"an answer that is not understood"}
