"""Suspensions: what is held back, in scheduled queues, in ready queues, and by whole sources.

Place in flow: written by ``engine.admin``; ``engine.schedule`` and ``engine.ready`` ask per
message, and never learn who spoke.

Invariants:
    * Asking costs one attribute test while nothing is suspended.
    * An expired suspension never matches.

Failure: memory only; a restart forgets all suspensions.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager

from engine.control.change_notice import ChangeNotice
from engine.control.directive_set import DirectiveSet
from engine.model.suspension import Criteria, Directive, ReadyDirective
from engine.model.transfer_target import is_transfer_queue


class SuspensionRegistry:
    """Every suspension of this node.

    Attributes:
        scheduled: The suspensions of scheduled queues; test its ``is_empty`` first.
        on_change: Called after each change: added, replaced, cancelled or found expired.
    """

    def __init__(self, mono: Callable[[], float]) -> None:
        """Expire by the given monotonic clock."""
        self._mono = mono
        self._notify = ChangeNotice()
        self.on_change = self._notify.on_change
        self.scheduled = DirectiveSet(mono, self._notify)
        self._ready: dict[str, ReadyDirective] = {}
        self._sources: dict[str, ReadyDirective] = {}
        self._ready_generation = 0

    @property
    def is_empty(self) -> bool:
        """Return whether nothing at all is suspended."""
        return self.scheduled.is_empty and not self._ready and not self._sources

    @property
    def generation(self) -> int:
        """Return a number that grows with each change."""
        return self.scheduled.generation + self._ready_generation

    def add_scheduled(
        self,
        criteria: Criteria,
        reason: str,
        author: str,
        duration_s: float,
        *,
        directive_id: str = "",
    ) -> Directive:
        """Return the new suspension of scheduled queues; it replaces one of the same criteria."""
        return self.scheduled.add(criteria, reason, author, duration_s, directive_id=directive_id)

    def add_ready(
        self, name: str, reason: str, author: str, duration_s: float, *, directive_id: str = ""
    ) -> ReadyDirective:
        """Return the new suspension of a ready queue, which replaces one of the same name."""
        expires_mono = self._mono() + duration_s
        made_id = directive_id or str(uuid.uuid4())
        made = ReadyDirective(made_id, name, reason, author, expires_mono)
        self._ready[name] = made
        self._ready_changed()
        return made

    def find_scheduled(self, queue_name: str) -> Directive | None:
        """Return the suspension that covers a scheduled queue now.

        Mail that goes to another node is no delivery: only its queue's own name holds it back.
        """
        found = self.scheduled.find(queue_name)
        if found is not None and is_transfer_queue(queue_name):
            return found if found.criteria.queue_names else None
        return found

    def find_ready(self, name: str) -> ReadyDirective | None:
        """Return the suspension of a ready queue now."""
        if not self._ready:
            return None
        found = self._ready.get(name)
        if found is not None and found.expires_mono <= self._mono():
            self._prune_ready()
            return None
        return found

    def add_source(
        self, name: str, reason: str, author: str, duration_s: float, *, directive_id: str = ""
    ) -> ReadyDirective:
        """Return the new suspension of all ready queues of an egress source."""
        made_id = directive_id or str(uuid.uuid4())
        made = ReadyDirective(made_id, name, reason, author, self._mono() + duration_s)
        self._sources[name] = made
        self._ready_changed()
        return made

    def find_source(self, name: str) -> ReadyDirective | None:
        """Return the suspension of an egress source now."""
        if not self._sources:
            return None
        found = self._sources.get(name)
        if found is not None and found.expires_mono <= self._mono():
            self._prune_ready()
            return None
        return found

    def find_way(self, ready_queue: str, source: str) -> ReadyDirective | None:
        """Return what holds a ready queue now: its own suspension, or that of its source."""
        return self.find_ready(ready_queue) or self.find_source(source)

    def cancel(self, directive_id: str) -> bool:
        """Return whether a suspension of that id was there to be removed."""
        if self.scheduled.cancel(directive_id):
            return True
        for held in (self._ready, self._sources):
            for name, found in held.items():
                if found.id == directive_id:
                    del held[name]
                    self._ready_changed()
                    return found.expires_mono > self._mono()
        return False

    def list_scheduled(self) -> tuple[Directive, ...]:
        """Return the suspensions of scheduled queues."""
        return tuple(self.scheduled)

    def list_ready(self) -> tuple[ReadyDirective, ...]:
        """Return the suspensions of ready queues."""
        self._prune_ready()
        return tuple(self._ready.values())

    def list_sources(self) -> tuple[ReadyDirective, ...]:
        """Return the suspensions of egress sources."""
        self._prune_ready()
        return tuple(self._sources.values())

    def list(self) -> tuple[Directive | ReadyDirective, ...]:
        """Return every suspension."""
        return (*self.list_scheduled(), *self.list_ready(), *self.list_sources())

    @property
    def next_expiry_mono(self) -> float | None:
        """Return when the next suspension ends; None if there is none."""
        ends = [
            found.expires_mono for held in (self._ready, self._sources) for found in held.values()
        ]
        soonest = self.scheduled.next_expiry_mono
        return min(ends if soonest is None else [*ends, soonest], default=None)

    def _prune_ready(self) -> None:
        now = self._mono()
        is_changed = False
        for held in (self._ready, self._sources):
            for name in [name for name, found in held.items() if found.expires_mono <= now]:
                del held[name]
                is_changed = True
        if is_changed:
            self._ready_changed()

    def _ready_changed(self) -> None:
        self._ready_generation += 1
        self._notify()

    def at_once(self) -> AbstractContextManager[None]:
        """Tell of all changes made inside as of one."""
        return self._notify.at_once()
