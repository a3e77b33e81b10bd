"""Leases that nodes share by way of Redis, asked for as those of one process.

Place in flow: ``engine.ready.ready_queue`` takes them for connections; without a link, or for a
limit marked ``local:``, they are those of ``engine.throttle.lease``.

Invariants:
    * A lease is given out only when Redis granted it, for ``LIFE_S``; it is renewed three times in
      that time as long as its session renews it here. So what a dead node held is free soon.
    * Asking never waits. Who is refused because nothing is known yet is told by ``on_free`` like
      those who wait for a session to end.
    * A node that was refused stands in line at the server: one that ends sessions and wants new
      ones does not starve it.
    * What was granted and finds no use within ``STOCK_S`` is given back.
    * A node that is alone goes by its share: the limit divided by the nodes last seen, at least
      one. When it is alone no more, what it holds is held in Redis too.

Failure: an answer that gets lost leaves a lease that nobody uses; it ends by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.throttle.lease import Lease, MemoryLeases
from engine.throttle.redis_scripts import ACQUIRE_LEASES, RELEASE_LEASES, RENEW_LEASES
from engine.throttle.shared_link import PREFIX, Question, SharedLink

log = logging.getLogger("cirrus.throttle")

#: How long a lease lives in Redis unless renewed, and how often it is, seconds.
LIFE_S = 30.0
RENEW_S = 10.0
#: How long what was granted may find no use, seconds.
STOCK_S = 2.0
#: Pause after a refusal of the first in line, and the longest, seconds. Only the first asks often.
PAUSE_S = 0.1
PAUSE_MAX_S = 1.0
#: How long a node that was refused stays in line without asking again, seconds.
LINE_S = 4.0
#: How long after somebody wanted a lease it is still asked for, seconds.
WANTED_S = 8.0
#: Leases that are asked for, renewed or released by one script.
AT_ONCE = 200
#: Keys that begin so are leased in this process alone.
LOCAL = "local:"


@dataclass(slots=True)
class _Key:
    """What a node knows of one shared limit.

    Attributes:
        stock: Members that were granted and are not in use, each with the end of its time here.
        refused_until_mono: When it is worth asking again.
        wanted: How many somebody wanted, at ``wanted_mono``.
    """

    limit: int
    stock: dict[str, float] = field(default_factory=dict)
    is_asking: bool = False
    wanted: int = 0
    wanted_mono: float = 0.0
    refused_until_mono: float = 0.0
    timer: Any = None
    freed: list[str] = field(default_factory=list)


class NodeLeases(MemoryLeases):
    """The leases of a node: in memory, and shared where the policy says so."""

    def __init__(self, mono: Callable[[], float]) -> None:
        """Expire by the given monotonic clock, alone until there is a link."""
        super().__init__(mono)
        self._link: SharedLink | None = None
        self._keys: dict[str, _Key] = {}
        self._serial = 0
        self._renewed_mono = 0.0

    def set_link(self, link: SharedLink | None) -> None:
        """Share by way of this link from now on; None: with nobody."""
        self._link = link
        for known in self._keys.values():
            if known.timer is not None:
                known.timer.cancel()
        self._keys = {}
        if link is not None:
            link.on_return.append(self.renew_all)

    # -- what ready queues call ---------------------------------------------------------------

    def acquire_all(
        self, limits: Sequence[tuple[str, int]], ttl_s: float, wanted: int = 1
    ) -> list[Lease] | str:
        """Return one lease of each limit, or the name of one that cannot be had now.

        Args:
            limits: Keys and limits.
            ttl_s: How long the leases last unless renewed.
            wanted: How many of each are going to be wanted next, this one included.
        """
        link = self._link
        if link is None or link.is_alone:
            nodes = 1 if link is None else link.nodes
            shares = [(key, share_of(key, limit, nodes)) for key, limit in limits]
            return self._with_members(super().acquire_all(shares, ttl_s, wanted), limits)
        lacking = ""
        for key, limit in limits:
            # All that is not known is asked for at once, whatever else is refused.
            if not self._may_have(key, limit, wanted):
                lacking = lacking or key
        if lacking:
            return lacking
        taken = super().acquire_all(limits, ttl_s, wanted)
        if isinstance(taken, str):
            return taken
        for lease in taken:
            known = self._keys.get(lease.key)
            if known is not None and known.stock:
                lease.member, _ = known.stock.popitem()
        return taken

    def _may_have(self, key: str, limit: int, wanted: int) -> bool:
        """Return whether a lease of the key is at hand; otherwise it is asked for."""
        if key.startswith(LOCAL):
            return True
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = _Key(limit)
        known.limit = limit
        if known.stock:
            return True
        if self.count(key) >= limit:
            # All are here: a session that ends makes room, and tells.
            return False
        known.wanted, known.wanted_mono = wanted, self._mono()
        if not known.is_asking and self._mono() >= known.refused_until_mono:
            self._ask(key, known)
        return False

    def release(self, lease: Lease) -> None:
        """Free a slot and tell those who wait; harmless if it was free already."""
        member, lease.member = lease.member, ""
        if member:
            self._free(lease.key, [member])
        super().release(lease)

    def _with_members(
        self, taken: list[Lease] | str, limits: Sequence[tuple[str, int]]
    ) -> list[Lease] | str:
        """Name what a node that is alone took, so that it can be held in Redis later."""
        if self._link is None or isinstance(taken, str):
            return taken
        by_key = dict(limits)
        for lease in taken:
            if not lease.key.startswith(LOCAL):
                self._keys.setdefault(lease.key, _Key(by_key[lease.key]))
                lease.member = self._new_member()
        return taken

    # -- asking Redis -------------------------------------------------------------------------

    def _new_member(self) -> str:
        self._serial += 1
        assert self._link is not None
        return f"={self._link.node_id} {self._serial}"

    def _ask(self, key: str, known: _Key) -> None:
        link = self._link
        if link is None or link.is_alone:
            return
        known.is_asking = True
        members: list[str] = []

        def arguments() -> list[Any]:
            count = max(1, min(known.wanted, AT_ONCE))
            members.extend(self._new_member() for _ in range(count))
            times = int(LIFE_S * 1e6), int(LINE_S * 1e6)
            return [link.node_id, known.limit, *times, *members]

        def answered(answer: list[int] | None) -> None:
            self._answered(key, known, members, answer)

        link.ask(Question(ACQUIRE_LEASES, _redis_key(key), arguments, answered))

    def _answered(
        self, key: str, known: _Key, members: list[str], answer: list[int] | None
    ) -> None:
        known.is_asking = False
        if self._keys.get(key) is not known:
            return
        now = self._mono()
        granted = members[: answer[0]] if answer is not None else []
        if answer is None and members:
            # They may have been granted, and the answer lost.
            self._free(key, members)
        if granted:
            known.stock.update(dict.fromkeys(granted, now + STOCK_S))
        else:
            before = answer[2] if answer is not None else 0
            known.refused_until_mono = now + min(PAUSE_MAX_S, PAUSE_S * (1 + 2 * before))
            self._ask_later(key, known)
        if granted or answer is None:
            # Also where there was no answer: a node that is alone may have some by its share.
            self._tell(key)

    def _ask_later(self, key: str, known: _Key) -> None:
        if known.timer is None:
            delay_s = max(0.0, known.refused_until_mono - self._mono())
            loop = asyncio.get_running_loop()
            known.timer = loop.call_later(delay_s, self._ask_again, key, known)

    def _ask_again(self, key: str, known: _Key) -> None:
        known.timer = None
        is_wanted = self._mono() - known.wanted_mono <= WANTED_S and not known.stock
        if is_wanted and not known.is_asking and self._keys.get(key) is known:
            self._ask(key, known)

    def _free(self, key: str, members: list[str]) -> None:
        """Have members removed from Redis, together with all that this turn of the loop frees."""
        known = self._keys.get(key)
        link = self._link
        if known is None or link is None or link.is_alone:
            # They end by themselves.
            return
        is_asked = bool(known.freed)
        known.freed += members
        if is_asked or not members:
            return
        was_sent = False

        def arguments() -> list[str]:
            nonlocal was_sent
            was_sent = True
            freed, known.freed = known.freed[:AT_ONCE], known.freed[AT_ONCE:]
            if known.freed:
                rest, known.freed = known.freed, []
                self._free(key, rest)
            return freed

        def answered(_answer: Any) -> None:
            if not was_sent:
                # They end by themselves; what is freed next has to be asked for again.
                known.freed.clear()

        link.ask(Question(RELEASE_LEASES, _redis_key(key), arguments, answered))

    # -- keeping ------------------------------------------------------------------------------

    def sweep_shared(self) -> None:
        """Renew what is in use and give back what is not; called about once a second."""
        if self._link is None:
            return
        now = self._mono()
        if now - self._renewed_mono >= RENEW_S:
            self.renew_all()
        for key, known in list(self._keys.items()):
            unused = [member for member, until in known.stock.items() if until <= now]
            for member in unused:
                del known.stock[member]
            if unused:
                self._free(key, unused)
            is_idle = not known.stock and not known.is_asking and not known.freed
            if is_idle and now - known.wanted_mono > 2 * WANTED_S and not self._held.get(key):
                if known.timer is not None:
                    known.timer.cancel()
                del self._keys[key]

    def renew_all(self) -> None:
        """Have all leases in use live on; those that Redis does not know are added if they fit."""
        link = self._link
        if link is None:
            return
        now = self._renewed_mono = self._mono()
        for key, known in self._keys.items():
            leases = [
                lease
                for lease in self._held.get(key, ())
                if lease.member and lease.expires_mono > now
            ]
            for start in range(0, len(leases), AT_ONCE):
                self._renew_some(link, key, known, leases[start : start + AT_ONCE])

    def _renew_some(self, link: SharedLink, key: str, known: _Key, leases: list[Lease]) -> None:
        members = [lease.member for lease in leases]

        def arguments() -> list[Any]:
            return [known.limit, int(LIFE_S * 1e6), *members]

        def answered(answer: list[int] | None) -> None:
            if answer is None:
                return
            for lease, member, is_kept in zip(leases, members, answer[1:], strict=True):
                if lease.member != member:
                    # Released while it was renewed: it may just have been added again.
                    self._free(key, [member])
                elif not is_kept:
                    log.warning("the lease of a connection slot of %s is lost", key)
                    super(NodeLeases, self).release(lease)
                    lease.member = ""

        link.ask(Question(RENEW_LEASES, _redis_key(key), arguments, answered))

    def give_all_back(self) -> None:
        """Free everything that this node holds, at its end."""
        for key, known in self._keys.items():
            members = [lease.member for lease in self._held.get(key, ()) if lease.member]
            self._free(key, [*members, *known.stock])


def share_of(key: str, limit: int, nodes: int) -> int:
    """Return one node's share of a limit."""
    return limit if key.startswith(LOCAL) else max(1, limit // nodes)


def _redis_key(key: str) -> str:
    return f"{PREFIX}lease:{key}"
