"""Caches of ``mta.memoize``: bounded, by name, alive across reloads, one call at a time for a key.

Place in flow: ``memoized`` makes functions of scripts into ones that ask here first.

Invariants:
    * Entries are bounded in number by the capacity, in octets by ``CACHE_BYTES`` each and
      ``TOTAL_BYTES`` together; the least recently used goes first.
    * A key is made of types and values: ``1``, ``1.0`` and ``True`` are three keys.
    * Only plain values are kept, as copies: nothing of an old epoch lives on in here.
    * A policy that loads in a thread may use the same cache: a lock guards each change.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.base.metrics import Metrics
from engine.model.address import EnvelopeAddress
from engine.script_modules.plain_value import PlainCopy, copy_plain
from policy.budget import Budget
from policy.errors import LimitExceededError

CACHES_MAX = 256
CAPACITY_MAX = 1_000_000
CACHE_BYTES = 64 << 20
TOTAL_BYTES = 256 << 20
KEY_BYTES_MAX = 16_384
_KEY_DEPTH_MAX = 8
#: A stale entry whose renewal failed is not tried again for this long, seconds.
RENEWAL_PAUSE_S = 5.0

_PLAIN = frozenset({str, bytes, type(None)})
_NUMBERS = frozenset({bool, int, float})


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoOptions:
    """How a cache behaves; times in seconds."""

    ttl_s: float
    capacity: int
    invalidate_with_epoch: bool = False
    populate_timeout_s: float = 120.0
    retry_on_populate_timeout: bool = False
    allow_stale_reads: bool = False


@dataclass(slots=True)
class Entry:
    """A kept value and when it ends."""

    kept: PlainCopy
    size_bytes: int
    expires_mono: float


@dataclass(slots=True, eq=False)
class Flight:
    """A call under way that others wait for."""

    task: asyncio.Task[Any]
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    def land(self, error: Exception | None = None) -> None:
        """Wake all who wait: to look again, or with the error of the call."""
        for waiter in self.waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


def key_of(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return the key of a call's arguments.

    Raises:
        TypeError: An argument is not plain: what the answer depends on must be in the key.
        LimitExceededError: They are too large for a key.
    """
    size = [0]
    key: Any = tuple([_part(value, size, 0) for value in args])
    if options:
        key = (*key, *((name, _part(options[name], size, 0)) for name in sorted(options)))
    return key


def _part(value: Any, size: list[int], depth: int) -> Any:
    kind = type(value)
    size[0] += len(value) if kind is str or kind is bytes else 8
    if size[0] > KEY_BYTES_MAX or depth > _KEY_DEPTH_MAX:
        raise LimitExceededError("these arguments are too large to look an answer up by")
    if kind in _PLAIN:
        return value
    if kind in _NUMBERS:
        return kind, value
    if kind is EnvelopeAddress:
        return kind, value.email
    if kind is list or kind is tuple:
        return kind, *[_part(item, size, depth + 1) for item in value]
    if kind is dict:
        parts = [
            (_part(name, size, depth + 1), _part(value[name], size, depth + 1)) for name in value
        ]
        return kind, frozenset(parts)
    raise TypeError(
        "a memoized function takes plain values (text, numbers, lists, dicts), not"
        f" {kind.__name__[:100]}: pass what its answer depends on"
    )


