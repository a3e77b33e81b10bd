"""A rule that acts: from action and record to decision.

Place in flow: ``tsa.rule_engine`` asks when a trigger is reached; pure.

Invariants:
    * A decision's scope is what its action acts on, never wider: an action about a tenant whose
      record has none makes no decision.
    * A window counts in the same scope in which its action acts.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import msgspec

from engine.model.decision import Decision, DecisionKind, DecisionScope
from engine.model.queue_name import parse_queue_name
from engine.model.shaping_action import ActionKind, ShapingAction
from engine.model.shaping_rule import ScopedRule
from engine.model.shaping_warmup import day_of
from tsa.seen_record import Cause, SeenRecord

_BOUNCES = frozenset({ActionKind.BOUNCE, ActionKind.BOUNCE_TENANT, ActionKind.BOUNCE_CAMPAIGN})
_TENANTS = frozenset(
    {
        ActionKind.SUSPEND_TENANT,
        ActionKind.SUSPEND_CAMPAIGN,
        ActionKind.BOUNCE_TENANT,
        ActionKind.BOUNCE_CAMPAIGN,
    }
)
_DAY_S = 86_400
#: How long a held day is remembered: no warm-up takes longer, and one that forgot would jump.
HELD_DAYS_MAX = 366
HOLD_KEPT_S = float(HELD_DAYS_MAX * _DAY_S)
_CAMPAIGNS = frozenset({ActionKind.SUSPEND_CAMPAIGN, ActionKind.BOUNCE_CAMPAIGN})


def scope_of(
    scoped: ScopedRule, action: ShapingAction, record: SeenRecord, domain: str
) -> tuple[DecisionKind, DecisionScope] | None:
    """Return what an action acts on, None when the record does not say enough for it.

    Args:
        scoped: The rule.
        action: One of its actions.
        record: The record that matched.
        domain: The recipient's domain it matched for.
    """
    if action.kind is ActionKind.SUSPEND:
        name = record.ready_queue_name
        if not name:
            return None
        return DecisionKind.SUSPEND_READY, DecisionScope(ready_queue=name, source=record.source)
    if action.kind is ActionKind.PAUSE_WARMUP:
        # The day is none of the window's business, which goes on over midnight: see ``decide``.
        scope = DecisionScope(source=record.source, provider=scoped.provider)
        return DecisionKind.WARMUP_HOLD, scope
    if action.kind in _BOUNCES or action.kind in _TENANTS:
        return _queue_scope(action.kind, record, domain)
    option = action.name or (action.adjustment.name if action.adjustment is not None else None)
    is_rollup = scoped.is_rollup and action.kind is not ActionKind.SET_DOMAIN_CONFIG
    if is_rollup and not record.site_text:
        return None
    return DecisionKind.OVERRIDE, DecisionScope(
        site_name=record.site_text if is_rollup else None,
        # A reader that knows domains only finds the site by one of its domains.
        domain=None if is_rollup else domain,
        source=record.source,
        option=option,
    )


def _queue_scope(
    kind: ActionKind, record: SeenRecord, domain: str
) -> tuple[DecisionKind, DecisionScope] | None:
    parsed = parse_queue_name(record.queue)
    tenant = parsed.tenant if kind in _TENANTS else None
    if kind in _TENANTS and not tenant:
        return None
    campaign = parsed.campaign if kind in _CAMPAIGNS else None
    what = DecisionKind.BOUNCE if kind in _BOUNCES else DecisionKind.SUSPEND_SCHEDULED
    queue_domain = parsed.domain or domain
    return what, DecisionScope(domain=queue_domain, tenant=tenant, campaign=campaign or None)


def identity_of(scoped: ScopedRule, action: ShapingAction) -> str:
    """Return the identity of a rule's action: the same in every daemon that loads the rule."""
    return f"{scoped.digest[:24]}-{scoped.rule.actions.index(action)}"


def decide(
    scoped: ScopedRule,
    action: ShapingAction,
    kind: DecisionKind,
    scope: DecisionScope,
    cause: Cause,
) -> Decision:
    """Return the decision of an action whose trigger was reached.

    Args:
        scoped: The rule.
        action: Its action.
        kind: What is done.
        scope: What it acts on.
        cause: The record that completed the trigger.
    """
    rule, at = scoped.rule, cause.at
    value: Any = action.value
    expires_at = at + rule.duration_s
    if kind is DecisionKind.WARMUP_HOLD:
        scope = msgspec.structs.replace(scope, day=day_of(at).isoformat())
        value = min(HELD_DAYS_MAX, max(1, ceil(rule.duration_s / _DAY_S)))
        expires_at = at - at % _DAY_S + HOLD_KEPT_S
    patterns = ", ".join(pattern.text for pattern in rule.patterns) or "every reply"
    return Decision(
        kind=kind,
        scope=scope,
        rule_hash=identity_of(scoped, action),
        reason=f"automation rule: {patterns}"[:500],
        expires_at=expires_at,
        rule=rule.section,
        place=str(rule.place),
        value=value,
        first_record_at=at,
        last_record_at=at,
        first_record_id=cause.record_key,
        last_record_id=cause.record_key,
        site_domain=cause.site_domain if scope.site_name is not None else "",
    )
