"""Rate limits that nodes share by way of Redis, asked as cheaply as those of one process.

Place in flow: ``NodeLimiter`` is what every throttled stage asks for its buckets; without a link,
or for a rate marked ``local:``, they are those of ``engine.throttle.limiter``.

Invariants:
    * What a node lets pass was taken from Redis before: the sum of all nodes over any time is at
      most burst and rate, and beyond it only what was fetched ahead before that time began.
    * A node fetches ahead of need at most a tenth of a second's worth, an eighth of the burst and
      ``AHEAD_MAX``, and nothing at all while less than half of the burst is there.
    * Tokens that found no use within ``LIFE_S`` are given back.
    * Asking never waits: the answer is a wait, or ``ASKING``, and then somebody is told when there
      is news. So a refusal is known to all who ask, and they do not ask Redis again.
    * Without an answer the node counts by its share of the rate: the rate divided by the nodes last
      seen, at least one at a time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from engine.model.throttle_spec import ThrottleSpec
from engine.throttle.gcra import ThrottleResult
from engine.throttle.limiter import ASKING, Bucket, MemoryLimiter
from engine.throttle.redis_scripts import GIVE_BACK_RATE, TAKE_RATE, TakeAnswer
from engine.throttle.shared_link import PREFIX, Question, SharedLink

#: What is fetched ahead lasts about so long at the steady rate, seconds.
AHEAD_S = 0.1
#: The most that is fetched ahead, and the share of the burst that it may be.
AHEAD_MAX = 256
AHEAD_SHARE = 8
#: How long fetched tokens are good, seconds.
LIFE_S = 1.0
#: How long a rate without an answer counts by its share before Redis is asked again, seconds.
ALONE_S = 1.0


class SharedBucket:
    """The state of one shared key, as far as this node knows it."""

    __slots__ = (
        "__weakref__",
        "_alone_until_mono",
        "_asked_mono",
        "_is_asking",
        "_last",
        "_last_mono",
        "_limiter",
        "_link",
        "_local",
        "_refused_from",
        "_refused_until_mono",
        "_spec",
        "_spent",
        "_tokens",
        "_tokens_until_mono",
        "_waiting",
        "_wish",
        "key",
    )

    def __init__(
        self,
        key: tuple[str, int, int, float],
        spec: ThrottleSpec,
        limiter: NodeLimiter,
        link: SharedLink,
    ) -> None:
        self.key = key
        self._spec = spec
        self._limiter = limiter
        self._link = link
        self._local: tuple[int, Bucket] | None = None
        self._tokens = 0
        self._tokens_until_mono = 0.0
        self._refused_until_mono = 0.0
        #: The smallest quantity that was refused until then.
        self._refused_from = 1
        self._alone_until_mono = 0.0
        self._is_asking = False
        #: Who waits for news, each with the quantity that it wants.
        self._waiting: list[tuple[Callable[[], Any], int]] = []
        #: What somebody will want who does not wait yet.
        self._wish = 0
        self._last = TakeAnswer(0, 0, 0, 0)
        self._last_mono = 0.0
        #: What went since Redis was asked, and when that was.
        self._spent = 0
        self._asked_mono = 0.0

    @property
    def redis_key(self) -> str:
        """Return the key in Redis; name and rate are in it."""
        name, limit, burst, period_s = self.key
        return f"{PREFIX}rate:{name}:{limit}:{burst}:{period_s:g}"

    # -- what stages call ---------------------------------------------------------------------

    def take(self, quantity: int = 1, now: float | None = None) -> float:
        """Return 0 and count, or the seconds to wait, or ``ASKING``.

        Args:
            quantity: How many want to go together.
            now: The monotonic present, if the caller has just read it.
        """
        if now is None:
            now = self._limiter.mono()
        if self._is_alone(now):
            return self._share().take(quantity, now)
        if self._tokens >= quantity:
            self._tokens -= quantity
            self._spent += quantity
            if not self._is_asking and self._tokens * 2 < self._ahead(now):
                self._ask()
            return 0.0
        if now < self._refused_until_mono and quantity >= self._refused_from:
            return self._refused_until_mono - now
        self._ask()
        return ASKING

    def prepare(self, quantity: int = 1) -> None:
        """Ask Redis now for what a ``take`` soon will want."""
        now = self._limiter.mono()
        if not self._is_alone(now) and self._tokens < quantity and now >= self._refused_until_mono:
            self._wish = max(self._wish, quantity)
            self._ask()

    def when_answered(self, call: Callable[[], Any], quantity: int = 1) -> None:
        """Call once when it is worth taking again, after ``take`` returned ``ASKING``."""
        self._waiting.append((call, quantity))
        self._ask()

    async def answer(self, quantity: int = 1) -> None:
        """Return when it is worth taking again, after ``take`` returned ``ASKING``."""
        news = asyncio.get_running_loop().create_future()
        self.when_answered(lambda: None if news.done() else news.set_result(None), quantity)
        await news

    def wait_s(self, quantity: int = 1, now: float | None = None) -> float:
        """Return how long ``take`` would make the caller wait as far as is known."""
        if now is None:
            now = self._limiter.mono()
        if self._is_alone(now):
            return self._share().wait_s(quantity, now)
        if self._tokens >= quantity:
            return 0.0
        return max(0.0, self._refused_until_mono - now)

    def give_back(self, quantity: int = 1) -> None:
        """Uncount what was taken and then not used."""
        now = self._limiter.mono()
        if self._is_alone(now):
            self._share().give_back(quantity)
            return
        self._tokens += quantity
        self._spent -= quantity
        self._tokens_until_mono = now + LIFE_S
        self._refused_until_mono = 0.0
        self._limiter.keep(self)

    def result(self, wait_s: float, now: float | None = None) -> ThrottleResult:
        """Return the full answer that goes with a wait that was returned just now."""
        if now is None:
            now = self._limiter.mono()
        if self._is_alone(now):
            return self._share().result(wait_s, now)
        since_s = now - self._last_mono
        there = self._last.remaining + self._tokens + int(since_s / self._spec.interval_s)
        reset_s = max(0.0, self._last.reset_us / 1e6 - since_s)
        burst = self._spec.burst
        remaining = 0 if wait_s > 0 else min(burst, there)
        return ThrottleResult(wait_s > 0, burst, remaining, reset_s, wait_s or None)

    # -- asking Redis -------------------------------------------------------------------------

    def _is_alone(self, now: float) -> bool:
        return self._link.is_alone or now < self._alone_until_mono

    def _share(self) -> Bucket:
        """Return the bucket of this node's share, which changes with the nodes seen."""
        nodes = self._link.nodes
        if self._local is None or self._local[0] != nodes:
            self._local = (
                nodes,
                self._limiter.local_bucket(self.key[0], share_of(self._spec, nodes)),
            )
        return self._local[1]

    def _ahead(self, now: float) -> int:
        """Return how many tokens are worth having ahead of need."""
        spec = self._spec
        if self._last.remaining * 2 < spec.burst:
            return 0
        most = min(AHEAD_MAX, spec.burst // AHEAD_SHARE, int(spec.per_s * AHEAD_S))
        if most < 2:
            return 0
        # Not more than is going to be used: as much again as went lately.
        lately_s = max(now - self._asked_mono, 0.001)
        return min(most, int(2 * self._spent * AHEAD_S / lately_s))

    def _ask(self) -> None:
        if self._is_asking:
            return
        self._is_asking = True
        self._limiter.keep(self)
        self._link.ask(Question(TAKE_RATE, self.redis_key, self._arguments, self._answered))

    def _arguments(self) -> tuple[Any, ...]:
        """Return what to take: for those who wait now, and something ahead."""
        now = self._limiter.mono()
        spec, held = self._spec, self._tokens
        ahead = self._ahead(now)
        wanted = max(self._wish, sum(quantity for _, quantity in self._waiting))
        self._asked_mono, self._spent = now, 0
        least = max(1, self._first_wanted() - held)
        return spec.interval_s * 1e6, spec.burst, least, max(least, wanted + ahead - held)

    def _first_wanted(self) -> int:
        return self._waiting[0][1] if self._waiting else max(1, self._wish)

    def _answered(self, answer: list[int] | None) -> None:
        self._is_asking = False
        now = self._limiter.mono()
        first, self._wish = self._first_wanted(), 0
        waiting, self._waiting = self._waiting, []
        if answer is None:
            self._alone_until_mono = now + ALONE_S
        else:
            last = self._last = TakeAnswer(*answer)
            self._last_mono = now
            self._tokens += last.taken
            self._tokens_until_mono = now + LIFE_S
            # Also where some were taken: it is known when the next one is there. A wait that
            # rounds to nothing would be asked for in a circle.
            wait_s = last.wait_us / 1e6 if last.taken else max(last.wait_us / 1e6, 0.001)
            self._refused_until_mono = now + wait_s
            self._refused_from = 1 if last.taken else first
        for call, _ in waiting:
            call()

    def return_unused(self, now: float) -> bool:
        """Give tokens back that found no use in time; return whether nothing is held any more."""
        if self._tokens > 0 and now >= self._tokens_until_mono:
            tokens, self._tokens = self._tokens, 0
            if not self._link.is_alone:
                interval_us = self._spec.interval_s * 1e6
                self._link.ask(
                    Question(GIVE_BACK_RATE, self.redis_key, lambda: (interval_us, tokens), _ignore)
                )
        return self._tokens <= 0 and not self._is_asking


def share_of(spec: ThrottleSpec, nodes: int) -> ThrottleSpec:
    """Return one node's share of a rate."""
    return ThrottleSpec(
        spec.limit, spec.period_s * nodes, max(1, spec.burst // nodes), force_local=True
    )


class NodeLimiter(MemoryLimiter):
    """The limiter of a node: in memory, and shared where the policy says so."""

    def __init__(self, mono: Callable[[], float]) -> None:
        """Count by the given monotonic clock, alone until there is a link."""
        super().__init__(mono)
        self.mono = mono
        self.link: SharedLink | None = None
        self._shared: WeakValueDictionary[Any, SharedBucket] = WeakValueDictionary()
        self._holding: dict[Any, SharedBucket] = {}

    def set_link(self, link: SharedLink | None) -> None:
        """Share by way of this link from now on; None: with nobody."""
        self.link = link
        self._shared = WeakValueDictionary()
        self._holding = {}

    def is_shared(self, spec: ThrottleSpec) -> bool:
        """Return whether a rate is counted together with other nodes."""
        return self.link is not None and not spec.force_local

    def bucket(self, key: str, spec: ThrottleSpec) -> Any:
        """Return the bucket of a key and rate, the same one each time."""
        link = self.link
        if link is None or spec.force_local:
            return super().bucket(key, spec)
        full_key = (key, spec.limit, spec.burst, spec.period_s)
        found = self._shared.get(full_key)
        if found is None:
            found = self._shared[full_key] = SharedBucket(full_key, spec, self, link)
        return found

    def local_bucket(self, key: str, spec: ThrottleSpec) -> Bucket:
        """Return a bucket of this process whatever is shared."""
        return super().bucket(key, spec)

    def keep(self, bucket: SharedBucket) -> None:
        """Keep a bucket alive that holds tokens or waits for an answer."""
        self._holding[bucket.key] = bucket

    def sweep_shared(self) -> None:
        """Give back what found no use; called about once a second."""
        now = self.mono()
        for key, bucket in list(self._holding.items()):
            if bucket.return_unused(now):
                del self._holding[key]

    def give_all_back(self) -> None:
        """Give back all that is held, at the end of the node."""
        for bucket in self._holding.values():
            bucket.return_unused(math.inf)

    async def take(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> ThrottleResult:
        """Return whether so many may go now, and count them if they may."""
        bucket = self.bucket(key, spec)
        while (wait_s := bucket.take(quantity)) < 0:
            await bucket.answer(quantity)
        answer: ThrottleResult = bucket.result(wait_s)
        return answer


def _ignore(_answer: Any) -> None:
    """Take note of an answer that changes nothing."""
