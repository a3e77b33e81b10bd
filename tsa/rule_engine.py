"""The rules at work: records in, decisions out; windows and adjustments in between.

Place in flow: ``tsa.record_intake`` and ``tsa.replay`` give it records; decisions go to
``tsa.decision_store``. No clock and no I/O: it is told the time.

Invariants:
    * The same records give the same decisions, in whatever order they come: at once where the order
      does not matter (single matches, thresholds), else when their second is settled (proportions,
      adjustments, held days), in the order of their time. That a record comes before its second is
      settled is the condition; one that comes later is judged with what is known then.
    * A record counts once, however often it comes: its key is remembered as long as it could count.
    * What a decision depends on can be rebuilt: marks and states of windows are what to keep for
      that, ``recall`` takes them back.
    * A rule that is older news than its own duration decides nothing.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import Any, NamedTuple

import msgspec

from engine.model.decision import Decision, DecisionKind, DecisionScope
from engine.model.shaping import Shaping
from engine.model.shaping_action import ActionKind, ShapingAction
from engine.model.shaping_rule import ScopedRule
from engine.model.shaping_trigger import Proportion, Threshold
from engine.model.shaping_warmup import day_of
from tsa.adjustment import AdjustedValue, begin_adjustment
from tsa.rule_action import decide, identity_of, scope_of
from tsa.rule_matcher import RuleMatcher
from tsa.seen_record import Cause, SeenRecord, cause_of
from tsa.settled_window import SettledWindow, WindowState
from tsa.trigger_window import ThresholdWindow

#: How long after its end a second is settled, seconds: records of it are expected until then. Nodes
#: send theirs within a tenth of that; and a provider that asks to slow down is answered in two.
SETTLE_S = 0.5
#: What an adjusted value outlives its next rise by, beside two quiet intervals, seconds.
RENEWAL_S = 10.0
#: Seconds and rises that are worked off between two turns for everybody else.
SETTLED_MAX = 2000
#: Keys of records remembered at most, beyond which the oldest are forgotten.
KEYS_MAX = 1_000_000
#: Windows of each kind kept at most; beyond it the least recently used go.
WINDOWS_MAX = 200_000

#: What is due, by the whole second it is due at: first the seconds that end there, then the rises
#: in it.
_SECOND, _RISE = 0, 1


class Mark(NamedTuple):
    """A match that counted: what to keep so that a restart goes on counting."""

    window: str
    at: float
    record_key: str


class Made(NamedTuple):
    """A decision as it was made.

    Attributes:
        at: From when it holds.
    """

    decision: Decision
    at: float


@dataclass(slots=True)
class Verdict:
    """What records, or time, led to, and what to keep of them.

    Attributes:
        made: Decisions, in the order they were made.
        marks: Matches that count towards thresholds.
        windows: Settled windows that changed, by name.
        adjusted: Adjusted values that changed, by window.
    """

    made: list[Made] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    windows: set[str] = field(default_factory=set)
    adjusted: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.made or self.marks or self.windows or self.adjusted)


class RuleEngine:
    """The state of the rules of one daemon.

    Attributes:
        is_switched_off: Whether no rule decides anything.
    """

    def __init__(self, shaping: Shaping) -> None:
        self._thresholds: OrderedDict[str, ThresholdWindow] = OrderedDict()
        self._windows: OrderedDict[str, SettledWindow] = OrderedDict()
        self._adjusted: dict[str, tuple[AdjustedValue, Decision]] = {}
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._due: list[tuple[int, int, float, str]] = []
        self.is_switched_off = False
        self.replace_rules(shaping)

    @property
    def shaping(self) -> Shaping:
        """Return the rules in force."""
        return self._matcher.shaping

    def replace_rules(self, shaping: Shaping) -> None:
        """Take new rules; what unchanged ones counted so far still counts."""
        self._matcher = RuleMatcher(shaping)
        self._rules: dict[str, list[tuple[ScopedRule, ShapingAction]]] = {}
        for scoped in shaping.all_rules():
            if scoped.rule.is_enabled:
                for action in scoped.rule.actions:
                    self._rules.setdefault(identity_of(scoped, action), []).append((scoped, action))

    def _rule_of(self, window: str, section: str = "") -> tuple[ScopedRule, ShapingAction] | None:
        """Return the rule and action that a window belongs to, None if they are gone.

        Args:
            window: Its name.
            section: Where the rule stands: the same one may stand in several sections.
        """
        found = self._rules.get(window.partition("\x1f")[0])
        if found is None:
            return None
        return next((one for one in found if one[0].rule.section == section), found[0])

    # -- records --------------------------------------------------------------------------------

    def see(self, record: SeenRecord, verdict: Verdict) -> None:
        """Add what a record leads to at once; the rest follows when its second is settled."""
        if self.is_switched_off or not self._matcher.wants(record):
            return
        matches = list(self._matcher.matches(record))
        if not matches:
            return
        key = record.key
        if key in self._keys:
            return
        self._remember(key)
        at = record.at
        counted: set[str] = set()
        for scoped, domain, is_match in matches:
            for action in scoped.rule.actions:
                found = scope_of(scoped, action, record, domain)
                if found is None or not self._can_act(*found):
                    continue
                kind, scope = found
                window = window_name(scoped, action, kind, scope)
                # A record with recipients in several domains of one scope counts once there.
                if window in counted:
                    continue
                counted.add(window)
                cause = partial(cause_of, record, domain, at)
                if _is_settled(scoped, action):
                    held = self._window(window, scoped, kind, scope)
                    second = held.add(at, key, is_match=is_match, cause=cause)
                    if second is not None:
                        heapq.heappush(self._due, (second + 1, _SECOND, float(second), window))
                    if is_match and isinstance(scoped.rule.trigger, Threshold):
                        verdict.marks.append(Mark(window, at, key))
                    verdict.windows.add(window)
                elif is_match:
                    self._decide_at_once(verdict, scoped, action, kind, scope, window, cause())

    def _can_act(self, kind: DecisionKind, scope: DecisionScope) -> bool:
        """Return whether there is anything to act on: a warm-up to hold, where one is held."""
        return kind is not DecisionKind.WARMUP_HOLD or self.shaping.warmups.is_warming(
            scope.source or "", scope.provider
        )

    def _window(
        self, name: str, scoped: ScopedRule, kind: DecisionKind, scope: DecisionScope
    ) -> SettledWindow:
        held = self._windows.get(name)
        if held is None:
            _make_room(self._windows)
            held = self._windows[name] = SettledWindow(scoped.rule, kind, scope)
        else:
            self._windows.move_to_end(name)
        return held

    def _decide_at_once(
        self,
        verdict: Verdict,
        scoped: ScopedRule,
        action: ShapingAction,
        kind: DecisionKind,
        scope: DecisionScope,
        window: str,
        cause: Cause,
    ) -> None:
        """Add the decision of a rule whose outcome does not depend on the order of records."""
        trigger, at = scoped.rule.trigger, cause.at
        full_at = at
        if isinstance(trigger, Threshold):
            counted = self._thresholds.get(window)
            if counted is None:
                _make_room(self._thresholds)
                counted = ThresholdWindow(trigger.count, trigger.period_s)
                self._thresholds[window] = counted
            else:
                self._thresholds.move_to_end(window)
            verdict.marks.append(Mark(window, at, cause.record_key))
            if not counted.add(at):
                return
            # A late record completed, or found complete, a period that ends with a newer one.
            full_at = max(at, counted.full_at or at)
        decision = decide(scoped, action, kind, scope, cause)
        if full_at > at:
            expires_at = decision.expires_at + full_at - at
            decision = msgspec.structs.replace(decision, expires_at=expires_at)
        verdict.made.append(Made(decision, at))

    # -- time -----------------------------------------------------------------------------------

    def tick(self, now: float) -> Verdict:
        """Return what time leads to; what is left of it is due at once (see ``is_due``).

        Args:
            now: The time, seconds since the Unix epoch.
        """
        return self.settle(now - SETTLE_S)

    def is_due(self, now: float) -> bool:
        """Return whether a tick would find something to do."""
        return bool(self._due) and self._due[0][0] <= now - SETTLE_S

    @property
    def next_due_at(self) -> float | None:
        """Return the end of the next second that holds something to settle, None if none does."""
        return float(self._due[0][0]) if self._due else None

    def settle(self, through: float) -> Verdict:
        """Return what comes of the seconds up to an instant, taking them as complete.

        Adjusted values rise at their time. At most ``SETTLED_MAX`` seconds of windows are settled.
        """
        verdict = Verdict()
        due = self._due
        for _ in range(SETTLED_MAX):
            if not due or due[0][0] > through:
                break
            _, phase, instant, window = heapq.heappop(due)
            if phase == _RISE:
                self._rise(verdict, window, instant)
            else:
                self._settle_second(verdict, window, int(instant))
        return verdict

    def _settle_second(self, verdict: Verdict, name: str, number: int) -> None:
        window = self._windows.get(name)
        if window is None:
            return
        second = window.settle(number)
        verdict.windows.add(name)
        known = self._rule_of(name, window.section)
        if second is None or second.cause is None or known is None or self.is_switched_off:
            return
        scoped, action = known
        decision = decide(scoped, action, window.kind, window.scope, second.cause)
        decision = msgspec.structs.replace(decision, count=second.matches)
        if action.kind is ActionKind.ADJUST_CONFIG:
            decision = self._adjust(name, action, decision, second.cause)
            verdict.adjusted.add(name)
        verdict.made.append(Made(decision, second.cause.at))

    # -- adjustments ----------------------------------------------------------------------------

    def _adjust(
        self, window: str, action: ShapingAction, decision: Decision, cause: Cause
    ) -> Decision:
        rule, at = action.adjustment, cause.at
        assert rule is not None
        known = self._adjusted.get(window)
        is_late = False
        if known is None or known[0].is_over:
            value = begin_adjustment(rule, self._configured(rule.name, cause), at)
        else:
            value = known[0]
            is_late = at < value.signal_at
            value.rise(at)
            value.signal(at)
        made = msgspec.structs.replace(
            decision, value=value.value, expires_at=_unless_renewed(value)
        )
        self._keep_adjusted(window, value, made)
        # What a late record did to the value holds, though the record is not the newest one.
        return msgspec.structs.replace(made, count=0) if is_late else made

    def _rise(self, verdict: Verdict, window: str, instant: float) -> None:
        """Give back to a value what its quiet has earned, if nothing came between."""
        known = self._adjusted.get(window)
        if known is None or known[0].next_rise_at != instant:
            return
        value, decision = known
        value.rise(instant)
        verdict.adjusted.add(window)
        if value.is_over:
            del self._adjusted[window]
            # No record made this: without the count it is taken as what ends, not as a repeat.
            over = msgspec.structs.replace(decision, expires_at=instant, count=0)
            verdict.made.append(Made(over, instant))
            return
        made = msgspec.structs.replace(
            decision, value=value.value, expires_at=_unless_renewed(value), count=0
        )
        self._keep_adjusted(window, value, made)
        verdict.made.append(Made(made, instant))

    def _keep_adjusted(self, window: str, value: AdjustedValue, decision: Decision) -> None:
        self._adjusted[window] = (value, decision)
        instant = value.next_rise_at
        heapq.heappush(self._due, (ceil(instant), _RISE, instant, window))

    def _configured(self, name: str, cause: Cause) -> Any:
        """Return an option's value without any decision, on the day of the record.

        The provider is judged by the host that replied, as the rules were found: no look-up.
        """
        path = self.shaping.resolve(
            cause.domain,
            cause.source,
            cause.site,
            [cause.peer] if cause.peer else None,
            on=day_of(cause.at),
        )
        return path.options().get(name)

    # -- memory ---------------------------------------------------------------------------------

    def _remember(self, key: str) -> None:
        self._keys[key] = None
        if len(self._keys) > KEYS_MAX:
            self._keys.popitem(last=False)

    def forget_stale(self, now: float) -> list[str]:
        """Drop windows that can count no more; return the names of those the store keeps."""
        for name in [name for name, one in self._thresholds.items() if one.is_stale(now)]:
            del self._thresholds[name]
        stale = [name for name, one in self._windows.items() if one.is_stale(now)]
        for name in stale:
            del self._windows[name]
        return stale

    @property
    def longest_window_s(self) -> float:
        """Return the longest period that any rule counts over, seconds."""
        triggers = (found[0][0].rule.trigger for found in self._rules.values())
        return max(
            (
                one.period_s if isinstance(one, Threshold) else one.within_s
                for one in triggers
                if isinstance(one, Threshold | Proportion)
            ),
            default=0.0,
        )

    def window_state(self, name: str) -> WindowState | None:
        """Return what a settled window holds, for the store; None if it is gone."""
        window = self._windows.get(name)
        return window.state() if window is not None else None

    def adjusted_state(self, window: str) -> tuple[AdjustedValue, Decision] | None:
        """Return a copy of an adjusted value, for the store; None if it is over."""
        known = self._adjusted.get(window)
        return (replace(known[0]), known[1]) if known is not None else None

    def recall(self, mark: Mark) -> None:
        """Count a match of before a restart again, and know its record if it comes again."""
        known = self._rule_of(mark.window)
        if known is None or not isinstance(known[0].rule.trigger, Threshold):
            return
        self._remember(mark.record_key)
        if _is_settled(*known):
            return  # the window's own state holds the count
        window = self._thresholds.get(mark.window)
        if window is None:
            trigger = known[0].rule.trigger
            window = ThresholdWindow(trigger.count, trigger.period_s)
            self._thresholds[mark.window] = window
        window.add(mark.at)

    def recall_window(self, name: str, state: WindowState) -> None:
        """Take back a settled window of before a restart."""
        known = self._rule_of(name, state.section)
        if known is None or not _is_settled(*known):
            return
        window = SettledWindow(known[0].rule, state.kind, state.scope)
        window.set_state(state)
        self._windows[name] = window
        for second in window.open_seconds:
            heapq.heappush(self._due, (second + 1, _SECOND, float(second), name))

    def recall_adjusted(self, window: str, value: AdjustedValue, decision: Decision) -> None:
        """Take back an adjusted value of before a restart."""
        self._keep_adjusted(window, value, decision)


def _is_settled(scoped: ScopedRule, action: ShapingAction) -> bool:
    """Return whether what an action does depends on the order of records."""
    return (
        isinstance(scoped.rule.trigger, Proportion)
        or action.kind is ActionKind.ADJUST_CONFIG
        or action.kind is ActionKind.PAUSE_WARMUP
    )


def window_name(
    scoped: ScopedRule, action: ShapingAction, kind: DecisionKind, scope: DecisionScope
) -> str:
    """Return the identity of a window: rule, action and scope; the rule comes first."""
    parts = msgspec.structs.astuple(scope)
    text = "\x1f".join("" if part is None else part for part in parts)
    return f"{identity_of(scoped, action)}\x1f{kind.value}\x1f{text}"


def _unless_renewed(value: AdjustedValue) -> float:
    """Return when an adjusted value ends if nobody renews it: well after its next rise."""
    return value.next_rise_at + 2 * value.rule.quiet_s + RENEWAL_S


def _make_room(windows: OrderedDict[str, Any]) -> None:
    """Forget the windows that were not used for longest, when there are very many."""
    while len(windows) >= WINDOWS_MAX:
        windows.popitem(last=False)
