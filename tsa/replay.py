"""Rules over records of the past: what would have been decided, when and why.

Place in flow: ``tsa.dry_run`` feeds it what ``tsa.log_source`` reads; ``tsa.replay_report`` shows
what comes out. No clock and no I/O: all time is the records'.

Invariants:
    * It judges with the daemon's own ``RuleEngine`` and ``DecisionStore``, so that what it shows is
      what the daemon would have done with the same records in the same order.
    * Adjusted values rise at their exact time, also where no record comes at that time.
    * A decision that ran out and is made again is another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from engine.model.decision import Decision, DecisionKind, DecisionScope
from engine.model.log_record import RecordKind
from engine.model.shaping import Shaping
from engine.model.shaping_rule_set import SKIPPED_KINDS
from tsa.decision_store import DecisionStore
from tsa.rule_engine import RuleEngine, Verdict
from tsa.seen_record import SeenRecord

#: Changes of a value that are kept for one decision; the last replaces the one before beyond it.
CHANGES_MAX = 1000
_NEVER = float("inf")


@dataclass(slots=True)
class Episode:
    """One decision from its beginning to its end.

    Attributes:
        decision: As it held in the end.
        begins_at: When it was made.
        changes: Values with the time from which each held, oldest first.
    """

    decision: Decision
    begins_at: float
    changes: list[tuple[float, Any]] = field(default_factory=list)

    @property
    def ends_at(self) -> float:
        """Return when it ran out, or would."""
        return self.decision.expires_at

    def note_value(self, instant_at: float, value: Any) -> None:
        """Take the value that holds from now on."""
        if self.changes and self.changes[-1][1] == value:
            return
        if len(self.changes) >= CHANGES_MAX:
            self.changes.pop()
        self.changes.append((instant_at, value))


class Replay:
    """Some rules at work on the past.

    Attributes:
        episodes: The decisions, in the order in which they began.
        seen: How many records it was given.
    """

    def __init__(self, shaping: Shaping) -> None:
        self._engine = RuleEngine(shaping)
        # Never opened: only its memory judges what is news.
        self._store = DecisionStore(Path())
        self._verdict = Verdict()
        self._open: dict[str, Episode] = {}
        self._next_due_at = _NEVER
        self.episodes: list[Episode] = []
        self.seen = 0

    def see(self, record: SeenRecord) -> None:
        """Take the next record."""
        self.seen += 1
        if record.timestamp >= self._next_due_at:
            self.advance(float(record.timestamp))
        verdict = self._verdict
        self._engine.see(record, verdict)
        if not verdict:
            return
        self._take_all(verdict)
        self._next_due_at = self._engine.next_due_at or _NEVER
        self._verdict = Verdict()

    def advance(self, instant_at: float) -> None:
        """Do what time asks for, up to an instant: records before it come no more."""
        while self._next_due_at <= instant_at:
            self._take_all(self._engine.settle(self._next_due_at))
            self._next_due_at = self._engine.next_due_at or _NEVER

    def finish(self, last_at: float) -> None:
        """Do what is left to do: the last record was of this instant."""
        self.advance(float(int(last_at) + 1))

    def _take_all(self, verdict: Verdict) -> None:
        for decision, instant_at in verdict.made:
            self._take(decision, instant_at)

    def _take(self, decision: Decision, instant_at: float) -> None:
        key = decision.key
        known = self._store.in_force.get(key)
        if known is not None and known.expires_at <= instant_at:
            del self._store.in_force[key], self._open[key]
            known = None
        if known is None and decision.count == 0:
            # An adjusted value that nobody renewed had run out by then.
            return
        made, _ = self._store.take(decision)
        episode = self._open.get(key)
        if episode is None:
            episode = self._open[key] = Episode(made, instant_at)
            self.episodes.append(episode)
        episode.decision = made
        if made.kind is DecisionKind.OVERRIDE and made.expires_at > instant_at:
            episode.note_value(instant_at, made.value)


def unwanted_kinds(shapings: Iterable[Shaping]) -> frozenset[RecordKind]:
    """Return the kinds of records that no rule looks at, so that they need not be decoded."""
    if any(shaping.needs_deliveries for shaping in shapings):
        return SKIPPED_KINDS
    return SKIPPED_KINDS | {RecordKind.DELIVERY}


# -- comparison ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that two sets of rules do not have in common.

    Attributes:
        before: As the first set makes it; None if it does not.
        after: As the second set makes it; None if it does not.
        differences: What differs where both make it: ``begins``, ``expires``, ``value``, ``count``.
    """

    before: Episode | None
    after: Episode | None
    differences: tuple[str, ...] = ()

    @property
    def begins_at(self) -> float:
        """Return when the earlier of both began."""
        return min(one.begins_at for one in (self.before, self.after) if one is not None)


_Subject = tuple[DecisionKind, DecisionScope]


def compare(before: Sequence[Episode], after: Sequence[Episode]) -> list[Change]:
    """Return what a change of rules changes, by time.

    Decisions belong together when they act on the same and overlap in time, whichever rule made
    them: a rule that was edited is another one, what it does may be the same.

    Args:
        before: What the first set of rules decides.
        after: What the second one does.
    """
    old, new = _by_subject(before), _by_subject(after)
    changes: list[Change] = []
    for subject in old | new:
        changes += _compare_one(old.get(subject, []), new.get(subject, []))
    return sorted(changes, key=lambda one: one.begins_at)


def _by_subject(episodes: Iterable[Episode]) -> dict[_Subject, list[Episode]]:
    found: dict[_Subject, list[Episode]] = {}
    for one in episodes:
        found.setdefault((one.decision.kind, one.decision.scope), []).append(one)
    return found


def _compare_one(before: Sequence[Episode], after: Sequence[Episode]) -> list[Change]:
    left = list(after)
    changes = []
    for one in before:
        partner = _partner_of(one, left)
        if partner is None:
            changes.append(Change(one, None))
            continue
        left.remove(partner)
        differences = _differences(one, partner)
        if differences:
            changes.append(Change(one, partner, differences))
    return changes + [Change(None, one) for one in left]


def _partner_of(one: Episode, others: Sequence[Episode]) -> Episode | None:
    """Return the decision that takes the place of one: made by the same rule, or else the first."""
    overlapping = [
        other for other in others if other.begins_at < one.ends_at and one.begins_at < other.ends_at
    ]
    for other in overlapping:
        if other.decision.rule_hash == one.decision.rule_hash:
            return other
    return overlapping[0] if overlapping else None


def _differences(one: Episode, other: Episode) -> tuple[str, ...]:
    facts = {
        "begins": (one.begins_at, other.begins_at),
        "expires": (one.ends_at, other.ends_at),
        "value": (one.changes, other.changes),
        "count": (one.decision.count, other.decision.count),
    }
    return tuple(name for name, (left, right) in facts.items() if left != right)


def describe_subject(decision: Decision) -> str:
    """Return in words what a decision acts on."""
    scope = msgspec.to_builtins(decision.scope)
    option = scope.pop("option", None)
    ready_queue = scope.pop("ready_queue", None)
    if ready_queue is not None:
        return str(ready_queue)
    shown = [f"{name} {value}" for name, value in scope.items()]
    return ", ".join([*shown, *([str(option)] if option is not None else [])])
