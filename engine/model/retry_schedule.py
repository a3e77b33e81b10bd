"""The rule from attempt count to next due time, and when a message is too old to try again.

Place in flow: ``engine.schedule.settlement`` asks after each attempt that deferred.

Invariants:
    * A delay is finite, never negative and never beyond the maximum age.
    * The jitter comes after the cap: messages at the cap still spread.
"""

from __future__ import annotations

from dataclasses import dataclass

#: 2**40 times any interval is past every maximum age; a larger exponent would only overflow.
_MAX_EXPONENT = 40
#: Jitter never spreads messages over more than this, however long the interval.
_MAX_JITTER_S = 60.0


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """How often and how long delivery is tried.

    Attributes:
        retry_interval_s: Delay after the first failed attempt; it doubles each time.
        max_retry_interval_s: The most that it grows to; None for no bound but the age.
        max_age_s: How long after its creation a message is given up.
    """

    retry_interval_s: float = 1200.0
    max_retry_interval_s: float | None = None
    max_age_s: float = 604800.0


def next_delay_s(schedule: RetrySchedule, attempt: int, jitter: float) -> float:
    """Return how long the message waits for its next attempt, in seconds.

    Args:
        schedule: The queue's schedule.
        attempt: Attempts completed before the one that just failed, so 0 for the first failure.
        jitter: A random number from -1 to 1.
    """
    delay_s = schedule.retry_interval_s * 2.0 ** max(0, min(attempt, _MAX_EXPONENT))
    if schedule.max_retry_interval_s is not None:
        delay_s = min(delay_s, schedule.max_retry_interval_s)
    delay_s += jitter * min(schedule.retry_interval_s / 20, _MAX_JITTER_S) / 2
    return max(0.0, min(delay_s, schedule.max_age_s))


def is_expired(schedule: RetrySchedule, created_age_s: float, delay_s: float) -> bool:
    """Return whether the next attempt would come after the maximum age.

    Args:
        schedule: The queue's schedule.
        created_age_s: Age of the message now.
        delay_s: Time until the next attempt.
    """
    return created_age_s + delay_s > schedule.max_age_s
