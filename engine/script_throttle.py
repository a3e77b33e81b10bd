"""Rates that a script applies itself.

Place in flow: scripts make one with ``mta.make_throttle``; it asks ``engine.throttle.limiter``
through a port.

Invariants:
    * Counts are kept across reloads: they hang on name and rate, not on the object.
    * Waiting ends with the waiting time of the event at the latest.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Protocol

from engine.model.throttle_spec import ThrottleSpec, parse_throttle
from engine.script_modules.waiting_call import waiting
from engine.script_views import MessageView
from policy.script_api import known_to_scripts

#: The shortest pause between two tries, seconds: rounding must not make a busy loop.
_PAUSE_MIN_S = 0.001


class RateResult(Protocol):
    """The answer of a limiter: times in seconds."""

    @property
    def throttled(self) -> bool:
        """Return whether it was refused."""

    @property
    def limit(self) -> int:
        """Return how many may go at once."""

    @property
    def remaining(self) -> int:
        """Return how many more may go now."""

    @property
    def reset_after_s(self) -> float:
        """Return when the whole allowance is back."""

    @property
    def retry_after_s(self) -> float | None:
        """Return when it is worth asking again."""


#: Port: take a quantity from the bucket of a key and rate.
TakeRate = Callable[[str, ThrottleSpec, int], RateResult]


@known_to_scripts("Throttle")
class ScriptThrottle:
    """A rate that a script applies itself; counts are kept across reloads."""

    __slots__ = ("_key", "_spec", "_take")

    def __init__(self, take: TakeRate, name: str, spec: str) -> None:
        self._take = take
        self._key = f"script-{name}"
        self._spec = parse_throttle(spec)

    def throttle(self, quantity: int = 1) -> dict[str, Any]:
        """Take from the rate.

        Return throttled, limit, remaining, reset_after and retry_after: whole seconds, rounded
        up; the last one None if it was not throttled.
        """
        if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 1:
            raise ValueError("quantity: wants a whole number from 1")
        result = self._take(self._key, self._spec, quantity)
        retry_after_s = result.retry_after_s
        return {
            "throttled": result.throttled,
            "limit": result.limit,
            "remaining": result.remaining,
            "reset_after": math.ceil(result.reset_after_s),
            "retry_after": None if retry_after_s is None else math.ceil(retry_after_s),
        }

    @waiting("throttle.sleep_if_throttled")
    async def sleep_if_throttled(self) -> bool:
        """Wait until the rate allows one, and take it; return whether that took any waiting."""
        slept = False
        while True:
            result = self._take(self._key, self._spec, 1)
            if not result.throttled:
                return slept
            slept = True
            await asyncio.sleep(max(result.retry_after_s or 0.0, _PAUSE_MIN_S))

    def delay_message_if_throttled(self, msg: MessageView) -> bool:
        """Move the due time of a message behind the throttle; return whether it was throttled."""
        if not isinstance(msg, MessageView):
            raise TypeError("wants the message of the event")
        result = self._take(self._key, self._spec, 1)
        if result.throttled and result.retry_after_s is not None:
            msg._delay_by(result.retry_after_s)
        return result.throttled
