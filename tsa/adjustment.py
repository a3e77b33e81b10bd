"""A value that is lowered while signals are bad and comes back while they are quiet.

Place in flow: ``tsa.rule_engine`` keeps one for each scope of an ``AdjustConfig`` action; pure, it
is told the time.

Invariants:
    * The value never leaves the range from the floor to the configured value.
    * However many records complain at once, it is lowered once per ``quiet / 10``: the answer to a
      lowering has to show before the next.
    * After a quiet interval it rises by a step, and by another each interval after that; at the
      configured value the adjustment is over.
    * The same records at the same times give the same values, in whatever daemon.

Standard: additive increase, multiplicative decrease.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from engine.model.shaping_action import Adjustment
from engine.model.shaping_option import RATE_OPTIONS, amount_of

#: Lowerings per quiet interval at most.
LOWERINGS_PER_QUIET = 10


def value_of(name: str, amount: float) -> Any:
    """Return the option's value for an amount: a whole number, or a rate of whole numbers.

    Of a rate per minute or hour only what a second allows may go at once: a provider that asked to
    slow down must not get a minute's worth in one burst.
    """
    if name not in RATE_OPTIONS:
        return max(1, int(amount + 1e-9))
    for period_s, unit in ((1, "s"), (60, "min"), (3600, "h")):
        count = amount * period_s
        is_whole = count > 0.5 and abs(count - round(count)) < 1e-9
        # With ten in the period at least, rounding down changes little.
        if is_whole or count >= 10:
            burst = f",max_burst={max(1, int(amount + 1e-9))}" if period_s > 1 else ""
            return f"{int(count + 1e-9)}/{unit}{burst}"
    return f"1/{ceil(1 / amount - 1e-9)}s"


@dataclass(slots=True)
class AdjustedValue:
    """One option of one scope, between its floor and what is configured.

    Attributes:
        amount: The value now.
        base: The configured value; None where the configuration sets no bound.
        lowered_at: When it was last lowered.
        signal_at: When a record last complained.
        raised_at: When it last rose.
    """

    rule: Adjustment
    base: float | None
    amount: float
    lowered_at: float
    signal_at: float
    raised_at: float

    @property
    def floor(self) -> float:
        """Return the least value."""
        return amount_of(self.rule.name, self.rule.floor)

    def signal(self, at: float) -> bool:
        """Take a bad sign; return whether the value changed."""
        self.signal_at = max(self.signal_at, at)
        if at - self.lowered_at < self.rule.quiet_s / LOWERINGS_PER_QUIET:
            return False
        lower = max(self.floor, self.amount * self.rule.factor)
        self.lowered_at = at
        changed = lower < self.amount
        self.amount = min(self.amount, lower)
        return changed

    def rise(self, now: float) -> bool:
        """Give back what the quiet has earned by now; return whether the value changed."""
        quiet_s = self.rule.quiet_s
        before = self.amount
        while True:
            due_at = max(self.signal_at, self.raised_at) + quiet_s
            if due_at > now or self.is_over:
                return self.amount != before
            self.raised_at = due_at
            # Without a configured bound there is nothing to measure a step by: it doubles.
            step = self.rule.step * self.base if self.base is not None else self.amount
            self.amount += step
            if self.base is not None:
                self.amount = min(self.base, self.amount)

    @property
    def is_over(self) -> bool:
        """Return whether the value is back where it was configured."""
        if self.base is not None:
            return self.amount >= self.base
        return self.amount >= self.floor * UNBOUNDED_DOUBLINGS

    @property
    def next_rise_at(self) -> float:
        """Return when the value rises next if it stays quiet."""
        return max(self.signal_at, self.raised_at) + self.rule.quiet_s

    @property
    def value(self) -> Any:
        """Return the option's value now."""
        return value_of(self.rule.name, self.amount)


#: Without a configured bound the adjustment ends at so many times its floor.
UNBOUNDED_DOUBLINGS = 1024


def begin_adjustment(rule: Adjustment, configured: Any, at: float) -> AdjustedValue:
    """Return an adjustment at its first signal.

    Args:
        rule: What the action says.
        configured: The option's value without any decision; None where there is no bound.
        at: The time of the record.
    """
    floor = amount_of(rule.name, rule.floor)
    base = None if configured is None else max(floor, amount_of(rule.name, configured))
    # Nobody knows how far above the floor an unbounded rate was: begin at the floor.
    amount = floor if base is None else max(floor, base * rule.factor)
    return AdjustedValue(rule, base, amount, lowered_at=at, signal_at=at, raised_at=at)
