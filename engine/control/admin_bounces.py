"""Admin bounces: scheduled queues whose messages an operator or a decision fails.

Place in flow: written by ``engine.admin``; ``engine.schedule`` asks on insertion and promotion.
Messages in a ready queue or in flight are not touched until they return.

Invariants:
    * Asking costs one attribute test while there is none.
    * An expired bounce never matches: mail after it is delivered.
    * ``wait_swept`` returns once the mail that waited was looked at for every bounce in force.

Failure: memory only; a restart forgets all bounces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

from engine.control.change_notice import ChangeNotice
from engine.control.directive_set import DirectiveSet
from engine.model.suspension import Criteria, Directive


class AdminBounceRegistry:
    """Every admin bounce of this node.

    Attributes:
        on_change: Called after each change: added, replaced, cancelled or found expired.
    """

    def __init__(self, mono: Callable[[], float]) -> None:
        """Expire by the given monotonic clock."""
        self._notice = ChangeNotice()
        self.on_change = self._notice.on_change
        self._directives = DirectiveSet(mono, self._notice)
        self._swept_generation = 0
        self._sweep_waiters: set[asyncio.Future[None]] = set()

    @property
    def is_empty(self) -> bool:
        """Return whether there is none."""
        return self._directives.is_empty

    @property
    def generation(self) -> int:
        """Return a number that grows with each change."""
        return self._directives.generation

    def add(
        self,
        criteria: Criteria,
        reason: str,
        author: str,
        duration_s: float,
        *,
        suppress_logging: bool = False,
        directive_id: str = "",
    ) -> Directive:
        """Return the new bounce, which replaces one of the same criteria."""
        return self._directives.add(
            criteria,
            reason,
            author,
            duration_s,
            suppress_logging=suppress_logging,
            directive_id=directive_id,
        )

    def find(self, queue_name: str) -> Directive | None:
        """Return the bounce that covers a scheduled queue now."""
        return self._directives.find(queue_name)

    def get(self, criteria: Criteria) -> Directive | None:
        """Return the bounce of exactly these criteria, expired or not."""
        return self._directives.get(criteria)

    def cancel(self, directive_id: str) -> bool:
        """Return whether a bounce of that id was there to be removed."""
        return self._directives.cancel(directive_id)

    def list(self) -> tuple[Directive, ...]:
        """Return every bounce in force."""
        return tuple(self._directives)

    def note_swept(self, generation: int) -> None:
        """Note that all waiting mail was looked at for the bounces of a generation."""
        self._swept_generation = generation
        for waiter in tuple(self._sweep_waiters):
            if not waiter.done():
                waiter.set_result(None)

    async def wait_swept(self, limit_s: float) -> bool:
        """Wait until waiting mail was looked at for what is in force now; return whether it was.

        Args:
            limit_s: How long to wait at most, seconds.
        """
        wanted = self.generation
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        while self._swept_generation < wanted:
            waiter = loop.create_future()
            self._sweep_waiters.add(waiter)
            try:
                async with asyncio.timeout_at(deadline):
                    await waiter
            except TimeoutError:
                return False
            finally:
                self._sweep_waiters.discard(waiter)
        return True

    @property
    def next_expiry_mono(self) -> float | None:
        """Return when the next bounce ends; None if there is none."""
        return self._directives.next_expiry_mono

    def at_once(self) -> AbstractContextManager[None]:
        """Tell of all changes made inside as of one."""
        return self._notice.at_once()
