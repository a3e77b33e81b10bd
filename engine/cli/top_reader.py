"""Asks a node for what ``cirrus top`` shows, and for no more.

Place in flow: ``engine.cli.top`` calls ``read`` again and again; answers go into
``engine.cli.top_state``.

Invariants:
    * A node is kept busy for a small share of its time at most: what took long to answer is asked
      again only after many times as long. A slow network does not count, as the quickest question
      of each reading shows what that takes.
    * What a node refuses, or answers in a way that is not understood, leaves the rest as it is.

Failure: none; why there was no answer stands in the state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from engine.base.clock import Clock
from engine.cli.errors import NodeAwayError, NodeRefusedError
from engine.cli.node_port import LIVENESS_PATH, NodePort
from engine.cli.top_controls import Controls, View
from engine.cli.top_state import COUNTERS, GAUGES, WALKED, TopState

#: An answer is followed by so many times its duration without the same question; by more where the
#: node remembers the same.
REST_FACTOR = 20.0
REST_FACTOR_REMEMBERED = 200.0
#: How long one answer may take, seconds.
QUESTION_S = 10.0
#: Seconds between questions whose answers change slowly.
SLOW_S = 5.0
#: Rows of a list that are asked for at most.
ROWS_MAX = 1000
#: More suspensions or bounces than this are only counted on the overview.
OVERVIEW_MAX = 100
#: Samples of the past: an hour.
_SAMPLES = 360
_REASONS = 50
_LISTS = {
    "suspensions": "/api/admin/suspend/v1",
    "ready suspensions": "/api/admin/suspend-ready-q/v1",
    "source suspensions": "/api/admin/suspend-source/v1",
    "bounces": "/api/admin/bounce/v1",
}
_EVERYWHERE = frozenset(View) - {View.HELP}


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask.

    Attributes:
        name: What it is about.
        ask: Asks it, and puts the answer into the state.
        views: The views that show it.
        every_s: Seconds between, at least; 0 for each reading.
        is_steady: Whether it goes by time alone, whatever somebody chooses to look at.
    """

    name: str
    ask: Callable[[Controls], Awaitable[None]]
    views: frozenset[View]
    every_s: float = 0.0
    is_steady: bool = False


