"""Traces of sessions as they happen, for those who watch: bounded, and free while nobody does.

Place in flow: sessions of ``engine.receive`` and ``engine.deliver`` publish, and
``engine.admin.tracing`` subscribes.

Invariants:
    * While nobody watches a session tests ``is_on`` and does nothing else.
    * To publish never waits. A reader that does not keep up loses events: they are counted, and it
      is told how many when it reads on.
    * What waits for a reader is bounded in number and in octets, whatever the events hold.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: Events, and octets of content, that wait for one reader.
EVENTS_MAX = 16_384
OCTETS_MAX = 16 << 20
#: Readers of one hub.
READERS_MAX = 16
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


class TooManyReadersError(Exception):
    """As many watch already as may."""


class Subscription:
    """What waits for one reader."""

    def __init__(self, hub: TraceHub, wants: Callable[[Mapping[str, Any]], bool]) -> None:
        self._hub = hub
        self._wants = wants
        self._events: deque[TraceEvent] = deque()
        self._octets = 0
        self._missed = 0
        self._arrived = asyncio.Event()
        self.is_closed = False

    def offer(self, event: TraceEvent) -> None:
        """Keep an event for the reader, if it wants it and there is room."""
        if not self._wants(event.meta):
            return
        octets = _EVENT_OCTETS + (len(event.value) if isinstance(event.value, bytes | str) else 0)
        if len(self._events) >= EVENTS_MAX or self._octets + octets > OCTETS_MAX:
            self._missed += 1
            return
        self._events.append(event)
        self._octets += octets
        self._arrived.set()

    @property
    def has_more(self) -> bool:
        """Return whether something waits already."""
        return bool(self._events)

    async def next(self) -> TraceEvent | int | None:
        """Return the next event, how many were missed here, or None when it is over."""
        while not self._events and not self.is_closed:
            if self._missed:
                missed, self._missed = self._missed, 0
                return missed
            self._arrived.clear()
            await self._arrived.wait()
        if not self._events:
            return None
        event = self._events.popleft()
        octets = len(event.value) if isinstance(event.value, bytes | str) else 0
        self._octets -= _EVENT_OCTETS + octets
        return event

    def close(self) -> None:
        """End it; the reader gets what is left."""
        self.is_closed = True
        self._hub.remove(self)
        self._arrived.set()


class TraceHub:
    """Who watches sessions of one kind.

    Attributes:
        is_on: Whether anybody does.
    """

    __slots__ = ("_subscriptions", "is_on")

    def __init__(self) -> None:
        self.is_on = False
        self._subscriptions: tuple[Subscription, ...] = ()

    def publish(self, event: TraceEvent) -> None:
        """Give an event to those who want it."""
        for subscription in self._subscriptions:
            subscription.offer(event)

    def subscribe(self, wants: Callable[[Mapping[str, Any]], bool]) -> Subscription:
        """Return a new subscription.

        Args:
            wants: Whether events of a session of this metadata are wanted.

        Raises:
            TooManyReadersError: There is no place.
        """
        if len(self._subscriptions) >= READERS_MAX:
            raise TooManyReadersError
        made = Subscription(self, wants)
        self._subscriptions = (*self._subscriptions, made)
        self.is_on = True
        return made

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        self._subscriptions = tuple(one for one in self._subscriptions if one is not subscription)
        self.is_on = bool(self._subscriptions)

    def __len__(self) -> int:
        return len(self._subscriptions)


#: The hub of those who have none: nobody ever watches.
OFF = TraceHub()


@dataclass(slots=True)
class Tracing:
    """The hubs of a node: of what comes in and of what goes out."""

    server: TraceHub = field(default_factory=TraceHub)
    client: TraceHub = field(default_factory=TraceHub)
