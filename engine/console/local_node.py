"""The node that the console runs in, as verbs take it.

Place in flow: one for each operator's session, in the console's loop; each call hops over to
``engine.console.desk`` in the node's loop and back.

Invariants:
    * The two loops share nothing but the calls: neither waits for a lock of the other.
    * A verb that is ended ends its call in the node.

Failure: ``NodeAwayError`` when the node takes longer than a call may.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping
from typing import Any, TypeVar

import msgspec

from engine.cli.errors import NodeAwayError
from engine.cli.http_node import without_nothing
from engine.cli.samples import Samples, parse_samples
from engine.console.desk import ConsoleDesk, Watch
from engine.console.operator_keys import Operator
from engine.model.caller import Caller

#: How long one call may take, seconds.
CALL_S = 60.0
CHANNEL = "console"

_T = TypeVar("_T")


class LocalNode:
    """The way of one operator to the node; a ``NodePort``.

    Args:
        desk: The node's side.
        loop: The node's loop.
        operator: Who asks.
        origin: The address they come from.
    """

    def __init__(
        self, desk: ConsoleDesk, loop: asyncio.AbstractEventLoop, operator: Operator, origin: str
    ) -> None:
        self._desk = desk
        self._loop = loop
        self.operator = operator
        self.caller = Caller(operator.name, origin, CHANNEL)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what the node answers. See ``NodePort``."""
        arguments = without_nothing(query or body or {})
        raw, text = await self._ask(
            self._desk.call(self.operator, self.caller, method, path, arguments)
        )
        return text if raw is None else msgspec.json.decode(raw)

    async def watch(self, path: str, wanted: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield what happens on the node. See ``NodePort``."""
        # Who leaves while it is being opened leaves it open, unless it is kept where both see it.
        opened: list[Watch] = []
        try:
            watch = await self._ask(self._open(path, without_nothing(wanted), opened))
            while frames := await self._hop(watch.next_frames()):
                for frame in frames:
                    yield msgspec.json.decode(frame)
        finally:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_close_all, opened)

    async def _open(self, path: str, wanted: Mapping[str, Any], opened: list[Watch]) -> Watch:
        watch = self._desk.open_watch(self.operator, self.caller, path, wanted)
        opened.append(watch)
        return watch

    async def read_metrics(self, names: Collection[str]) -> Samples:
        """Return the series of metrics. See ``NodePort``."""
        text = await self._ask(self._desk.read_metrics(names))
        return parse_samples(text.split("\n"), names)

    def note(self, act: str, detail: str = "", **arguments: Any) -> None:
        """Leave an audit record of what the operator did at the console itself."""
        self._loop.call_soon_threadsafe(self._desk.note, self.caller, act, detail, arguments)

    def note_denied(self, act: str, detail: str) -> None:
        """Leave an audit record of what the operator may not do."""
        self._loop.call_soon_threadsafe(self._desk.note_denied, self.caller, act, detail)

    async def _ask(self, work: Coroutine[Any, Any, _T]) -> _T:
        try:
            async with asyncio.timeout(CALL_S):
                return await self._hop(work)
        except TimeoutError:
            raise NodeAwayError(f"the node did not answer within {CALL_S:.0f} s") from None

    async def _hop(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what a coroutine returns in the node's loop."""
        if self._loop.is_closed():
            work.close()
            raise NodeAwayError("the node has stopped")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


def _close_all(opened: list[Watch]) -> None:
    """Close watches, in the node's loop: behind the call that opened them, or ended with it."""
    for watch in opened:
        watch.close()
