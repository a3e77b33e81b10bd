"""What the automation decided and this node goes by, in a list.

Place in flow: an operation of ``engine.admin.operation``; walks ``decision_book``.

Invariants:
    * However many decisions there are, the walk holds the loop for one slice a turn, and keeps no
      more of them than are wanted.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import Annotated, Any

import msgspec

from engine.admin.admin_node import AdminNode, AutomationPort
from engine.admin.noted_decisions import NOTED_KINDS, SeenDecision
from engine.admin.operation import Operation
from engine.admin.shown_text import shown_text, shown_value
from engine.base.shaping_source import shown_source
from engine.model.caller import Caller
from engine.model.decision import Decision, DecisionKind, DecisionScope, format_instant
from engine.schedule.pace import Pace

LIMIT_MAX = 1000


class DecisionsRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which decisions are wanted; what is left out matches everything.

    Attributes:
        limit: How many, those first that this node got to know of last.
        kind: Of this kind.
        domain: About this domain.
        site: About this site, or a ready queue that leads to it.
        source: About this egress source, or a ready queue of it.
        option: About this option of egress paths.
    """

    limit: Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)] = 100
    kind: DecisionKind | None = None
    domain: str | None = None
    site: str | None = None
    source: str | None = None
    option: str | None = None


class DecisionListed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A decision.

    Attributes:
        id: Its identity, the same on all nodes.
        kind: What is done.
        scope: What it acts on.
        origin: The URL of the daemon that decided.
        reason: Why, as the daemon says.
        rule: The rule that made it, by its section or else its hash.
        first_seen: Since when this node knows of it, RFC 3339; a restart begins anew.
        expires: When it ends, RFC 3339.
        in_force: Whether the node goes by it; not where another about the same mail lasts longer,
            where an operator cancelled it, or where the overlay is that of another daemon.
        value: What the option is set to; for a warm-up how many days are held.
        directive: The id of the suspension or bounce that carries it out.
    """

    id: str
    kind: DecisionKind
    scope: DecisionScope
    origin: str
    reason: str
    rule: str
    first_seen: str
    expires: str
    in_force: bool
    value: Any = None
    directive: str | None = None


class DecisionsListed(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of the automation that have not ended.

    Attributes:
        decisions: Those that are wanted, those first that this node got to know of last.
        matching: How many fit what was asked for.
        total: How many there are.
        kinds: How many there are of each kind.
    """

    decisions: list[DecisionListed]
    matching: int
    total: int
    kinds: dict[str, int]


async def list_decisions(
    node: AdminNode, _caller: Caller, request: DecisionsRequest
) -> DecisionsListed:
    """Return the decisions that are wanted."""
    automation, pace = node.automation, Pace(node.clock.mono)
    kinds: Counter[str] = Counter()
    kept: list[tuple[float, int, SeenDecision]] = []
    matching = 0
    for seen in automation.book.everything():
        if pace.is_spent():
            await pace.wait()
        kinds[seen.decision.kind.value] += 1
        if matches(request, seen.decision):
            matching += 1
            entry = (seen.first_seen_at, matching, seen)
            if len(kept) < request.limit:
                heapq.heappush(kept, entry)
            else:
                heapq.heappushpop(kept, entry)
    return DecisionsListed(
        decisions=[show_decision(seen, automation) for *_, seen in sorted(kept, reverse=True)],
        matching=matching,
        total=kinds.total(),
        kinds=dict(kinds),
    )


def matches(request: DecisionsRequest, decision: Decision) -> bool:
    """Return whether a decision is wanted."""
    scope = decision.scope
    source, site = scope.source, scope.site_name
    if scope.ready_queue is not None:
        queue_source, arrow, rest = scope.ready_queue.partition("->")
        if arrow:
            source, site = source or queue_source, rest.rpartition("@")[0]
    return (
        request.kind in (None, decision.kind)
        and request.domain in (None, scope.domain)
        and request.site in (None, site)
        and request.source in (None, source)
        and request.option in (None, scope.option)
    )


def show_decision(seen: SeenDecision, automation: AutomationPort) -> DecisionListed:
    """Return a decision as operators see it."""
    decision = seen.decision
    directive = automation.book.directive_of(decision)
    is_noted = decision.kind in NOTED_KINDS
    return DecisionListed(
        id=decision.key,
        kind=decision.kind,
        scope=shown_scope(decision.scope),
        origin=shown_text(shown_source(seen.origin)),
        reason=shown_text(decision.reason),
        rule=shown_text(decision.rule or decision.rule_hash),
        first_seen=format_instant(seen.first_seen_at),
        expires=format_instant(decision.expires_at),
        in_force=automation.overrides.origin == seen.origin if is_noted else directive is not None,
        value=shown_value(decision.value),
        directive=directive,
    )


def shown_scope(scope: DecisionScope) -> DecisionScope:
    """Return a scope whose texts fit into an answer."""
    texts = msgspec.structs.asdict(scope)
    return DecisionScope(**{k: one and shown_text(one) for k, one in texts.items()})


DECISIONS = Operation(
    "decisions",
    list_decisions,
    DecisionsRequest,
    DecisionsListed,
    "List what the automation decided",
    leaves_record=False,
)