class MemoCache:
    """The entries of one name."""

    def __init__(self, name: str, options: MemoOptions, registry: MemoRegistry) -> None:
        self.name = name
        self.options = options
        self.flights: dict[Any, Flight] = {}
        self.size_bytes = 0
        self._registry = registry
        self._entries: OrderedDict[Any, Entry] = OrderedDict()
        #: Where it was last defined: epoch, file and line of the function.
        self.definition: tuple[int, str, int] = (0, "", 0)

    def __len__(self) -> int:
        return len(self._entries)

    def look_up(self, key: Any) -> tuple[Entry | None, bool]:
        """Return the entry of a key, as the latest used, and whether it still counts."""
        with self._registry.lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
        is_fresh = entry is not None and self._registry.mono() < entry.expires_mono
        self._registry.count_lookup(self.name, is_hit=is_fresh)
        return entry, is_fresh

    def put(self, key: Any, value: Any, budget: Budget) -> PlainCopy:
        """Keep a value and return the copy; one larger than the cache may be is not kept.

        Raises:
            TypeError: It is not plain.
            LimitExceededError: It has too many parts.
        """
        kept = copy_plain(value, budget)
        entry = Entry(kept, kept.size_bytes + 200, self._registry.mono() + self.options.ttl_s)
        with self._registry.lock:
            self._remove(key)
            if entry.size_bytes > CACHE_BYTES:
                return kept
            self._entries[key] = entry
            self._grow(entry.size_bytes)
            while self._entries and (len(self) > self.options.capacity or self._is_over()):
                self._forget_oldest()
        return kept

    def postpone(self, entry: Entry) -> None:
        """Let a stale entry count for a little longer."""
        pause_s = min(RENEWAL_PAUSE_S, self.options.ttl_s)
        entry.expires_mono = self._registry.mono() + pause_s

    def _remove(self, key: Any) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._grow(-entry.size_bytes)

    def clear(self) -> None:
        """Forget all entries; the lock is held."""
        self._entries.clear()
        self._grow(-self.size_bytes)

    def _is_over(self) -> bool:
        return self.size_bytes > CACHE_BYTES or self._registry.size_bytes > TOTAL_BYTES

    def _forget_oldest(self) -> None:
        _, entry = self._entries.popitem(last=False)
        self._grow(-entry.size_bytes)
        self._registry.count_eviction(self.name)

    def _grow(self, size_bytes: int) -> None:
        self.size_bytes += size_bytes
        self._registry.size_bytes += size_bytes


class MemoRegistry:
    """The caches of a node, by name and options.

    Args:
        mono: Monotonic time in seconds.
        metrics: Where hits and misses are counted.
    """

    def __init__(self, mono: Callable[[], float], metrics: Metrics) -> None:
        self.mono = mono
        self.size_bytes = 0
        self.lock = threading.Lock()
        self._metrics = metrics
        self._caches: OrderedDict[tuple[str, MemoOptions], MemoCache] = OrderedDict()
        self._labels: set[str] = set()

    def find(self, name: str, options: MemoOptions, definition: tuple[int, str, int]) -> MemoCache:
        """Return the cache of a name, made where no such one is known.

        Args:
            name: What the script calls it.
            options: Others mean another cache.
            definition: Serial of the epoch, file and line of the function.

        Raises:
            ValueError: Another function of the same epoch has the name.
        """
        with self.lock:
            return self._find(name, options, definition)

    def _find(self, name: str, options: MemoOptions, definition: tuple[int, str, int]) -> MemoCache:
        for cache in self._caches.values():
            taken = cache.definition
            if cache.name == name and taken[0] == definition[0] and taken[1:] != definition[1:]:
                raise ValueError(
                    f"the name {name!r} is taken by the function at {taken[1]}:{taken[2]}: they"
                    " would get each other's answers"
                )
        key = (name, options)
        found = self._caches.get(key)
        if found is None:
            found = self._caches[key] = MemoCache(name, options, self)
            if len(self._caches) > CACHES_MAX:
                _, oldest = self._caches.popitem(last=False)
                oldest.clear()
        self._caches.move_to_end(key)
        found.definition = definition
        return found

    def count_lookup(self, name: str, *, is_hit: bool) -> None:
        """Count a look-up."""
        label = self._label(name)
        self._metrics.counter("lruttl_lookup_count").labels(label).inc()
        kind = "lruttl_hit_count" if is_hit else "lruttl_miss_count"
        self._metrics.counter(kind).labels(label).inc()

    def count_eviction(self, name: str) -> None:
        """Count an entry that went for room."""
        self._metrics.counter("lruttl_evict_count").labels(self._label(name)).inc()

    def _label(self, name: str) -> str:
        """Return what a cache is called in metrics: names without end must not fill them."""
        if name not in self._labels:
            if len(self._labels) >= CACHES_MAX:
                return "(other)"
            self._labels.add(name)
            size = self._metrics.gauge("lruttl_cache_size").labels(name)
            size.set_function(lambda: self._size_of(name))
        return name

    def _size_of(self, name: str) -> int:
        return sum(len(cache) for cache in list(self._caches.values()) if cache.name == name)
