"""What one rule counts in one scope, judged second by second when a second is complete.

Place in flow: ``tsa.rule_engine`` keeps one for each rule, action and scope whose outcome would
otherwise depend on the order in which records come: proportions, adjustments, held days. Pure.

Invariants:
    * Within a second, records only add up: in whatever order they come, the second is the same.
    * A second that comes after later ones were judged is counted where it belongs, and judged with
      what is known by then; those before it are not judged again.
    * What is kept has a bound, whatever the rate: per second two counts, one record and as many
      instants as a threshold counts.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from engine.model.decision import DecisionKind, DecisionScope
from engine.model.shaping_rule import ShapingRule
from engine.model.shaping_trigger import Proportion, Threshold
from tsa.seen_record import Cause
from tsa.trigger_window import ProportionWindow, ThresholdWindow


@dataclass(slots=True)
class OpenSecond:
    """What is known of one second.

    Attributes:
        attempts: Records counted, matches included.
        matches: Records that match.
        instants: The newest matches, oldest first; only where a threshold asks for them.
        cause: The newest match; of several at one instant the one with the greatest key.
    """

    attempts: int = 0
    matches: int = 0
    instants: list[float] = field(default_factory=list)
    cause: Cause | None = None


class WindowState(msgspec.Struct, array_like=True):
    """A window as the store keeps it."""

    kind: DecisionKind
    scope: DecisionScope
    section: str
    buckets: dict[int, list[int]]
    instants: list[float]
    open_seconds: dict[int, tuple[int, int, list[float], Cause | None]]


class SettledWindow:
    """The counts of one rule's action in one scope.

    Attributes:
        kind, scope: What the action acts on.
        section: Where the rule stands.
    """

    __slots__ = ("_open", "_share", "_threshold", "_trigger", "kind", "scope", "section")

    def __init__(self, rule: ShapingRule, kind: DecisionKind, scope: DecisionScope) -> None:
        self.kind, self.scope, self.section = kind, scope, rule.section
        trigger = self._trigger = rule.trigger
        self._open: dict[int, OpenSecond] = {}
        self._share: ProportionWindow | None = None
        self._threshold: ThresholdWindow | None = None
        if isinstance(trigger, Proportion):
            self._share = ProportionWindow(trigger.within_s)
        elif isinstance(trigger, Threshold):
            self._threshold = ThresholdWindow(trigger.count, trigger.period_s)

    def add(self, at: float, key: str, *, is_match: bool, cause: Callable[[], Cause]) -> int | None:
        """Count a record; return its second if that is a new one.

        Args:
            at: The time of the record, seconds since the Unix epoch.
            key: Its identity.
            is_match: Whether the rule's patterns and outcomes fit it.
            cause: Makes what a decision needs of it; called for the newest match only.
        """
        number = int(at // 1)
        second = self._open.get(number)
        is_new = second is None
        if second is None:
            second = self._open[number] = OpenSecond()
        second.attempts += 1
        if is_match:
            second.matches += 1
            newest = second.cause
            if newest is None or (at, key) > (newest.at, newest.record_key):
                second.cause = cause()
            if isinstance(self._trigger, Threshold):
                insort(second.instants, at)
                # No match, in this second or after it, needs more than these.
                del second.instants[: -self._trigger.count]
        return number if is_new else None

    def settle(self, number: int) -> OpenSecond | None:
        """Take a second as complete; return it if the trigger is reached with it."""
        second = self._open.pop(number, None)
        if second is None:
            return None
        return second if self._is_reached(number, second) else None

    def _is_reached(self, number: int, second: OpenSecond) -> bool:
        trigger = self._trigger
        if isinstance(trigger, Proportion):
            assert self._share is not None
            attempts, matches = self._share.add(number, second.attempts, second.matches)
            enough = second.matches > 0 and attempts >= trigger.at_least
            return enough and matches > trigger.over * attempts
        if isinstance(trigger, Threshold):
            assert self._threshold is not None
            reached = False
            for at in second.instants:
                reached = self._threshold.add(at)
            return reached
        return second.matches > 0

    def is_stale(self, now: float) -> bool:
        """Return whether nothing in it can count any more."""
        closed = self._share or self._threshold
        return not self._open and (closed is None or closed.is_stale(now))

    # -- for the store --

    @property
    def open_seconds(self) -> list[int]:
        """Return the seconds that were not taken as complete yet."""
        return list(self._open)

    def state(self) -> WindowState:
        """Return a copy of all it holds."""
        share, threshold = self._share, self._threshold
        return WindowState(
            self.kind,
            self.scope,
            self.section,
            share.state() if share is not None else {},
            list(threshold.instants) if threshold is not None else [],
            {
                number: (one.attempts, one.matches, list(one.instants), one.cause)
                for number, one in self._open.items()
            },
        )

    def set_state(self, state: WindowState) -> None:
        """Take back what ``state`` returned."""
        if self._share is not None:
            self._share.set_state(state.buckets)
        if self._threshold is not None:
            for at in state.instants:
                self._threshold.add(at)
        self._open = {number: OpenSecond(*held) for number, held in state.open_seconds.items()}
