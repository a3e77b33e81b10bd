"""Traces of sessions as they happen, for those who watch, beside the records that are watched.

Place in flow: sessions of ``engine.receive`` and ``engine.deliver`` publish, and
``engine.admin.tracing`` subscribes.

Invariants:
    * Those of ``engine.base.event_hub``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.base.event_hub import EventHub, Subscription
from engine.base.record_hub import RecordHub

#: What an event takes besides its content, about.
_EVENT_OCTETS = 512


class TraceEvent(NamedTuple):
    """Something that happened in a session.

    Attributes:
        meta: What is known of the session; a copy of its own.
        kind: What happened, such as ``Read``.
        value: What belongs to it: None, octets or plain values.
        at: When, in seconds since the Unix epoch.
        is_content: Whether the value is content of a message, which some want short.
    """

    meta: Mapping[str, Any]
    kind: str
    value: Any
    at: float
    is_content: bool = False

    @property
    def octets(self) -> int:
        """Return the memory that it takes, about."""
        return _EVENT_OCTETS + (len(self.value) if isinstance(self.value, bytes | str) else 0)


class TraceHub(EventHub[TraceEvent]):
    """Who watches sessions of one kind."""

    __slots__ = ()

    def subscribe(self, wants: Callable[[Mapping[str, Any]], bool]) -> Subscription[TraceEvent]:
        """Return a new subscription.

        Args:
            wants: Whether events of a session of this metadata are wanted.

        Raises:
            TooManyReadersError: There is no place.
        """
        return self.watch(lambda event: wants(event.meta))


#: The hub of those who have none: nobody ever watches.
OFF = TraceHub()


@dataclass(slots=True)
class Tracing:
    """The hubs of a node: of what comes in, of what goes out, and of log records."""

    server: TraceHub = field(default_factory=TraceHub)
    client: TraceHub = field(default_factory=TraceHub)
    records: RecordHub = field(default_factory=RecordHub)
