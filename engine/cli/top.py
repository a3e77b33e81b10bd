"""A live view of a node on a whole screen.

Place in flow: a verb; ``top_reader`` asks the node, ``top_state`` knows, ``top_view`` shows.

Invariants:
    * A node that does not answer ends nothing: the screen says since when it is stale, and goes on
      when the node is back.
    * Keys work while an answer is awaited.
"""

from __future__ import annotations

import asyncio
from typing import Any

import click

from engine.base.clock import Clock, loop_clock
from engine.base.lifecycle import Supervisor
from engine.cli.errors import NodeAwayError
from engine.cli.screen import Screen
from engine.cli.top_controls import Controls, View
from engine.cli.top_reader import TopReader
from engine.cli.top_state import TopState
from engine.cli.top_view import make_frame
from engine.cli.verb import Session, verb

#: How soon an answer is looked for, seconds.
_LOOK_S = 0.05
#: A picture is made again after this time at least: it has a clock.
_TICK_S = 1.0
#: The size of one picture on a pipe.
_COLUMNS = 80
_MANUAL = """\
Watch a node: what comes and goes, what waits, which providers take mail and which do not, and why,
and what the automation decided.

Needs 80 columns and 24 rows, and uses what there is. Keys: Tab and 1 to 7 for another view, arrows
to scroll, f to filter, + and - for another interval, ? for help, q to leave. It goes on while the
node is away, and says so.

\b
Examples:
  cirrus top
  cirrus top --view queues --filter big.example
  cirrus top --once
  cirrus top --json | jq .rates.delivered
"""


@verb("top", _MANUAL, is_live=True)
@click.option(
    "--update-interval",
    "interval_s",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between readings; also a step of the graphs.",
)
@click.option(
    "--view",
    type=click.Choice([str(view) for view in View]),
    default=str(View.OVERVIEW),
    show_default=True,
    help="What is shown first.",
)
@click.option(
    "--filter", "filter_text", default="", metavar="TEXT", help="Only what has this in it."
)
@click.option("--once", is_flag=True, help="Write one picture, or one reading, and end.")
async def top(
    session: Session, *, interval_s: float, view: str, filter_text: str, once: bool
) -> None:
    """Watch a node on a whole screen."""
    controls = Controls(View(view), interval_s, filter_text)
    looker = _Looker(session, controls)
    if session.as_json:
        await looker.write_readings(once=once)
    elif once:
        await looker.write_picture()
    else:
        async with session.terminal.screen() as screen:
            await looker.watch(screen)


class _Looker:
    """One look at a node."""

    def __init__(self, session: Session, controls: Controls) -> None:
        self._session = session
        self._has_colour = session.terminal.has_colour
        self._controls = controls
        self._state = TopState()
        self._clock: Clock = loop_clock(asyncio.get_running_loop())
        self._reader = TopReader(session.node, self._state, self._clock)

    # -- for programs and pipes ------------------------------------------------------------------

    async def _read_twice(self) -> None:
        """Read until rates are known.

        Raises:
            NodeAwayError: There is no answer.
        """
        for number in range(2):
            if number:
                await asyncio.sleep(self._controls.interval_s)
            await self._reader.read(self._controls)
            if self._state.away:
                raise NodeAwayError(self._state.away)

    async def write_readings(self, *, once: bool) -> None:
        """Write a reading a line."""
        self._controls.page = 20
        await self._read_twice()
        while True:
            await self._session.write_json(self._state.as_values())
            if once:
                return
            await asyncio.sleep(self._controls.interval_s)
            await self._reader.read(self._controls)

    async def write_picture(self) -> None:
        """Write one picture."""
        terminal = self._session.terminal
        columns, rows = terminal.columns or _COLUMNS, terminal.rows
        self._controls.page = rows
        await self._read_twice()
        lines = self._make_frame(columns, rows)
        await self._session.write("".join(f"{line}\n" for line in lines))

    # -- on a screen -----------------------------------------------------------------------------

    async def watch(self, screen: Screen) -> None:
        """Show pictures until the person leaves."""
        supervisor = Supervisor()
        try:
            await self._watch(screen, supervisor)
        finally:
            await supervisor.stop()

    async def _watch(self, screen: Screen, supervisor: Supervisor) -> None:
        controls, mono = self._controls, self._clock.mono
        reading: asyncio.Task[Any] | None = None
        due_mono = drawn_mono = mono()
        is_hurried, is_changed = False, True
        controls.page = screen.rows
        while not controls.has_ended:
            if reading is not None and reading.done():
                reading.result()
                reading, is_changed = None, True
            is_due = mono() >= due_mono
            if reading is None and (is_due or is_hurried):
                if is_due:
                    due_mono = mono() + controls.interval_s
                work = self._reader.read(controls, is_hurried=not is_due)
                reading, is_hurried = supervisor.start(work, "reading of cirrus top"), False
            if is_changed or mono() >= drawn_mono + _TICK_S:
                drawn_mono, is_changed = mono(), False
                await screen.draw(self._make_frame(screen.columns, screen.rows))
            wait_s = min(due_mono, drawn_mono + _TICK_S) - mono()
            key = await screen.next_key(_LOOK_S if reading is not None else max(0.0, wait_s))
            if key is not None:
                is_hurried = controls.press(key) or is_hurried
                due_mono = min(due_mono, mono() + controls.interval_s)
                is_changed = True

    def _make_frame(self, columns: int, rows: int) -> list[str]:
        def make() -> Any:
            return make_frame(
                self._state,
                self._controls,
                (columns, rows),
                now_at=self._clock.wall(),
                mono=self._clock.mono(),
                has_colour=self._has_colour,
            )

        frame = make()
        was = self._controls.scroll
        self._controls.fit(frame.rows, frame.page)
        return list((frame if self._controls.scroll == was else make()).lines)


VERBS = (top,)
