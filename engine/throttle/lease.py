"""Leases: counted, expiring permissions, such as the slot of an outgoing connection.

Place in flow: ``engine.deliver.connection_slots`` acquires those of a connection for
``engine.ready.ready_queue``, which renews them as the dispatcher goes and releases them at its end.

Invariants:
    * Never more unexpired leases of a key than its limit allowed when each was acquired.
    * Releasing twice is releasing once; an expired lease frees its slot without being released.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


class Lease:
    """One permission; a value to renew and release, not to share.

    Attributes:
        key: What it is a lease of.
        expires_mono: When it ends unless renewed.
        member: Its name among nodes that share the limit; empty if none do.
    """

    __slots__ = ("_owner", "expires_mono", "key", "member")

    def __init__(self, owner: MemoryLeases, key: str, expires_mono: float) -> None:
        self._owner = owner
        self.key = key
        self.expires_mono = expires_mono
        self.member = ""

    def renew(self, ttl_s: float) -> bool:
        """Return whether the lease is held on for so long from now; False if it was lost."""
        return self._owner.renew(self, ttl_s)

    def release(self) -> None:
        """Free the slot; harmless if it was free already."""
        self._owner.release(self)


class MemoryLeases:
    """The leases of one process.

    Attributes:
        on_free: Called with the key each time a slot becomes free by release.
    """

    def __init__(self, mono: Callable[[], float]) -> None:
        """Expire by the given monotonic clock."""
        self._mono = mono
        self._held: dict[str, set[Lease]] = {}
        self.on_free: list[Callable[[str], None]] = []

    def acquire_nowait(self, key: str, limit: int, ttl_s: float) -> Lease | None:
        """Return a new lease, or None if as many as the limit are held.

        Args:
            key: What to lease.
            limit: How many may be held now.
            ttl_s: How long the lease lasts unless renewed.
        """
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = set()
        elif len(held) >= limit:
            self._drop_expired(held)
        if len(held) >= limit:
            if not held:
                del self._held[key]
            return None
        lease = Lease(self, key, self._mono() + ttl_s)
        held.add(lease)
        return lease

    def acquire_all(
        self, limits: Sequence[tuple[str, int]], ttl_s: float, wanted: int = 1
    ) -> list[Lease] | str:
        """Return one lease of each limit, or the name of one that cannot be had now.

        Args:
            limits: Keys and limits.
            ttl_s: How long the leases last unless renewed.
            wanted: How many of each are going to be wanted next, this one included.
        """
        del wanted
        taken: list[Lease] = []
        for key, limit in limits:
            lease = self.acquire_nowait(key, limit, ttl_s)
            if lease is None:
                for other in taken:
                    self.release(other)
                return key
            taken.append(lease)
        return taken

    def renew(self, lease: Lease, ttl_s: float) -> bool:
        """Return whether the lease is held on; False if its slot was released or given away."""
        if lease not in self._held.get(lease.key, ()):
            return False
        lease.expires_mono = self._mono() + ttl_s
        return True

    def release(self, lease: Lease) -> None:
        """Free a slot and tell those who wait; harmless if it was free already."""
        held = self._held.get(lease.key)
        if held is None or lease not in held:
            return
        held.discard(lease)
        if not held:
            del self._held[lease.key]
        self._tell(lease.key)

    def _tell(self, key: str) -> None:
        for notify in tuple(self.on_free):
            notify(key)

    def count(self, key: str) -> int:
        """Return how many leases of a key are held and not expired."""
        now = self._mono()
        return sum(lease.expires_mono > now for lease in self._held.get(key, ()))

    def next_expiry_mono(self, key: str) -> float | None:
        """Return when the soonest lease of a key ends by itself; None if none is held."""
        return min((lease.expires_mono for lease in self._held.get(key, ())), default=None)

    def _drop_expired(self, held: set[Lease]) -> None:
        now = self._mono()
        for lease in [found for found in held if found.expires_mono <= now]:
            held.discard(lease)
