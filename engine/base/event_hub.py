"""Events as they happen, for those who watch: bounded, and free while nobody does.

Place in flow: ``engine.base.trace_hub`` and ``engine.base.record_hub`` are hubs; whoever has
something to tell publishes, and ``engine.admin`` subscribes.

Invariants:
    * While nobody watches, who publishes tests ``is_on`` and does nothing else.
    * To publish never waits. A reader that does not keep up loses events: they are counted, and it
      is told how many when it reads on.
    * What waits for a reader is bounded in number and in octets, whatever the events hold.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

#: Events, and octets of content, that wait for one reader.
EVENTS_MAX = 16_384
OCTETS_MAX = 16 << 20
#: Readers of one hub.
READERS_MAX = 16


class Event(Protocol):
    """Something that happened."""

    @property
    def octets(self) -> int:
        """Return the memory that it takes, about."""


_E = TypeVar("_E", bound=Event)


class TooManyReadersError(Exception):
    """As many watch already as may."""


class Subscription(Generic[_E]):
    """What waits for one reader."""

    def __init__(self, hub: EventHub[_E], wants: Callable[[_E], bool]) -> None:
        self._hub = hub
        self._wants = wants
        self._events: deque[_E] = deque()
        self._octets = 0
        self._missed = 0
        self._arrived = asyncio.Event()
        self.is_closed = False

    def offer(self, event: _E) -> None:
        """Keep an event for the reader, if it wants it and there is room."""
        if not self._wants(event):
            return
        octets = event.octets
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

    async def next(self) -> _E | int | None:
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
        self._octets -= event.octets
        return event

    def close(self) -> None:
        """End it; the reader gets what is left."""
        self.is_closed = True
        self._hub.remove(self)
        self._arrived.set()


class EventHub(Generic[_E]):
    """Who watches events of one kind.

    Attributes:
        is_on: Whether anybody does.
        on_switch: Told when the first begins to and when the last leaves.
    """

    __slots__ = ("_subscriptions", "is_on", "on_switch")

    def __init__(self) -> None:
        self.is_on = False
        self.on_switch: Callable[[bool], None] | None = None
        self._subscriptions: tuple[Subscription[_E], ...] = ()

    def publish(self, event: _E) -> None:
        """Give an event to those who want it."""
        for subscription in self._subscriptions:
            subscription.offer(event)

    def watch(self, wants: Callable[[_E], bool]) -> Subscription[_E]:
        """Return a new subscription.

        Args:
            wants: Whether an event is wanted.

        Raises:
            TooManyReadersError: There is no place.
        """
        if len(self._subscriptions) >= READERS_MAX:
            raise TooManyReadersError
        made = Subscription(self, wants)
        self._set((*self._subscriptions, made))
        return made

    def remove(self, subscription: Subscription[Any]) -> None:
        """Forget a subscription."""
        self._set(tuple(one for one in self._subscriptions if one is not subscription))

    def _set(self, subscriptions: tuple[Subscription[_E], ...]) -> None:
        self._subscriptions = subscriptions
        was_on, self.is_on = self.is_on, bool(subscriptions)
        if was_on != self.is_on and self.on_switch is not None:
            self.on_switch(self.is_on)

    def __len__(self) -> int:
        return len(self._subscriptions)
