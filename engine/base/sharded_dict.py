"""A dictionary by name that is walked in pieces: a million entries hold nobody up.

Place in flow: the registries of queues keep theirs in it; metrics, administration and reaping walk
it while mail flows.

Invariants:
    * A walk copies one shard at a time. What is there from its beginning to its end is seen once;
      what comes or goes meanwhile may be seen or not.
    * A look-up costs what it costs in a plain dictionary, and one more index. Growing never moves
      more than a shard.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
#: A power of two; with a million entries a shard has four thousand.
SHARDS = 256
_MASK = SHARDS - 1


class ShardedDict(Generic[K, V]):
    """Values by name."""

    __slots__ = ("_next", "_round", "_shards")

    def __init__(self) -> None:
        self._shards: tuple[dict[K, V], ...] = tuple({} for _ in range(SHARDS))
        self._next = 0
        self._round: list[K] = []

    def get(self, name: K) -> V | None:
        """Return the value of a name, or None."""
        return self._shards[hash(name) & _MASK].get(name)

    def __setitem__(self, name: K, value: V) -> None:
        self._shards[hash(name) & _MASK][name] = value

    def __delitem__(self, name: K) -> None:
        del self._shards[hash(name) & _MASK][name]

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def values(self) -> Iterator[V]:
        """Yield the values; entries may come and go between two of them."""
        for shard in self._shards:
            if shard:
                yield from list(shard.values())

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield names and values; entries may come and go between two of them."""
        for shard in self._shards:
            if shard:
                yield from list(shard.items())

    def pop(self, name: K) -> V | None:
        """Forget a name and return its value, or None."""
        return self._shards[hash(name) & _MASK].pop(name, None)

    def take_names(self, count: int) -> list[K]:
        """Return the next names of an endless round through all of them, at most so many."""
        names = self._round
        for _ in range(SHARDS):
            if len(names) >= count:
                break
            names.extend(self._shards[self._next])
            self._next = (self._next + 1) & _MASK
        taken, self._round = names[:count], names[count:]
        return taken
