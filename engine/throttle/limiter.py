"""Rate limits by key: what every throttled stage asks, and its form in memory.

Place in flow: ``engine.schedule.insert_throttle`` and ``engine.deliver.rate_gate`` ask before a
message or a connection goes; scripts ask through their throttles. ``shared_limiter`` has the other
form, for rates that nodes share.

Invariants:
    * The key of a bucket includes its rate: changing a rate starts a fresh bucket.
    * One key has one bucket as long as anyone holds it or its allowance is not full again; so
      forgetting an idle bucket never gives a rate twice.
    * Memory is bounded by the keys used within their own periods: full ones are swept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakValueDictionary

from engine.model.throttle_spec import ThrottleSpec
from engine.throttle.gcra import ROUNDING, ThrottleResult, outcome, wait_for

_BucketKey = tuple[str, int, int, float]
#: Fewer buckets than this are never worth a sweep.
_SWEEP_FROM = 1024


#: What ``take`` returns where only others know: there will be news, see ``when_answered``.
ASKING = -1.0


class RateBucket(Protocol):
    """One key and rate, counted in this process or for the whole cluster."""

    def take(self, quantity: int = 1, now: float | None = None) -> float:
        """Return 0 and count the quantity, the seconds to wait, or ``ASKING``."""

    def prepare(self, quantity: int = 1) -> None:
        """Have the answer to a ``take`` on its way before it is called."""

    def when_answered(self, call: Callable[[], Any], quantity: int = 1) -> None:
        """Call once when it is worth taking again, after ``take`` returned ``ASKING``."""

    async def answer(self, quantity: int = 1) -> None:
        """Return when it is worth taking again, after ``take`` returned ``ASKING``."""

    def wait_s(self, quantity: int = 1, now: float | None = None) -> float:
        """Return how long ``take`` would make the caller wait, without counting."""

    def give_back(self, quantity: int = 1) -> None:
        """Uncount what was taken and then not used."""

    def result(self, wait_s: float, now: float | None = None) -> ThrottleResult:
        """Return the full answer that goes with a wait that was returned just now."""


class Bucket:
    """The state of one key; hold on to it to ask often.

    Attributes:
        key: Name, limit, burst and period.
        tat: The theoretical arrival time, on the monotonic clock.
    """

    __slots__ = (
        "__weakref__",
        "_burst",
        "_interval_s",
        "_is_kept",
        "_keep",
        "_mono",
        "_rounding_s",
        "_slack_s",
        "key",
        "tat",
    )

    def __init__(
        self,
        key: _BucketKey,
        spec: ThrottleSpec,
        mono: Callable[[], float],
        keep: Callable[[Bucket], None],
    ) -> None:
        self.key = key
        self.tat = 0.0
        self._interval_s = spec.interval_s
        self._burst = spec.burst
        # What one may be ahead: all of the burst but itself.
        self._slack_s = (spec.burst - 1) * spec.interval_s
        self._rounding_s = spec.interval_s * ROUNDING
        self._mono = mono
        self._keep = keep
        self._is_kept = False

    def take(self, quantity: int = 1, now: float | None = None) -> float:
        """Return 0 and count the quantity, or return the seconds until it is worth asking again.

        Args:
            quantity: How many want to go together.
            now: The monotonic present, if the caller has just read it.
        """
        if now is None:
            now = self._mono()
        base = self.tat
        base = max(base, now)
        if quantity == 1:
            wait_s = base - now - self._slack_s
            if wait_s > self._rounding_s:
                return wait_s
            self.tat = base + self._interval_s
        else:
            wait_s = wait_for(base, now, self._interval_s, self._burst, quantity)
            if wait_s > 0.0:
                return wait_s
            self.tat = base + quantity * self._interval_s
        if not self._is_kept:
            self._keep(self)
        return 0.0

    def prepare(self, quantity: int = 1) -> None:
        """Have nothing to prepare: the answer is here."""

    def when_answered(self, call: Callable[[], Any], quantity: int = 1) -> None:
        """Call soon: nobody else has to be asked."""
        del quantity
        asyncio.get_running_loop().call_soon(call)

    async def answer(self, quantity: int = 1) -> None:
        """Return at once: nobody else has to be asked."""

    def wait_s(self, quantity: int = 1, now: float | None = None) -> float:
        """Return how long ``take`` would make the caller wait, without counting."""
        if now is None:
            now = self._mono()
        return wait_for(max(self.tat, now), now, self._interval_s, self._burst, quantity)

    def give_back(self, quantity: int = 1) -> None:
        """Uncount what was taken and then not used."""
        self.tat -= quantity * self._interval_s

    def result(self, wait_s: float, now: float | None = None) -> ThrottleResult:
        """Return the full answer that goes with a wait that was returned just now."""
        if now is None:
            now = self._mono()
        return outcome(self.tat, now, self._interval_s, self._burst, wait_s or None)


class MemoryLimiter:
    """The limiter of one process."""

    def __init__(self, mono: Callable[[], float]) -> None:
        """Count by the given monotonic clock."""
        self._mono = mono
        # Everyone in use is found here; who owes time is kept alive by ``_kept``.
        self._known: WeakValueDictionary[_BucketKey, Bucket] = WeakValueDictionary()
        self._kept: dict[_BucketKey, Bucket] = {}
        self._sweep_at = _SWEEP_FROM

    def __len__(self) -> int:
        return len(self._kept)

    def bucket(self, key: str, spec: ThrottleSpec) -> Bucket:
        """Return the bucket of a key and rate, the same one each time."""
        full_key = (key, spec.limit, spec.burst, spec.period_s)
        found = self._kept.get(full_key) or self._known.get(full_key)
        if found is None:
            found = Bucket(full_key, spec, self._mono, self._keep)
            self._known[full_key] = found
        return found

    def is_shared(self, spec: ThrottleSpec) -> bool:
        """Return whether a rate is counted together with other nodes: never, here."""
        del spec
        return False

    def take_nowait(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> ThrottleResult:
        """Return whether so many may go now, and count them if they may."""
        bucket = self.bucket(key, spec)
        now = self._mono()
        return bucket.result(bucket.take(quantity, now), now)

    def peek_nowait(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> ThrottleResult:
        """Return what ``take_nowait`` would answer, without counting."""
        bucket = self.bucket(key, spec)
        now = self._mono()
        return bucket.result(bucket.wait_s(quantity, now), now)

    def give_back_nowait(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> None:
        """Uncount what was taken and then not used."""
        self.bucket(key, spec).give_back(quantity)

    async def take(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> ThrottleResult:
        """Return whether so many may go now, and count them if they may."""
        return self.take_nowait(key, spec, quantity)

    async def peek(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> ThrottleResult:
        """Return what ``take`` would answer, without counting."""
        return self.peek_nowait(key, spec, quantity)

    async def give_back(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> None:
        """Uncount what was taken and then not used."""
        self.give_back_nowait(key, spec, quantity)

    def _keep(self, bucket: Bucket) -> None:
        bucket._is_kept = True
        self._kept[bucket.key] = bucket
        if len(self._kept) >= self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """Forget the buckets whose allowance is full; the cost is spread over the growth."""
        now = self._mono()
        for bucket in [found for found in self._kept.values() if found.tat <= now]:
            bucket._is_kept = False
            del self._kept[bucket.key]
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._kept))
