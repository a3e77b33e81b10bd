"""The choice of an egress source: a smooth weighted round robin that starts anywhere.

Place in flow: ``ready_registry`` keeps one for each scheduled queue and pool; promotion asks it for
an order of sources, tries them, and tells it which one took the message.

Invariants:
    * Over a cycle each source gets its weight, spread evenly.
    * A source that was not eligible, or was tried and refused, takes no part in the round: it
      neither gains nor loses credit, so it makes no burst on its return and the shares of the
      others stay in proportion.
    * The first choice of many selectors is spread by weight: queues with one message each use the
      pool as one large queue does.

Standard: the smooth weighted round robin of nginx.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from math import gcd

from engine.model.egress import PoolEntry

#: A cycle longer than this is not computed in advance; its start is approximated.
_MAX_CYCLE = 1024


class SourceSelector:
    """The round robin over the sources of one pool."""

    __slots__ = ("_credits", "_only", "_order", "_weights")

    def __init__(
        self,
        entries: Sequence[PoolEntry],
        randrange: Callable[[int], int] = random.randrange,
    ) -> None:
        """Start at a random point of the cycle.

        Args:
            entries: The pool; entries of weight 0 are left out.
            randrange: Returns a random number below its argument.
        """
        used = [entry for entry in entries if entry.weight > 0]
        divisor = gcd(*(entry.weight for entry in used)) if used else 1
        self._weights = {entry.name: entry.weight // divisor for entry in used}
        self._only = used[0].name if len(used) == 1 else None
        self._order: list[str] = []
        weights = tuple(self._weights.values())
        credits_ = _start(weights, randrange) if len(used) > 1 else weights
        self._credits = dict(zip(self._weights, credits_, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the sources that may be chosen."""
        return tuple(self._weights)

    def order(self, eligible: Callable[[str], bool] | None = None) -> Iterator[str]:
        """Return the sources to try, best first.

        Args:
            eligible: Says whether a source may be used now; all may by default.
        """
        if self._only is not None:
            return iter((self._only,) if eligible is None or eligible(self._only) else ())
        names = [name for name in self._weights if eligible is None or eligible(name)]
        # The sort is stable: among equals the pool's own order decides.
        names.sort(key=lambda name: self._credits[name] + self._weights[name], reverse=True)
        self._order = names
        return iter(names)

    def chosen(self, name: str) -> None:
        """Commit the choice; those that came before it in the order refused and sit out."""
        if self._only is not None:
            return
        names = self._order
        # Another round may have begun while the caller waited: then nobody is known to refuse.
        taking_part = names[names.index(name) :] if name in names else list(self._weights)
        for each in taking_part:
            self._credits[each] += self._weights[each]
        self._credits[name] -= sum(self._weights[each] for each in taking_part)


def _start(weights: tuple[int, ...], randrange: Callable[[int], int]) -> tuple[int, ...]:
    """Return the credits of a random point of the cycle."""
    total = sum(weights)
    point = randrange(total)
    if total <= _MAX_CYCLE:
        return _cycle(weights)[point]
    # The point picks who comes first, by weight; after that the cycle runs from its beginning.
    first = 0
    while point >= weights[first]:
        point -= weights[first]
        first += 1
    return tuple(
        total - weight if index == first else -weight for index, weight in enumerate(weights)
    )


@lru_cache(maxsize=64)
def _cycle(weights: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the credits before each step of one whole cycle."""
    total = sum(weights)
    credits_ = [0] * len(weights)
    states: list[tuple[int, ...]] = []
    for _ in range(total):
        states.append(tuple(credits_))
        credits_ = [credit + weight for credit, weight in zip(credits_, weights, strict=True)]
        credits_[credits_.index(max(credits_))] -= total
    return tuple(states)
