"""Decisions of daemons that set options or hold days: known for people, carried out by the overlay.

Place in flow: ``engine.admin.decision_book`` puts in what makes no directive; whoever explains a
path or lists decisions reads it.

Invariants:
    * Nothing here has an effect: what an option is comes from the overlay, and from it alone.
    * The same life as a directive: a snapshot takes back what it does not name, the end ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from engine.model.decision import Decision, DecisionKind
from engine.model.egress import UNSPECIFIED

#: Decisions held at most: no honest daemon has so many in force.
HELD_MAX = 1_000_000
#: Kinds that the overlay carries out.
NOTED_KINDS = frozenset({DecisionKind.OVERRIDE, DecisionKind.WARMUP_HOLD})


class HeldKey(NamedTuple):
    """Who decided, and which decision it is."""

    origin: str
    key: str


class Subject(NamedTuple):
    """An option of the paths from a source to a site, or to a domain that is not rolled up."""

    option: str
    source: str
    name: str


@dataclass(slots=True)
class SeenDecision:
    """A decision in force.

    Attributes:
        origin: The URL of the daemon.
        decision: What it decided.
        first_seen_at: Since when this node knows of it, seconds since the Unix epoch.
    """

    origin: str
    decision: Decision
    first_seen_at: float


class NotedDecisions:
    """The decisions that set options or hold days."""

    def __init__(self) -> None:
        self._held: dict[HeldKey, SeenDecision] = {}
        self._unseen: dict[str, set[HeldKey]] = {}
        self._by_subject: dict[Subject, set[HeldKey]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[SeenDecision]:
        return iter(list(self._held.values()))

    def about(self, subject: Subject) -> list[SeenDecision]:
        """Return the overrides of one option of certain paths."""
        return [self._held[key] for key in self._by_subject.get(subject, ())]

    def take(self, origin: str, decision: Decision, now_at: float) -> None:
        """Take a decision of a daemon; a repeat counts as it comes, its end never earlier."""
        key = HeldKey(origin, decision.key)
        unseen = self._unseen.get(origin)
        if unseen is not None:
            unseen.discard(key)
        known = self._held.get(key)
        if known is not None:
            if decision.expires_at >= known.decision.expires_at:
                known.decision = decision
        elif decision.expires_at > now_at and len(self._held) < HELD_MAX:
            self._held[key] = SeenDecision(origin, decision, now_at)
            self._by_subject.setdefault(subject_of(decision), set()).add(key)

    def begin_snapshot(self, origin: str) -> None:
        """Expect everything that a daemon has in force."""
        self._unseen[origin] = {key for key in self._held if key.origin == origin}

    def end_snapshot(self, origin: str) -> None:
        """Forget what the snapshot did not name."""
        self._forget(self._unseen.pop(origin, ()))

    def drop(self, origin: str) -> None:
        """Forget all that a daemon decided."""
        self._unseen.pop(origin, None)
        self._forget([key for key in self._held if key.origin == origin])

    def prune(self, now_at: float) -> None:
        """Forget what has ended."""
        self._forget([k for k, one in self._held.items() if one.decision.expires_at <= now_at])

    def _forget(self, gone: Iterable[HeldKey]) -> None:
        for key in gone:
            seen = self._held.pop(key, None)
            if seen is None:
                continue
            subject = subject_of(seen.decision)
            there = self._by_subject[subject]
            there.discard(key)
            if not there:
                del self._by_subject[subject]


def subject_of(decision: Decision) -> Subject:
    """Return what an override is about."""
    scope = decision.scope
    name = scope.domain if scope.site_name is None else scope.site_name
    return Subject(scope.option or "", scope.source or UNSPECIFIED, name or "")