class TopReader:
    """The questions of one ``cirrus top``.

    Args:
        node: The node.
        state: Where answers go.
        clock: The time.
    """

    def __init__(self, node: NodePort, state: TopState, clock: Clock) -> None:
        self._node = node
        self._state = state
        self._clock = clock
        self._due_mono: dict[str, float] = {}
        self._rested_mono: dict[str, float] = {}
        self._quickest_s = 0.0
        lists = frozenset({View.OVERVIEW, View.QUEUES, View.READY})
        automation = frozenset({View.OVERVIEW, View.DECISIONS})
        self._questions = (
            Question("who it is", self._ask_identity, frozenset(View), 60.0, is_steady=True),
            Question("rates", self._ask_counters, frozenset(View), is_steady=True),
            Question("totals", self._ask_walked, frozenset(View), is_steady=True),
            Question("history", self._ask_history, _EVERYWHERE, SLOW_S),
            Question("queues", self._ask_queues, lists),
            Question("automation", self._ask_automation, automation, SLOW_S),
            Question("decisions", self._ask_decisions, automation, SLOW_S),
            *(
                Question(name, self._ask_list(name, path), automation, SLOW_S)
                for name, path in _LISTS.items()
            ),
        )

    async def read(self, controls: Controls, *, is_hurried: bool = False) -> None:
        """Ask what is due.

        Args:
            controls: What is looked at.
            is_hurried: Whether somebody just chose to look at something else.
        """
        state, mono = self._state, self._clock.mono
        try:
            began_mono = mono()
            await self._ask_liveness()
            self._quickest_s = mono() - began_mono
            for question in self._questions:
                if controls.view in question.views:
                    await self._ask_if_due(question, controls, is_hurried=is_hurried)
        except (NodeAwayError, TimeoutError) as error:
            state.note_away("it took too long" if isinstance(error, TimeoutError) else str(error))
            # It may be another one when it comes back.
            self._due_mono.clear()
            return
        state.note_answer(self._clock.wall())

    async def _ask_if_due(
        self, question: Question, controls: Controls, *, is_hurried: bool
    ) -> None:
        state, name, began_mono = self._state, question.name, self._clock.mono()
        if is_hurried and question.is_steady:
            return
        if is_hurried:
            due_mono = self._rested_mono.get(name, 0.0)
        else:
            # What is asked in each reading does not miss one for being early by a little.
            due_mono = self._due_mono.get(name, 0.0) - controls.interval_s / 4
        if began_mono < due_mono:
            return
        every_s = question.every_s
        try:
            async with asyncio.timeout(QUESTION_S):
                await question.ask(controls)
            state.refused.pop(name, None)
        except NodeRefusedError as error:
            state.refused[name] = error.message
            every_s = max(every_s, SLOW_S)
        except (LookupError, TypeError, ValueError, AttributeError):
            state.refused[name] = "an answer that is not understood"
            every_s = max(every_s, SLOW_S)
        ended_mono = self._clock.mono()
        cost_s = max(0.0, ended_mono - began_mono - self._quickest_s)
        is_remembered = name == "totals" and bool(state.samples)
        factor = REST_FACTOR_REMEMBERED if is_remembered else REST_FACTOR
        self._rested_mono[name] = ended_mono + factor * cost_s
        self._due_mono[name] = max(began_mono + every_s, self._rested_mono[name])

    # -- questions -------------------------------------------------------------------------------

    async def _ask_liveness(self) -> None:
        try:
            async with asyncio.timeout(QUESTION_S):
                await self._node.call("GET", LIVENESS_PATH)
            self._state.not_live = ""
        except NodeRefusedError as error:
            self._state.not_live = error.message if error.status == 503 else None

    async def _ask_identity(self, _controls: Controls) -> None:
        identity = await self._node.call("GET", "/api/machine-info")
        names = ("hostname", "version", "node_id", "online_since")
        self._state.identity = {name: identity.get(name) for name in names}

    async def _ask_counters(self, _controls: Controls) -> None:
        names = [*COUNTERS.values(), *GAUGES.values()]
        samples = await self._node.read_metrics(names)
        self._state.take_counters(samples, self._clock.mono())

    async def _ask_walked(self, _controls: Controls) -> None:
        samples = await self._node.read_metrics(list(WALKED.values()))
        self._state.take_walked(samples, self._clock.mono())

    async def _ask_history(self, _controls: Controls) -> None:
        query = {
            "since": self._state.last_sample_time,
            "samples": _SAMPLES,
            "reasons": _REASONS,
        }
        answer = await self._node.call("GET", "/api/admin/history/v1", query=query)
        self._state.take_history(answer, self._clock.mono())

    async def _ask_queues(self, controls: Controls) -> None:
        query: dict[str, Any] = {
            "limit": min(ROWS_MAX, controls.scroll + controls.page + 1),
            "name": controls.filter_text or None,
        }
        answer = await self._node.call("GET", "/api/admin/queues/v1", query=query)
        self._state.queues = dict(answer)

    async def _ask_automation(self, _controls: Controls) -> None:
        self._state.automation = dict(await self._node.call("GET", "/api/admin/automation/v1"))

    async def _ask_decisions(self, controls: Controls) -> None:
        limit = 10 if controls.view is View.OVERVIEW else ROWS_MAX
        answer = await self._node.call("GET", "/api/admin/decisions/v1", query={"limit": limit})
        self._state.decisions = dict(answer)

    def _ask_list(self, name: str, path: str) -> Callable[[Controls], Awaitable[None]]:
        async def ask(controls: Controls) -> None:
            count = self._state.count_of("bounces" if name == "bounces" else "suspensions")
            is_short = count is not None and 0 < count <= OVERVIEW_MAX
            if controls.view is View.OVERVIEW and not is_short:
                # A TSA may hold very many; an overview has room for a few.
                self._state.directives.pop(name, None)
                return
            self._state.directives[name] = list(await self._node.call("GET", path))

        return ask
