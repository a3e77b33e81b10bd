"""The lists of ``cirrus top``: rows of queues, providers, reasons of failures and decisions.

Place in flow: ``engine.cli.top_view`` lays them out.

Invariants:
    * A list that the node did not answer says so, and is not shown as an empty one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from engine.cli.spans import Column, Style
from engine.cli.table import format_age, format_count
from engine.cli.top_controls import View
from engine.cli.top_state import TopState, match_text

Row = tuple[object, ...]

_KINDS = {
    "ReadyQSuspension": "suspend ready",
    "SchedQSuspension": "suspend",
    "SchedQBounce": "bounce",
    "ConfigOverride": "set option",
    "WarmupHold": "hold warm-up",
}
#: What is in force by the hand of an operator too, as it is called in a row.
_DIRECTIVES = {
    "suspensions": "suspend",
    "ready suspensions": "suspend ready",
    "source suspensions": "suspend source",
    "bounces": "bounce",
}
#: What the node says of a directive that carries out a decision.
_BY_TSA = "TSA "
_TO_DO = Style.WARN


class Listed(NamedTuple):
    """A list.

    Attributes:
        title: What it is.
        summary: How much there is, or why nothing is known.
        columns: Its columns.
        rows: A cell for each of them.
        styles: The style of each row.
        is_summed: Whether the summary says more than the heads of the columns.
    """

    title: str
    summary: str
    columns: Sequence[Column] = ()
    rows: Sequence[Row] = ()
    styles: Sequence[Style] = ()
    is_summed: bool = False

    @property
    def height(self) -> int:
        """Return how many lines it fills with all rows, under one line that says what it is."""
        return 1 + len(self.rows)


def list_of(view: View, state: TopState, wanted: str) -> Listed:
    """Return the list of a view.

    Args:
        view: One that has a list.
        state: What is known.
        wanted: Text that shown rows have in them; empty for all.
    """
    if view is View.QUEUES:
        return _scheduled(state)
    if view is View.READY:
        return _ready(state)
    if view is View.PROVIDERS:
        return _providers(state, wanted)
    if view is View.REASONS:
        return _reasons(state, wanted)
    return _decisions(state, wanted)


# -- queues: the node filters them -------------------------------------------------------------


def _scheduled(state: TopState) -> Listed:
    columns = (
        Column("QUEUE"),
        Column("COUNT", 6, is_number=True),
        Column("DUE", 6, is_number=True),
        Column("HELD", 6, is_number=True, from_columns=50),
        Column("STATUS", from_columns=60),
    )
    rows: list[Row] = []
    styles = []
    for one in state.queues.get("scheduled", ()):
        status = _words(one, {"bounced": "bounced: ", "suspended": "held: ", "blocked_by": ""})
        count, due, held = (format_count(one[name]) for name in ("count", "due", "held"))
        rows.append((one["queue_name"], count, due, held, status))
        styles.append(_TO_DO if one.get("suspended") or one.get("bounced") else Style.PLAIN)
    return Listed("QUEUES", _how_many(state, "scheduled", len(rows)), columns, rows, styles)


def _ready(state: TopState) -> Listed:
    columns = (
        Column("SITE"),
        Column("SOURCE", 14),
        Column("COUNT", 6, is_number=True),
        Column("CONN", 5, is_number=True),
        Column("STATUS", from_columns=60),
    )
    rows: list[Row] = []
    styles = []
    for one in state.queues.get("ready", ()):
        status = _words(one, {"suspended": "held: ", "limited_by": "limited: "})
        count, connections = format_count(one["count"]), one["connections"]
        rows.append((one["site_name"], one["source"], count, connections, status))
        styles.append(_TO_DO if one.get("suspended") else Style.PLAIN)
    return Listed("READY QUEUES", _how_many(state, "ready", len(rows)), columns, rows, styles)


def _words(one: Mapping[str, Any], fields: Mapping[str, str]) -> str:
    return "; ".join(f"{word}{one[field]}" for field, word in fields.items() if one.get(field))


def _how_many(state: TopState, kind: str, shown: int) -> str:
    if "queues" in state.refused:
        return _not_known(state, "queues")
    if not state.queues:
        return "asking"
    fit, total = state.queues[f"{kind}_matching"], state.queues[f"{kind}_total"]
    if not fit:
        return f"none of {format_count(total)} has mail" if total else "none"
    return f"{shown} of {format_count(fit)}" if shown < fit else format_count(fit)


def _not_known(state: TopState, question: str) -> str:
    return f"not known: {state.refused[question]}"


# -- providers and reasons ----------------------------------------------------------------------


def _providers(state: TopState, wanted: str) -> Listed:
    columns = (
        Column("PROVIDER"),
        Column("DELIV/S", 8, is_number=True),
        Column("TRANSF/S", 8, is_number=True),
        Column("PERMF/S", 8, is_number=True, from_columns=50),
        Column("QUEUED", 7, is_number=True),
        Column("CONN", 5, is_number=True, from_columns=60),
    )
    if "history" in state.refused:
        return Listed("PROVIDERS", _not_known(state, "history"), columns)
    if not state.samples:
        return Listed("PROVIDERS", "asking" if state.answered_at is None else "no sample yet")
    low = wanted.casefold()
    found = [one for one in state.providers() if low in one.name.casefold()]
    rows = [
        (
            one.name,
            *(_rate(number) for number in (one.delivered, one.transfailed, one.failed)),
            format_count(one.queued),
            one.connections,
        )
        for one in found
    ]
    styles = [Style.WARN if one.transfailed > one.delivered else Style.PLAIN for one in found]
    summary = "the last minute" if rows else "none had mail in the last minute"
    return Listed("PROVIDERS", summary, columns, rows, styles)


def _rate(value: float) -> str:
    if value == 0:
        return "0"
    return f"{max(value, 0.01):.2f}" if value < 1 else f"{value:.1f}"


def _reasons(state: TopState, wanted: str) -> Listed:
    columns = (
        Column("REASON"),
        Column("PROVIDER", 18, from_columns=70),
        Column("COUNT", 6, is_number=True),
        Column("OUTCOME", 8, from_columns=40),
        Column("LAST", 8, from_columns=100),
    )
    if "history" in state.refused:
        return Listed("REASONS", _not_known(state, "history"), columns)
    if state.answered_at is None:
        return Listed("REASONS", "asking")
    found = match_text(state.reasons, wanted)
    rows = [
        (
            " ".join(str(part) for part in (one["code"], one["enhanced"], one["text"]) if part),
            one["provider"],
            format_count(one["count"]),
            "failed" if one["is_permanent"] else "deferred",
            str(one["last"])[11:19],
        )
        for one in found
    ]
    styles = [Style.BAD if one["is_permanent"] else Style.PLAIN for one in found]
    summary = "the last hour" if rows else "no failure in the last hour"
    return Listed("REASONS", summary, columns, rows, styles)


# -- decisions ------------------------------------------------------------------------------------


def _decisions(state: TopState, wanted: str) -> Listed:
    columns = (
        Column("WHAT", 14),
        Column("ON"),
        Column("WHY", from_columns=60),
        Column("BY", 10, from_columns=100),
        Column("ENDS IN", 7, is_number=True),
    )
    told = (state.decisions or {}).get("decisions", ())
    rows = [_decision_row(one, state.now_at) for one in told]
    for kind, word in _DIRECTIVES.items():
        for one in state.directives.get(kind, ()):
            # Those of a TSA are there twice, if the node lists decisions.
            if state.decisions is None or not str(one.get("author", "")).startswith(_BY_TSA):
                rows.append(_directive_row(word, one, state.now_at))
    low = wanted.casefold()
    rows = [row for row in rows if low in " ".join(map(str, row)).casefold()]
    return Listed("TSA", _automation(state), columns, rows, is_summed=True)


def _decision_row(one: Mapping[str, Any], now_at: float) -> Row:
    scope = dict(one.get("scope", {}))
    option = scope.pop("option", None)
    place = scope.pop("ready_queue", None) or " ".join(
        f"{name.removesuffix('_name')} {value}" for name, value in scope.items() if value
    )
    if option:
        place = f"{option}={one.get('value')} {place}"
    kind = _KINDS.get(one["kind"], one["kind"])
    reason = one.get("reason", "")
    if not one.get("in_force", True):
        reason = f"(not in force) {reason}"
    return kind, place, reason, one.get("rule", ""), _left(one["expires"], now_at)


def _directive_row(kind: str, one: Mapping[str, Any], now_at: float) -> Row:
    names = ("domain", "routing_domain", "tenant", "campaign")
    place = one.get("name") or " ".join(
        [f"{name} {one[name]}" for name in names if one.get(name)]
        + [", ".join(one.get("queue_names") or ())]
    )
    ends = _left(one.get("expires"), now_at)
    return kind, place.strip() or "everything", one["reason"], one["author"], ends


def _left(expires: Any, now_at: float) -> str:
    try:
        return format_age(datetime.fromisoformat(str(expires)).timestamp() - now_at)
    except ValueError:
        return ""


def _automation(state: TopState) -> str:
    """Return a line about the TSA, and about everything that holds or takes mail."""
    known = state.automation
    parts = []
    if known:
        parts.append(f"decisions {format_count(known.get('decisions', 0))}")
    for name in ("suspensions", "bounces"):
        count = state.count_of(name)
        if count is not None:
            parts.append(f"{name} {format_count(count)}")
    if known.get("overlay_of"):
        parts.append("options changed")
    parts.append(_followed(state))
    return ", ".join(parts)


def _followed(state: TopState) -> str:
    known = state.automation
    if "automation" in state.refused:
        return _not_known(state, "automation")
    if not known:
        return "asking"
    if not known.get("enabled"):
        return "no TSA is followed"
    if known.get("subscribed_to"):
        return f"follows {known['subscribed_to']}"
    return f"NO TSA ANSWERS: {known.get('trouble') or 'not connected'}"
