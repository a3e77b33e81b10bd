"""Who may connect now: a brake on addresses whose logins fail, and bounds on those who wait.

Place in flow: ``engine.console.server`` asks before it says a word to a connection; pure.

Invariants:
    * What is remembered is bounded, whoever comes from however many addresses.
    * An address that failed waits longer each time, at most ``WAIT_MAX_S``, and is forgiven after
      ``FORGIVE_S`` without a failure.
    * Connections that have not logged in are few: in all, and of one address.
    * Of IPv6 the network that one host has counts as one address.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from engine.base.login_brake import network_of

#: Failures of one address before it has to wait, and how long at most, seconds. Keys cannot be
#: guessed: the brake saves work, and somebody with a key may come from the same address.
FREE_FAILURES = 5
WAIT_MAX_S = 15.0
FORGIVE_S = 900.0
ADDRESSES_MAX = 4096
#: Connections that have not logged in.
PENDING_MAX = 32
PENDING_OF_ONE_MAX = 8


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last_mono: float = 0.0


@dataclass(slots=True)
class ConnectionBrake:
    """The brake of one console.

    Attributes:
        pending: Connections by address that have not logged in.
    """

    pending: dict[str, int] = field(default_factory=dict)
    _failures: OrderedDict[str, _Failures] = field(default_factory=OrderedDict)

    def refuse(self, address: str, now_mono: float) -> str | None:
        """Return why a new connection is not wanted; None if it may try.

        Args:
            address: Where it comes from.
            now_mono: The monotonic clock, seconds.
        """
        address = network_of(address)
        if self.pending.get(address, 0) >= PENDING_OF_ONE_MAX:
            return "too many connections of one address have not logged in"
        if sum(self.pending.values()) >= PENDING_MAX:
            return "too many connections have not logged in"
        known = self._failures.get(address)
        if known is not None and now_mono - known.last_mono < wait_after(known.count):
            return "too many logins failed"
        return None

    def begin(self, address: str) -> None:
        """Note a connection that has not logged in."""
        address = network_of(address)
        self.pending[address] = self.pending.get(address, 0) + 1

    def end(self, address: str) -> None:
        """Note that it has, or left."""
        address = network_of(address)
        left = self.pending.get(address, 0) - 1
        if left > 0:
            self.pending[address] = left
        else:
            self.pending.pop(address, None)

    def note_failure(self, address: str, now_mono: float) -> None:
        """Note that a login failed."""
        address = network_of(address)
        known = self._failures.pop(address, None)
        if known is None or now_mono - known.last_mono > FORGIVE_S:
            known = _Failures()
        known.count += 1
        known.last_mono = now_mono
        self._failures[address] = known
        if len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)

    def note_success(self, address: str) -> None:
        """Forget the failures of an address: somebody with a key is there."""
        address = network_of(address)
        self._failures.pop(address, None)


def wait_after(failures: int) -> float:
    """Return how many seconds an address waits after so many failures."""
    if failures < FREE_FAILURES:
        return 0.0
    return float(min(WAIT_MAX_S, 2.0 ** min(failures - FREE_FAILURES, 16)))
