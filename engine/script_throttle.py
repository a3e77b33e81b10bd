"""Rates that a script applies itself.

Place in flow: scripts make one with ``mta.make_throttle``; it asks ``engine.throttle.limiter``
through a port.

Invariants:
    * Counts are kept across reloads: they hang on name and rate, not on the object.
    * Waiting ends with the waiting time of the event at the latest.
    * A rate that nodes share is awaited: a ``def`` handler that asks for it fails, with its line.
      What an ``async def`` handler gets of another rate may be awaited too, so that a script that
      is right for many nodes is right for one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Generator
from typing import Any, Protocol

from engine.model.throttle_spec import ThrottleSpec, parse_throttle
from engine.script_modules.script_call import caller_epoch
from engine.script_modules.waiting_call import wait_for, waiting
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


class Rates(Protocol):
    """Port: what counts rates, here or for the whole cluster."""

    def is_shared(self, spec: ThrottleSpec) -> bool:
        """Return whether other nodes have to be asked about a rate."""

    def take_nowait(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> RateResult:
        """Take a quantity from the bucket of a key and rate, where nobody has to be asked."""

    async def take(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> RateResult:
        """Take a quantity from the bucket of a key and rate."""


@known_to_scripts("Throttle")
class ScriptThrottle:
    """A rate that a script applies itself; counts are kept across reloads."""

    __slots__ = ("_key", "_rates", "_spec")

    def __init__(self, rates: Rates, name: str, spec: str) -> None:
        self._rates = rates
        self._key = f"script-{name}"
        self._spec = parse_throttle(spec)

    def throttle(self, quantity: int = 1) -> Any:
        """Take from the rate.

        Return throttled, limit, remaining, reset_after and retry_after: whole seconds, rounded
        up; the last one None if it was not throttled.
        """
        if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 1:
            raise ValueError("quantity: wants a whole number from 1")
        if self._rates.is_shared(self._spec):
            return wait_for("throttle.throttle", self._throttle, quantity)
        result = _told(self._rates.take_nowait(self._key, self._spec, quantity))
        return _Answer(result) if _may_wait() else result

    async def _throttle(self, quantity: int) -> dict[str, Any]:
        return _told(await self._rates.take(self._key, self._spec, quantity))

    @waiting("throttle.sleep_if_throttled")
    async def sleep_if_throttled(self) -> bool:
        """Wait until the rate allows one, and take it; return whether that took any waiting."""
        slept = False
        while True:
            result = await self._rates.take(self._key, self._spec)
            if not result.throttled:
                return slept
            slept = True
            await asyncio.sleep(max(result.retry_after_s or 0.0, _PAUSE_MIN_S))

    def delay_message_if_throttled(self, msg: MessageView) -> Any:
        """Move the due time of a message behind the throttle; return whether it was throttled."""
        if not isinstance(msg, MessageView):
            raise TypeError("wants the message of the event")
        if self._rates.is_shared(self._spec):
            return wait_for("throttle.delay_message_if_throttled", self._delay, msg)
        is_delayed = _delayed(msg, self._rates.take_nowait(self._key, self._spec))
        return _Verdict(is_delayed) if _may_wait() else is_delayed

    async def _delay(self, msg: MessageView) -> bool:
        return _delayed(msg, await self._rates.take(self._key, self._spec))


class _Answer(dict[str, Any]):
    """An answer that is there at once, and may be awaited like that of a shared rate."""

    def __await__(self) -> Generator[Any, Any, dict[str, Any]]:
        return dict(self)
        yield


class _Verdict(int):
    """A yes or no that is there at once, and may be awaited like that of a shared rate."""

    def __await__(self) -> Generator[Any, Any, bool]:
        return bool(self)
        yield

    def __repr__(self) -> str:
        return repr(bool(self))

    __str__ = __repr__


def _may_wait() -> bool:
    """Return whether an ``async def`` handler calls, which may be written for shared rates."""
    epoch = caller_epoch()
    return epoch is not None and epoch.budget.waits is not None


def _told(result: RateResult) -> dict[str, Any]:
    retry_after_s = result.retry_after_s
    return {
        "throttled": result.throttled,
        "limit": result.limit,
        "remaining": result.remaining,
        "reset_after": math.ceil(result.reset_after_s),
        "retry_after": None if retry_after_s is None else math.ceil(retry_after_s),
    }


def _delayed(msg: MessageView, result: RateResult) -> bool:
    if result.throttled and result.retry_after_s is not None:
        msg._delay_by(result.retry_after_s)
    return result.throttled
