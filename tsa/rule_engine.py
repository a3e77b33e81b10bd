"""The rules at work: records in, decisions out; windows and adjustments in between.

Place in flow: ``tsa.record_intake`` and ``tsa.replay`` give it records in the order they come;
decisions go to ``tsa.decision_store``. No clock and no I/O: it is told the time.

Invariants:
    * The same records in the same order give the same decisions.
    * A record counts once, however often it comes: its key is remembered as long as it could count.
    * What a decision depends on can be rebuilt: ``marks`` are what to keep for that, ``recall``
      takes them back.
    * A rule that is older news than its own duration decides nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from engine.model.decision import Decision, DecisionKind, DecisionScope
from engine.model.shaping import Shaping
from engine.model.shaping_action import ActionKind, ShapingAction
from engine.model.shaping_rule import ScopedRule
from engine.model.shaping_trigger import Immediate, Proportion, Threshold
from engine.model.shaping_warmup import day_of
from tsa.adjustment import AdjustedValue, begin_adjustment
from tsa.rule_action import decide, identity_of, scope_of
from tsa.rule_matcher import RuleMatcher
from tsa.seen_record import SeenRecord
from tsa.trigger_window import ProportionWindow, ThresholdWindow

#: Keys of records remembered at most, beyond which the oldest are forgotten.
KEYS_MAX = 1_000_000
#: Windows kept at most; beyond it those that can count no more go, then the least recently used.
WINDOWS_MAX = 200_000

#: Port: an option's value for mail of a domain that goes where a record's did, without any
#: decision; None without bound.
ConfiguredValue = Callable[[str, str, SeenRecord], Any]


class Mark(NamedTuple):
    """A match that counted: what to keep so that a restart goes on counting."""

    window: str
    at: float
    record_key: str


@dataclass(slots=True)
class Verdict:
    """What records led to, and what to keep of them.

    Attributes:
        decisions: In the order they were made.
        marks: Matches that count towards thresholds.
        shares: Windows of proportions that changed, by name.
        adjusted: Adjusted values that changed, by window; None for one that is over.
    """

    decisions: list[Decision] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    shares: set[str] = field(default_factory=set)
    adjusted: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.decisions or self.marks or self.shares or self.adjusted)


class RuleEngine:
    """The state of the rules of one daemon."""

    def __init__(self, shaping: Shaping) -> None:
        self._matcher = RuleMatcher(shaping)
        self._thresholds: OrderedDict[str, ThresholdWindow] = OrderedDict()
        self._proportions: OrderedDict[str, ProportionWindow] = OrderedDict()
        self._adjusted: dict[str, tuple[AdjustedValue, Decision]] = {}
        self._keys: OrderedDict[str, None] = OrderedDict()
        self.configured: ConfiguredValue = self._configured
        self.is_switched_off = False

    @property
    def shaping(self) -> Shaping:
        """Return the rules in force."""
        return self._matcher.shaping

    def replace_rules(self, shaping: Shaping) -> None:
        """Take new rules; what unchanged ones counted so far still counts."""
        self._matcher = RuleMatcher(shaping)

    def see(self, record: SeenRecord, verdict: Verdict) -> None:
        """Add what a record leads to."""
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
        for scoped, domain, is_match in matches:
            for action in scoped.rule.actions:
                self._apply(verdict, scoped, action, record, domain, at, is_match=is_match)

    def _apply(
        self,
        verdict: Verdict,
        scoped: ScopedRule,
        action: ShapingAction,
        record: SeenRecord,
        domain: str,
        at: float,
        *,
        is_match: bool,
    ) -> None:
        found = scope_of(scoped, action, record, domain)
        if found is None:
            return
        kind, scope = found
        if kind is DecisionKind.WARMUP_HOLD and not self._is_warming(scope):
            return
        window = _window_key(scoped, action, kind, scope)
        if not self._is_reached(verdict, scoped, window, record.key, at, is_match=is_match):
            return
        decision = decide(scoped, action, kind, scope, record, at)
        counted = self._thresholds.get(window)
        full_at = counted.full_at if counted is not None else None
        if full_at is not None and full_at > at:
            # A late record completed, or found complete, a period that ends with a newer one.
            expires_at = decision.expires_at + full_at - at
            decision = msgspec.structs.replace(decision, expires_at=expires_at)
        if action.kind is ActionKind.ADJUST_CONFIG:
            decision = self._adjust(window, action, decision, record, domain, at)
            verdict.adjusted.add(window)
        verdict.decisions.append(decision)

    def _is_warming(self, scope: DecisionScope) -> bool:
        return self.shaping.warmups.is_warming(scope.source or "", scope.provider)

    def _is_reached(
        self,
        verdict: Verdict,
        scoped: ScopedRule,
        window: str,
        key: str,
        at: float,
        *,
        is_match: bool,
    ) -> bool:
        match scoped.rule.trigger:
            case Immediate():
                return is_match
            case Threshold(count, period_s):
                if not is_match:
                    return False
                counted = self._thresholds.get(window)
                if counted is None:
                    counted = self._thresholds[window] = ThresholdWindow(count, period_s)
                    _bound(self._thresholds, at)
                verdict.marks.append(Mark(window, at, key))
                return counted.add(at)
            case Proportion() as proportion:
                shares = self._proportions.get(window)
                if shares is None:
                    shares = self._proportions[window] = ProportionWindow(proportion.within_s)
                    _bound(self._proportions, at)
                verdict.shares.add(window)
                attempts, matched = shares.add(at, is_match=is_match)
                enough = attempts >= proportion.at_least
                return is_match and enough and matched > proportion.over * attempts

    # -- adjustments ----------------------------------------------------------------------------

    def _adjust(
        self,
        window: str,
        action: ShapingAction,
        decision: Decision,
        record: SeenRecord,
        domain: str,
        at: float,
    ) -> Decision:
        rule = action.adjustment
        assert rule is not None
        known = self._adjusted.get(window)
        if known is None or known[0].is_over:
            configured = self.configured(rule.name, domain, record)
            value = begin_adjustment(rule, configured, at)
        else:
            value = known[0]
            value.rise(at)
            value.signal(at)
        made = msgspec.structs.replace(decision, value=value.value, expires_at=_never_before(value))
        self._adjusted[window] = (value, made)
        return made

    def tick(self, now: float) -> Verdict:
        """Return what time alone changes: adjusted values that rise, or are over (expired now)."""
        verdict = Verdict()
        for window, (value, decision) in list(self._adjusted.items()):
            if not value.rise(now):
                continue
            verdict.adjusted.add(window)
            if value.is_over:
                del self._adjusted[window]
                # No record made this: without the count it is taken as what ends, not as a repeat.
                over = msgspec.structs.replace(decision, expires_at=now, count=0)
                verdict.decisions.append(over)
                continue
            made = msgspec.structs.replace(
                decision, value=value.value, expires_at=_never_before(value), count=0
            )
            self._adjusted[window] = (value, made)
            verdict.decisions.append(made)
        return verdict

    @property
    def next_rise_at(self) -> float | None:
        """Return when time alone changes an adjusted value next, None if it does not."""
        rises = (one.next_rise_at for one, _ in self._adjusted.values() if not one.is_over)
        return min(rises, default=None)

    def _configured(self, name: str, domain: str, record: SeenRecord) -> Any:
        # By the host that replied, as its rules were found: no look-up.
        peer = record.peer_address
        path = self.shaping.resolve(
            domain,
            record.source,
            record.site_text,
            [peer.name] if peer is not None else None,
            on=day_of(record.at),
        )
        return path.options().get(name)

    # -- memory ---------------------------------------------------------------------------------

    def _remember(self, key: str) -> None:
        self._keys[key] = None
        if len(self._keys) > KEYS_MAX:
            self._keys.popitem(last=False)

    def share_state(self, window: str) -> dict[int, list[int]]:
        """Return what a proportion's window holds, for the store."""
        return self._proportions[window].state() if window in self._proportions else {}

    def adjusted_state(self, window: str) -> tuple[AdjustedValue, Decision] | None:
        """Return an adjusted value, for the store; None if it is over."""
        return self._adjusted.get(window)

    def recall_share(self, window: str, within_s: float, state: dict[int, list[int]]) -> None:
        """Take back a proportion's window of before a restart."""
        shares = self._proportions[window] = ProportionWindow(within_s)
        shares.set_state(state)

    def recall_adjusted(self, window: str, value: AdjustedValue, decision: Decision) -> None:
        """Take back an adjusted value of before a restart."""
        self._adjusted[window] = (value, decision)

    def recall(self, mark: Mark, count: int, period_s: float) -> None:
        """Count a match of before a restart again."""
        window = self._thresholds.get(mark.window)
        if window is None:
            window = self._thresholds[mark.window] = ThresholdWindow(count, period_s)
        window.add(mark.at)
        self._remember(mark.record_key)

    def proportions(self) -> dict[str, float]:
        """Return the period of each rule's proportion, by the beginning of its windows."""
        return {
            identity_of(scoped, action): scoped.rule.trigger.within_s
            for scoped in self.shaping.all_rules()
            if isinstance(scoped.rule.trigger, Proportion)
            for action in scoped.rule.actions
        }

    def thresholds(self) -> dict[str, tuple[int, float]]:
        """Return count and period of each rule's threshold, by the beginning of its windows."""
        found: dict[str, tuple[int, float]] = {}
        for scoped in self.shaping.all_rules():
            trigger = scoped.rule.trigger
            if isinstance(trigger, Threshold):
                for action in scoped.rule.actions:
                    found[identity_of(scoped, action)] = (trigger.count, trigger.period_s)
        return found


def _window_key(
    scoped: ScopedRule, action: ShapingAction, kind: DecisionKind, scope: DecisionScope
) -> str:
    """Return the identity of a window: rule, action and scope; the rule comes first."""
    parts = msgspec.structs.astuple(scope)
    text = "\x1f".join("" if part is None else part for part in parts)
    return f"{identity_of(scoped, action)}\x1f{kind.value}\x1f{text}"


def _never_before(value: AdjustedValue) -> float:
    """Return an expiry for an adjusted value: if nobody renews it, two intervals after its rise."""
    return value.next_rise_at + 2 * value.rule.quiet_s


def _bound(windows: OrderedDict[str, Any], now: float) -> None:
    """Forget windows that can count no more, when there are very many."""
    if len(windows) <= WINDOWS_MAX:
        return
    for key in [key for key, window in windows.items() if window.is_stale(now)]:
        del windows[key]
    while len(windows) > WINDOWS_MAX:
        windows.popitem(last=False)
