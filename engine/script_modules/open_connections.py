"""Connections that scripts use: opened at the first call, shared, closed when nobody uses them.

Place in flow: the modules of ``engine.script_modules`` that reach other servers take what they talk
through from here, by what it was opened with.

Invariants:
    * Scripts hold no connection, only the options it is opened with. So a reload neither breaks a
      call under way nor leaves anything open: the new epoch's calls go on with the same
      connection, and one that no script asks for any more is closed after ``IDLE_S``.
    * At most ``CONNECTIONS_MAX`` are open; beyond, the one unused for the longest is closed.
    * What is opened is opened once at a time, and what failed while opening is gone.

Failure: an opening that fails is the error of the call that asked for it; the next one tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

log = logging.getLogger("cirrus.script")

IDLE_S = 60.0
CONNECTIONS_MAX = 64
#: How long closing one may take, seconds.
CLOSE_S = 5.0

T = TypeVar("T")

#: Port: run a coroutine as a supervised task of this name.
StartTask = Callable[[Coroutine[Any, Any, Any], str], Any]


@dataclass(frozen=True, slots=True)
class Opening(Generic[T]):
    """How a connection comes and goes.

    Attributes:
        key: What makes two of them the same; its kind first.
        open: Returns a new one.
        close: Ends one.
        is_good: Tells whether one can still be used.
    """

    key: tuple[Hashable, ...]
    open: Callable[[], Awaitable[T]]
    close: Callable[[T], Awaitable[Any]]
    is_good: Callable[[T], bool] = lambda _connection: True

    @property
    def kind(self) -> str:
        """Return what it is a connection to, such as ``redis``."""
        return str(self.key[0])


@dataclass(slots=True, eq=False)
class _Entry:
    opening: Opening[Any]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: Any = None
    is_open: bool = False
    users: int = 0
    used_mono: float = 0.0


class OpenConnections:
    """The connections of one node's scripts.

    Args:
        mono: Monotonic time in seconds.
        start: Runs what closes idle ones.
    """

    def __init__(self, mono: Callable[[], float], start: StartTask) -> None:
        self._mono = mono
        self._start = start
        self._entries: dict[Hashable, _Entry] = {}
        self._is_reaping = False
        self._is_closed = False

    def __len__(self) -> int:
        return sum(entry.is_open for entry in self._entries.values())

    @contextlib.asynccontextmanager
    async def use(self, opening: Opening[T]) -> AsyncIterator[T]:
        """Lend a connection, opened if need be.

        Raises:
            RuntimeError: Too many different ones are in use.
        """
        entry = self._entries.get(opening.key) or self._make_room(opening)
        entry.users += 1
        try:
            async with entry.lock:
                if entry.is_open and not opening.is_good(entry.connection):
                    await self._close_entry(entry)
                if not entry.is_open:
                    entry.connection = await opening.open()
                    entry.is_open = True
            yield entry.connection
        finally:
            entry.users -= 1
            entry.used_mono = self._mono()
            if not entry.is_open and not entry.users:
                self._entries.pop(opening.key, None)
            self._watch()

    def _make_room(self, opening: Opening[T]) -> _Entry:
        if self._is_closed:
            raise RuntimeError("the node is stopping")
        if len(self._entries) >= CONNECTIONS_MAX:
            idle = [one for one in self._entries.values() if not one.users]
            if not idle:
                raise RuntimeError(f"more than {CONNECTIONS_MAX} different connections in use")
            oldest = min(idle, key=lambda one: one.used_mono)
            del self._entries[oldest.opening.key]
            self._start(self._close_entry(oldest), "script-connection-closing")
        entry = self._entries[opening.key] = _Entry(opening)
        return entry

    def _watch(self) -> None:
        if not self._is_reaping and self._entries and not self._is_closed:
            self._is_reaping = True
            self._start(self._reap_idle(), "script-connections")

    async def _reap_idle(self) -> None:
        try:
            while self._entries and not self._is_closed:
                await asyncio.sleep(IDLE_S / 2)
                before_mono = self._mono() - IDLE_S
                for key, entry in list(self._entries.items()):
                    if not entry.users and entry.used_mono <= before_mono:
                        del self._entries[key]
                        await self._close_entry(entry)
        finally:
            self._is_reaping = False

    async def _close_entry(self, entry: _Entry) -> None:
        if not entry.is_open:
            return
        connection, entry.connection, entry.is_open = entry.connection, None, False
        try:
            async with asyncio.timeout(CLOSE_S):
                await entry.opening.close(connection)
        except Exception as error:  # noqa: BLE001 - supervisor: it is given up whatever it says
            log.warning("a connection of the scripts did not close: %s", type(error).__name__)

    async def close(self) -> None:
        """Close everything, used or not; nothing can be opened any more."""
        self._is_closed = True
        entries = list(self._entries.values())
        self._entries.clear()
        await asyncio.gather(*(self._close_entry(entry) for entry in entries))
