"""What rules decide about records, written the obvious way: all records at once, no state, no care.

Rules and records are plain tables. What comes out are the decisions that hold in the end, by what
they act on and the number of the rule: option values and ends, nothing of how they came about.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

Record = dict[str, Any]
Rule = dict[str, Any]

DAY_S = 86_400
DEFERRED, FAILED = "TransientFailure", ("Bounce", "Expiration", "AdminBounce")


def reply_of(record: Record) -> str:
    return f"{record['code']} {record['text']}"


def is_match(rule: Rule, record: Record) -> bool:
    if record["internal"] and not rule["match_internal"]:
        return False
    if record["type"] == "Delivery":
        return False
    return any(re.search(pattern, reply_of(record)) for pattern in rule["regex"])


def scope_of(rule: Rule, action: Any, record: Record) -> tuple[Any, ...] | None:
    """Return what an action acts on because of a record."""
    name = action if isinstance(action, str) else next(iter(action))
    domain, tenant, campaign = record["domain"], record["tenant"], record["campaign"]
    if name == "Suspend":
        return ("ready", record["source"], record["site"])
    if name == "PauseWarmup":
        return ("warmup", record["source"]) if record["source"] == "ip-1" else None
    if name == "Bounce":
        return ("bounce", domain)
    if name in ("SuspendTenant", "BounceTenant", "SuspendCampaign", "BounceCampaign"):
        if tenant is None:
            return None
        kind = "bounce" if name.startswith("Bounce") else "suspend"
        return (kind, domain, tenant, campaign if name.endswith("Campaign") else None)
    option = action[name]["name"]
    # The provider of this world is known by its hosts: its rules act on the site, too.
    if name != "SetDomainConfig":
        return ("override", "site", record["site"], record["source"], option)
    return ("override", "domain", domain, record["source"], option)


def second_of(record: Record) -> int:
    return math.floor(record["at"])


def reaches_threshold(matches: list[Record], count: int, period_s: float) -> list[Record]:
    """Return the matches whose own period, up to them, holds enough."""
    return [
        one
        for number, one in enumerate(matches)
        if sum(one["at"] - other["at"] < period_s for other in matches[: number + 1]) >= count
    ]


def full_seconds(rule: Rule, attempts: list[Record]) -> list[Record]:
    """Return the last match of each second in which the share of matches is too large."""
    share = rule["trigger"]["Proportion"]
    width_s = max(1.0, share["within"] / 60)
    buckets = max(1, round(share["within"] / width_s))
    found = []
    for second in sorted({second_of(one) for one in attempts}):
        newest = int(second / width_s)
        seen = [
            one
            for one in attempts
            if second_of(one) <= second and int(second_of(one) / width_s) > newest - buckets
        ]
        matching = [one for one in seen if one["counts"]]
        own = [one for one in matching if second_of(one) == second]
        enough = len(seen) >= share["at_least"]
        if own and enough and len(matching) > share["over"] * len(seen):
            found.append(own[-1])
    return found


def last_of_each_second(records: Iterable[Record]) -> list[Record]:
    return list({second_of(one): one for one in records}.values())


def signals(rule: Rule, records: list[Record]) -> list[Record]:
    """Return the records with which a rule acts, in the order of their time.

    Args:
        records: Those of one scope.
    """
    trigger = rule["trigger"]
    if trigger == "Immediate":
        return [one for one in records if one["matches"]]
    if "Threshold" in trigger:
        count, _, unit = trigger["Threshold"].partition("/")
        period_s = float(unit.removesuffix("s"))
        return reaches_threshold([one for one in records if one["matches"]], int(count), period_s)
    return full_seconds(rule, [one for one in records if one["is_attempt"]])


def adjusted(
    adjust: dict[str, Any], complaints: list[Record], now: float
) -> tuple[Any, float] | None:
    """Return value and end of an adjusted connection limit of 20, None when it is back by now."""
    floor, quiet_s = float(adjust["floor"]), adjust["quiet"]
    amount = lowered_at = signal_at = raised_at = 0.0
    is_on = False
    pending = [(one["at"], one) for one in last_of_each_second(complaints)]
    while True:
        due_at = max(signal_at, raised_at) + quiet_s if is_on else math.inf
        # In one second complaints come before what the quiet gives back.
        at = pending[0][0] if pending else math.inf
        is_rise = due_at <= at or (is_on and math.ceil(due_at) < math.floor(at) + 1)
        if min(due_at, at) == math.inf:
            break
        if is_rise:
            if math.ceil(due_at) > now and not pending:
                break
            raised_at = due_at
            amount = min(20.0, amount + adjust["step"] * 20)
            is_on = amount < 20.0
            continue
        pending.pop(0)
        if not is_on:
            amount, is_on = max(floor, 20 * adjust["factor"]), True
            lowered_at = signal_at = raised_at = at
            continue
        signal_at = at
        if at - lowered_at >= quiet_s / 10:
            lowered_at, amount = at, min(amount, max(floor, amount * adjust["factor"]))
    if not is_on:
        return None
    return max(1, int(amount + 1e-9)), max(signal_at, raised_at) + 3 * quiet_s + 10


def decisions(rules: list[Rule], records: list[Record], now: float) -> dict[Any, Any]:
    """Return what holds at a whole second after all records.

    Args:
        rules: As ``tests/properties`` makes them up.
        records: In any order; those with one id are one.
        now: The second up to which everything is settled.
    """
    distinct = {one["id"]: one for one in records}.values()
    in_order = sorted(distinct, key=lambda one: (one["at"], one["id"]))
    found: dict[Any, Any] = {}
    for number, rule in enumerate(rules):
        for index, action in enumerate(rule["action"]):
            scopes: dict[Any, list[Record]] = {}
            for record in in_order:
                if rule["section"] == "provider.big" and not record["peer"].endswith(".big.test"):
                    continue
                scope = scope_of(rule, action, record)
                if scope is None or (record["internal"] and not rule["match_internal"]):
                    continue
                match = is_match(rule, record)
                of = "Failed" if record["type"] in FAILED else "Deferred"
                share = rule["trigger"] != "Immediate" and "Proportion" in rule["trigger"]
                counts = match and share and of in rule["trigger"]["Proportion"]["of"]
                facts = {"matches": match, "is_attempt": True, "counts": counts}
                scopes.setdefault(scope, []).append(record | facts)
            for scope, seen in scopes.items():
                _decide(found, (number, index, scope), rule, action, signals(rule, seen), now)
    return {key: value for key, value in found.items() if value is not None and value[1] > now}


def _decide(
    found: dict[Any, Any],
    key: Any,
    rule: Rule,
    action: Any,
    acting: list[Record],
    now: float,
) -> None:
    if not acting:
        return
    if isinstance(action, dict) and "AdjustConfig" in action:
        found[key] = adjusted(action["AdjustConfig"], acting, now)
        return
    if action == "PauseWarmup":
        for at in (one["at"] for one in acting):
            day = datetime.fromtimestamp(at, UTC).date().isoformat()
            days = max(1, math.ceil(rule["duration"] / DAY_S))
            found[*key, day] = (days, at - at % DAY_S + 366 * DAY_S)
        return
    value = None if isinstance(action, str) else next(iter(action.values()))["value"]
    found[key] = (value, acting[-1]["at"] + rule["duration"])
