"""``mta.uuid``: identifiers of the kinds 1, 4, 6 and 7.

Place in flow: exposed by ``all_modules``.

Invariants:
    * Identifiers with a time in them grow within a process, also when the clock steps back.
    * No address of the machine is in them: the node part is random, and says so (RFC 9562, 6.10).

Standard: RFC 9562.
"""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable
from typing import Any

from policy.script_api import ScriptNamespace

MODULE = "mta.uuid"
#: 100 ns intervals from the Gregorian calendar's first day to 1970.
_GREGORIAN = 0x01B21DD213814000
_MULTICAST = 1 << 40


class Uuid:
    """An identifier and its spellings."""

    __slots__ = ("_value",)

    def __init__(self, value: uuid.UUID) -> None:
        self._value = value

    @property
    def hyphenated(self) -> str:
        """Return it in groups."""
        return str(self._value)

    @property
    def simple(self) -> str:
        """Return its 32 digits."""
        return self._value.hex

    @property
    def braced(self) -> str:
        """Return it in groups within braces."""
        return f"{{{self._value}}}"

    @property
    def urn(self) -> str:
        """Return it as a URN."""
        return self._value.urn

    @property
    def bytes(self) -> bytes:
        """Return its 16 octets."""
        return self._value.bytes

    @property
    def version(self) -> int | None:
        """Return its kind."""
        return self._value.version

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Uuid) and self._value == other._value

    def __lt__(self, other: object) -> bool:
        return self._value < other._value if isinstance(other, Uuid) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)

    def __str__(self) -> str:
        return self.hyphenated

    def __repr__(self) -> str:
        return f"<uuid {self._value}>"


def parse(text: str | bytes) -> Uuid:
    """Return the identifier of a text in any spelling, or of 16 octets.

    Raises:
        ValueError: It is none.
    """
    if isinstance(text, bytes) and len(text) == 16:
        return Uuid(uuid.UUID(bytes=text))
    if not isinstance(text, str) or len(text) > 45:
        raise ValueError("not a UUID")
    try:
        return Uuid(uuid.UUID(text))
    except ValueError:
        raise ValueError(f"not a UUID: {text!r}") from None


def new_v4() -> Uuid:
    """Return a random identifier."""
    return Uuid(uuid.uuid4())


class UuidMaker:
    """Makes identifiers with a time in them.

    Args:
        wall: Seconds since the Unix epoch.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        # A policy may be loading in a thread.
        self._lock = threading.Lock()
        self._last_ticks = 0
        self._last_v7 = 0
        self._node = secrets.randbits(48) | _MULTICAST
        self._sequence = secrets.randbits(14)

    def _ticks(self) -> int:
        with self._lock:
            ticks = max(int(self._wall() * 10_000_000) + _GREGORIAN, self._last_ticks + 1)
            self._last_ticks = ticks
        return ticks & ((1 << 60) - 1)

    def new_v1(self) -> Uuid:
        """Return an identifier by time, in the order of bits of the first kind."""
        ticks = self._ticks()
        fields: Any = (
            ticks & 0xFFFFFFFF,
            ticks >> 32 & 0xFFFF,
            ticks >> 48 | 1 << 12,
            self._sequence >> 8 | 0x80,
            self._sequence & 0xFF,
            self._node,
        )
        return Uuid(uuid.UUID(fields=fields))

    def new_v6(self) -> Uuid:
        """Return an identifier by time that sorts by it."""
        ticks = self._ticks()
        value = (ticks >> 12) << 80 | 6 << 76 | (ticks & 0xFFF) << 64
        return Uuid(uuid.UUID(int=value | 2 << 62 | self._sequence << 48 | self._node))

    def new_v7(self) -> Uuid:
        """Return an identifier by Unix time that sorts by it: milliseconds and their fraction."""
        with self._lock:
            stamp = max(int(self._wall() * 1000 * 4096), self._last_v7 + 1)
            self._last_v7 = stamp
        value = (stamp >> 12 & (1 << 48) - 1) << 80 | 7 << 76 | (stamp & 0xFFF) << 64
        return Uuid(uuid.UUID(int=value | 2 << 62 | secrets.randbits(62)))


def expose_uuid(namespace: ScriptNamespace, wall: Callable[[], float]) -> None:
    """Make ``mta.uuid`` importable by scripts."""
    maker = UuidMaker(wall)
    for function in (maker.new_v1, new_v4, maker.new_v6, maker.new_v7, parse):
        namespace.expose(function.__name__, function, module=MODULE)
