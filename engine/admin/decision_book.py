"""What the automation's daemons decided, carried into the directives that queues consult.

Place in flow: ``engine.admin.decision_subscriber`` tells it of each decision; it writes
``engine.control`` by the door that operators use.

Invariants:
    * Of several decisions about the same mail the one that ends last is in force; when it is taken
      back, the next.
    * Nobody's directive is made shorter: one of an operator that lasts longer stays.
    * What an operator cancelled stays cancelled until the daemon decides anew.
    * A snapshot takes back what its daemon decided before and does not name any more, nothing else.

Failure: none; memory only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from engine.admin.noted_decisions import HELD_MAX, HeldKey, NotedDecisions, SeenDecision
from engine.base.clock import Clock
from engine.base.shaping_source import shown_source
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.suspensions import SuspensionRegistry
from engine.model.decision import Decision, DecisionKind
from engine.model.suspension import Criteria, Directive, ReadyDirective

#: Kinds that become directives; the others come with the overlay.
_DIRECTIVES = frozenset(
    {DecisionKind.SUSPEND_READY, DecisionKind.SUSPEND_SCHEDULED, DecisionKind.BOUNCE}
)


class Target(NamedTuple):
    """The mail that a decision is about: a ready queue, or scheduled queues."""

    kind: DecisionKind
    ready_queue: str
    criteria: Criteria


@dataclass(slots=True)
class _Enforced:
    """The directive made for a target, and the decision that it carries out."""

    directive_id: str
    decision: Decision


def target_of(decision: Decision) -> Target | None:
    """Return the mail that a decision is about; None where it is about configuration."""
    if decision.kind not in _DIRECTIVES:
        return None
    scope = decision.scope
    criteria = Criteria(campaign=scope.campaign, tenant=scope.tenant, domain=scope.domain)
    return Target(decision.kind, scope.ready_queue or "", criteria)


class DecisionBook:
    """The decisions that this node obeys.

    Args:
        suspensions: Of the node.
        bounces: Of the node.
        clock: Turns times of expiry into durations.

    Attributes:
        noted: Decisions that the overlay carries out: they make no directive, and do not count.
    """

    def __init__(
        self, suspensions: SuspensionRegistry, bounces: AdminBounceRegistry, clock: Clock
    ) -> None:
        self._suspensions = suspensions
        self._bounces = bounces
        self._clock = clock
        self.noted = NotedDecisions()
        self._held: dict[HeldKey, Decision] = {}
        self._seen_at: dict[HeldKey, float] = {}
        self._by_target: dict[Target, dict[HeldKey, Decision]] = {}
        self._enforced: dict[Target, _Enforced] = {}
        self._unseen: dict[str, set[HeldKey]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[tuple[str, Decision]]:
        """Yield the daemon and the decision, for all that have not ended."""
        now = self._clock.wall()
        for held, decision in list(self._held.items()):
            if decision.expires_at > now:
                yield held.origin, decision

    def everything(self) -> Iterator[SeenDecision]:
        """Yield all that is known and has not ended, what the overlay carries out included."""
        now = self._clock.wall()
        for held, decision in list(self._held.items()):
            if decision.expires_at > now:
                yield SeenDecision(held.origin, decision, self._seen_at.get(held, now))
        yield from (one for one in self.noted if one.decision.expires_at > now)

    def directive_of(self, decision: Decision) -> str | None:
        """Return the id of the directive that carries a decision out; None while none does.

        There is none where another decision about the same mail lasts longer, or an operator's
        directive does, or an operator cancelled it.
        """
        target = target_of(decision)
        mine = None if target is None else self._enforced.get(target)
        if target is None or mine is None or mine.decision is not decision:
            return None
        there = self._find(target)
        return there.id if there is not None and there.id == mine.directive_id else None

    # -- what a daemon says ---------------------------------------------------------------------

    def take(self, origin: str, decisions: Iterable[Decision]) -> bool:
        """Take decisions of a daemon; return whether any of them was news.

        Args:
            origin: The URL of the daemon.
            decisions: In the order they came.
        """
        changed: set[Target] = set()
        for decision in decisions:
            target = target_of(decision)
            if target is None:
                self.noted.take(origin, decision, self._clock.wall())
            elif self._take(HeldKey(origin, decision.key), target, decision):
                changed.add(target)
        self._enforce_all(changed)
        return bool(changed)

    def _take(self, held: HeldKey, target: Target, decision: Decision) -> bool:
        unseen = self._unseen.get(held.origin)
        if unseen is not None:
            unseen.discard(held)
        known = self._held.get(held)
        if known is None and (
            decision.expires_at <= self._clock.wall() or len(self._held) >= HELD_MAX
        ):
            return False
        if known is not None and decision.expires_at <= known.expires_at:
            return False
        self._held[held] = decision
        self._seen_at.setdefault(held, self._clock.wall())
        self._by_target.setdefault(target, {})[held] = decision
        return True

    def begin_snapshot(self, origin: str) -> None:
        """Expect everything that a daemon has in force."""
        self._unseen[origin] = {held for held in self._held if held.origin == origin}
        self.noted.begin_snapshot(origin)

    def end_snapshot(self, origin: str) -> bool:
        """Take back what the snapshot did not name; return whether there was any."""
        self.noted.end_snapshot(origin)
        return self._take_back(self._unseen.pop(origin, ()))

    def drop(self, origin: str) -> bool:
        """Take back all that a daemon decided; return whether there was any."""
        self._unseen.pop(origin, None)
        self.noted.drop(origin)
        return self._take_back([held for held in self._held if held.origin == origin])

    def origins(self) -> set[str]:
        """Return the daemons whose decisions are held."""
        return {held.origin for held in self._held} | {one.origin for one in self.noted}

    def prune(self) -> None:
        """Forget what has ended; its directives ended by themselves."""
        now = self._clock.wall()
        self.noted.prune(now)
        self._take_back([held for held, one in self._held.items() if one.expires_at <= now])

    def _take_back(self, gone: Iterable[HeldKey]) -> bool:
        changed: set[Target] = set()
        for held in gone:
            decision = self._held.pop(held, None)
            self._seen_at.pop(held, None)
            target = target_of(decision) if decision is not None else None
            if target is None:
                continue
            there = self._by_target[target]
            del there[held]
            if not there:
                del self._by_target[target]
            changed.add(target)
        self._enforce_all(changed)
        return bool(changed)

    # -- directives -----------------------------------------------------------------------------

    def _enforce_all(self, targets: Iterable[Target]) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._suspensions.at_once())
            stack.enter_context(self._bounces.at_once())
            for target in targets:
                self._enforce(target)

    def _enforce(self, target: Target) -> None:
        left_s = 0.0
        longest = max(
            self._by_target.get(target, {}).items(),
            key=lambda item: item[1].expires_at,
            default=None,
        )
        if longest is not None:
            left_s = longest[1].expires_at - self._clock.wall()
        mine = self._enforced.get(target)
        there = self._find(target)
        if longest is None or left_s <= 0:
            self._enforced.pop(target, None)
            if mine is not None and there is not None and there.id == mine.directive_id:
                self._cancel(target, mine.directive_id)
            return
        is_mine = mine is not None and there is not None and there.id == mine.directive_id
        (origin, _), decision = longest
        if is_mine and mine is not None and mine.decision is decision:
            return
        ends_mono = self._clock.mono() + left_s
        if there is not None and not is_mine and there.expires_mono >= ends_mono:
            return
        made = self._add(target, decision, f"TSA {shown_source(origin)}", left_s)
        self._enforced[target] = _Enforced(made.id, decision)

    def _find(self, target: Target) -> Directive | ReadyDirective | None:
        if target.kind is DecisionKind.SUSPEND_READY:
            return self._suspensions.find_ready(target.ready_queue)
        if target.kind is DecisionKind.SUSPEND_SCHEDULED:
            return self._suspensions.scheduled.get(target.criteria)
        return self._bounces.get(target.criteria)

    def _add(
        self, target: Target, decision: Decision, author: str, duration_s: float
    ) -> Directive | ReadyDirective:
        reason = decision.reason
        if target.kind is DecisionKind.SUSPEND_READY:
            return self._suspensions.add_ready(target.ready_queue, reason, author, duration_s)
        if target.kind is DecisionKind.SUSPEND_SCHEDULED:
            return self._suspensions.add_scheduled(target.criteria, reason, author, duration_s)
        return self._bounces.add(target.criteria, reason, author, duration_s)

    def _cancel(self, target: Target, directive_id: str) -> None:
        if target.kind is DecisionKind.BOUNCE:
            self._bounces.cancel(directive_id)
        else:
            self._suspensions.cancel(directive_id)
