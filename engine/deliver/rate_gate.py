"""The rates of an egress path, as one dispatcher meets them.

Place in flow: dispatchers ask before a connection is opened and before messages go.

Invariants:
    * A turn that was not used is given back: when another rate refuses, when the wait is too long,
      and when the task is cancelled while it waits.
    * Nobody waits here longer than the path's ``idle_timeout``: beyond that the mail goes back to
      its scheduled queue instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.deliver.work import Services, Work
from engine.throttle.limiter import ASKING


class RateGate:
    """The rates of one ready queue's path."""

    def __init__(self, work: Work, services: Services, enter: Callable[[str], None]) -> None:
        """Ask for a dispatcher.

        Args:
            work: The ready queue.
            services: Where the rates are counted.
            enter: Is told the phase that waiting puts the dispatcher in.
        """
        self._work = work
        self._services = services
        self._enter = enter
        self._taken: list[tuple[Any, int]] = []

    async def wait_connection(self) -> float:
        """Wait for the turn to connect; return 0, or the seconds that were too long to wait."""
        rate = self._work.path.max_connection_rate
        if rate is None:
            return 0.0
        bucket = self._services.limiter.bucket(f"{self._work.name}-connection-rate", rate)
        return await self._wait(bucket, 1, "ConnectionRateThrottled")

    async def wait_messages(self, count: int = 1) -> float:
        """Wait for the turn of so many messages; return 0, or the seconds that were too long."""
        path = self._work.path
        if path.max_message_rate is None and not path.additional_message_rate_throttles:
            return 0.0
        rates = [(spec, key) for key, spec in path.additional_message_rate_throttles.items()]
        if path.max_message_rate is not None:
            rates.append((path.max_message_rate, f"max_message_rate.{self._work.name}"))
        is_granted = False
        rates.sort(key=lambda item: item[0].per_s)
        buckets = [self._services.limiter.bucket(key, spec) for spec, key in rates]
        for bucket in buckets:
            bucket.prepare(count)
        try:
            for bucket in buckets:
                wait_s = await self._wait(bucket, count, "MessageRateThrottled")
                if wait_s > 0.0:
                    return wait_s
                self._taken.append((bucket, count))
            is_granted = True
        finally:
            if not is_granted:
                self.return_turn()
        return 0.0

    def use_turn(self) -> None:
        """Note that the messages went: their turn is spent."""
        self._taken.clear()

    def return_turn(self) -> None:
        """Give back a turn whose messages did not go."""
        taken, self._taken = self._taken, []
        for bucket, count in taken:
            bucket.give_back(count)

    async def _wait(self, bucket: Any, count: int, phase: str) -> float:
        while (wait_s := bucket.take(count)) != 0.0:
            self._enter(phase)
            if wait_s == ASKING:
                await bucket.answer(count)
                continue
            if wait_s >= self._work.path.idle_timeout_s:
                return float(wait_s)
            await self._services.sleep(wait_s)
        return 0.0
