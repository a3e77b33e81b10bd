"""The generic cell rate algorithm: may this go now, and if not, when.

Place in flow: ``engine.throttle.limiter`` keeps the state, one number per key; everything that is
rate limited asks through it.

Invariants:
    * Pure: the state goes in and comes out, time is an argument.
    * Only what is allowed changes the state; a refused request costs nothing.
    * A quantity above the burst is allowed when the allowance is full, and is paid for completely
      by the time that follows: it is slow, but it does not wait for ever.

Standard: ITU-T I.371, the virtual scheduling form of GCRA.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.model.throttle_spec import ThrottleSpec

#: Share of an interval that rounding may be off. Adding intervals as floats errs by far less, and
#: without it the last of a full allowance could be refused.
ROUNDING = 1e-3


class ThrottleResult(NamedTuple):
    """The answer to "may this go now".

    Attributes:
        throttled: Whether it may not.
        limit: How many may go at once.
        remaining: How many more could go now.
        reset_after_s: Time until the whole allowance is there again.
        retry_after_s: Time until it is worth asking again; None if it was allowed.
    """

    throttled: bool
    limit: int
    remaining: int
    reset_after_s: float
    retry_after_s: float | None


def check(
    tat: float | None, now: float, spec: ThrottleSpec, quantity: int = 1
) -> tuple[ThrottleResult, float]:
    """Return the answer and the theoretical arrival time that follows from it.

    Args:
        tat: The theoretical arrival time that the key holds; None if it holds none.
        now: The present, on the same clock.
        spec: The rate.
        quantity: How many want to go together.
    """
    interval_s = spec.interval_s
    base = now if tat is None or tat < now else tat
    wait_s = wait_for(base, now, interval_s, spec.burst, quantity)
    if wait_s > 0.0:
        return outcome(base, now, interval_s, spec.burst, wait_s), base
    new_tat = base + quantity * interval_s
    return outcome(new_tat, now, interval_s, spec.burst, None), new_tat


def wait_for(base: float, now: float, interval_s: float, burst: int, quantity: int) -> float:
    """Return how long the request has to wait; zero if it may go now.

    Args:
        base: The theoretical arrival time, not before now.
        now: The present.
        interval_s: Time between two at the steady rate.
        burst: How many may go at once.
        quantity: How many want to go together.
    """
    wait_s = base - now - (burst - min(quantity, burst)) * interval_s
    return wait_s if wait_s > interval_s * ROUNDING else 0.0


def outcome(
    tat: float, now: float, interval_s: float, burst: int, wait_s: float | None
) -> ThrottleResult:
    """Return the answer that describes this state."""
    ahead_s = max(0.0, tat - now)
    remaining = max(0, int(burst - ahead_s / interval_s + ROUNDING))
    return ThrottleResult(wait_s is not None, burst, remaining, ahead_s, wait_s)
