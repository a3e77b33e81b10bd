"""A brake on the guessing of passwords: wrong credentials of one address cost it time.

Place in flow: ``engine.base.http_service`` asks before it has credentials judged, and says how that
ended.

Invariants:
    * From one address ``BURST`` new guesses are judged, and then one every ``INTERVAL_S``, however
      many come at the same time. What is not judged now is no guess: it prolongs nothing.
    * Credentials that were right lately are judged without delay, whoever else guesses from the
      same address; so are equal ones that are being judged just now. They are judged all the same:
      that they were right is no answer.
    * Wrong credentials that are shown again and again, as programs do, are braked by themselves and
      take no guess from others of their address.
    * No table has more than ``KEPT_MAX`` entries. Credentials are in none of them, only what a key
      of this process makes of them.

Failure: a restart forgets everything.

Standard: the generic cell rate algorithm (one instant for each key); RFC 6585 for the answer 429.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Callable

#: New guesses of one address that are judged at once, and how often one more is, seconds.
BURST = 20
INTERVAL_S = 3.0
#: How long credentials that were right count as known, seconds.
KNOWN_S = 12 * 3600.0
#: Entries of each table.
KEPT_MAX = 10_000
#: Where all go for whom there is no place in the table.
_OTHERS = b"others"


class Attempt:
    """One login on its way.

    Attributes:
        wait_s: After how many seconds it may be tried again; 0 when it is to be judged now, and
            then ``end`` has to be called.
    """

    __slots__ = ("_brake", "_digest", "_key", "wait_s")

    def __init__(self, brake: LoginBrake, digest: bytes, key: bytes | None, wait_s: float) -> None:
        self._brake = brake
        self._digest = digest
        self._key = key
        self.wait_s = wait_s

    def end(self, is_right: bool | None) -> None:
        """Say how it ended; None: nobody could say."""
        self._brake.end(self._digest, self._key, is_right)


class LoginBrake:
    """The guesses at the credentials of one listener."""

    def __init__(self, mono: Callable[[], float]) -> None:
        """Go by the given monotonic clock, seconds."""
        self._mono = mono
        self._secret = os.urandom(32)
        #: When all guesses of a key are forgotten; without an entry they are.
        self._tats: dict[bytes, float] = {}
        self._known: dict[bytes, float] = {}
        self._wrong: dict[bytes, float] = {}
        self._pending: dict[bytes, int] = {}
        self._swept_mono = 0.0

    def begin(self, address: str, credentials: str) -> Attempt:
        """Return whether credentials are to be judged now.

        Args:
            address: Where they come from.
            credentials: As they are shown.
        """
        network = network_of(address)
        text = f"{network}\n{credentials}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, digest_size=16, key=self._secret).digest()
        now = self._mono()
        key: bytes | None = None
        if digest not in self._pending and self._known.get(digest, now) <= now:
            key = self._place(digest if digest in self._wrong else network.encode(), now)
            wait_s = self._take(key, now)
            if wait_s > 0.0:
                return Attempt(self, digest, key, wait_s)
        self._pending[digest] = self._pending.get(digest, 0) + 1
        return Attempt(self, digest, key, 0.0)

    def end(self, digest: bytes, key: bytes | None, is_right: bool | None) -> None:
        """Note how the judgement of credentials ended."""
        left = self._pending.pop(digest, 1) - 1
        if left:
            self._pending[digest] = left
        if is_right is False:
            self._known.pop(digest, None)
            _keep(self._wrong, digest, self._mono())
            return
        if key is not None:
            self._give_back(key)
        if is_right:
            self._wrong.pop(digest, None)
            _keep(self._known, digest, self._mono() + KNOWN_S)

    # -- the rate -----------------------------------------------------------------------------

    def _place(self, key: bytes, now: float) -> bytes:
        """Return the key that a key is counted by."""
        if key in self._tats or len(self._tats) < KEPT_MAX:
            return key
        if now - self._swept_mono >= 1.0:
            # Not each time: it takes a while.
            self._swept_mono = now
            self._tats = {key: tat for key, tat in self._tats.items() if tat > now}
        return key if len(self._tats) < KEPT_MAX else _OTHERS

    def _take(self, key: bytes, now: float) -> float:
        """Take a guess of a key; return 0, or how long until there is one, seconds."""
        tat = max(self._tats.get(key, now), now)
        wait_s = tat - now - (BURST - 1) * INTERVAL_S
        if wait_s > 0.0:
            return wait_s
        self._tats[key] = tat + INTERVAL_S
        return 0.0

    def _give_back(self, key: bytes) -> None:
        tat = self._tats.get(key)
        if tat is None:
            return
        if tat - INTERVAL_S <= self._mono():
            del self._tats[key]
        else:
            self._tats[key] = tat - INTERVAL_S


def _keep(table: dict[bytes, float], digest: bytes, value: float) -> None:
    """Put an entry at the end of a table; the oldest goes where there are too many."""
    table.pop(digest, None)
    while len(table) >= KEPT_MAX:
        del table[next(iter(table))]
    table[digest] = value


def network_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the network of 64 bits that one host has."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))
