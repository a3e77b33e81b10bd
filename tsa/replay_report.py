"""What a replay found, as tables for people and as documents for programs.

Place in flow: ``tsa.dry_run`` prints what is made here of the episodes of ``tsa.replay``.

Invariants:
    * Times are in UTC; those of decisions in the record's own time.
    * What records and rule files hold is shown as plain text: no markup, no control characters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from engine.model.decision import Decision, DecisionKind, format_instant
from tsa.log_source import LogTally
from tsa.publication import describe
from tsa.replay import Change, Episode, describe_subject

#: Values of an adjusted option that a table shows; the rest is counted.
VALUES_SHOWN = 6
#: How each kind of decision is called in tables.
VERBS = {
    DecisionKind.SUSPEND_READY: "suspend",
    DecisionKind.SUSPEND_SCHEDULED: "suspend",
    DecisionKind.BOUNCE: "bounce",
    DecisionKind.OVERRIDE: "set",
    DecisionKind.WARMUP_HOLD: "hold warm-up",
}


def plain(text: str, *, style: str = "") -> Text:
    """Return a text with everything a terminal might obey replaced."""
    shown = "".join(mark if mark.isprintable() else "\ufffd" for mark in text)
    return Text(shown, style=style)


def shown_time(instant_at: float) -> str:
    """Return a time as tables show it."""
    return format_instant(instant_at).replace("T", " ").removesuffix("Z")


def shown_value(value: Any) -> str:
    """Return a value as operators write it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def shown_rule(decision: Decision) -> str:
    """Return where a rule stands, and what it looks for."""
    what = decision.reason.removeprefix("automation rule: ")
    return f"{decision.place}: {what}"


def _verb(decision: Decision) -> str:
    return VERBS.get(decision.kind, decision.kind.value)


# -- documents ----------------------------------------------------------------------------------


def episode_document(episode: Episode) -> dict[str, Any]:
    """Return a decision as JSON has it: as ``/decisions`` shows it, with when it was made."""
    made = describe(episode.decision)
    made["begins"] = format_instant(episode.begins_at)
    if episode.changes:
        made["values"] = [
            {"time": format_instant(instant_at), "value": value}
            for instant_at, value in episode.changes
        ]
    return made


def tally_document(tally: LogTally, looked_at: int) -> dict[str, Any]:
    """Return what was read as JSON has it."""
    return {
        "files": tally.files,
        "records": tally.records,
        "looked_at": looked_at,
        "bad_lines": tally.bad_lines,
        "first": format_instant(tally.first_at) if tally.first_at is not None else None,
        "last": format_instant(tally.last_at) if tally.last_at is not None else None,
        "problems": tally.problems,
    }


def changes_document(changes: Sequence[Change]) -> dict[str, Any]:
    """Return what a change of rules changes as JSON has it."""
    document: dict[str, Any] = {"only_before": [], "only_after": [], "different": []}
    for one in changes:
        if one.before is None and one.after is not None:
            document["only_after"].append(episode_document(one.after))
        elif one.before is not None and one.after is None:
            document["only_before"].append(episode_document(one.before))
        elif one.before is not None and one.after is not None:
            document["different"].append(
                {
                    "differences": list(one.differences),
                    "before": episode_document(one.before),
                    "after": episode_document(one.after),
                }
            )
    return document


# -- tables -------------------------------------------------------------------------------------


def episodes_table(episodes: Iterable[Episode]) -> Table:
    """Return decisions as a table."""
    table = Table(title="What would have been decided (UTC)", title_justify="left")
    for name in ("from", "until"):
        table.add_column(name, min_width=10)
    table.add_column("do")
    table.add_column("on", overflow="fold")
    table.add_column("value", overflow="fold")
    table.add_column("records", justify="right")
    table.add_column("why", overflow="fold")
    for one in episodes:
        table.add_row(
            shown_time(one.begins_at),
            shown_time(one.ends_at),
            _verb(one.decision),
            plain(describe_subject(one.decision)),
            plain(_shown_changes(one)),
            str(one.decision.count),
            plain(shown_rule(one.decision)),
        )
    return table


def _shown_changes(episode: Episode) -> str:
    values = [shown_value(value) for _, value in episode.changes]
    if len(values) > VALUES_SHOWN:
        hidden = len(values) - VALUES_SHOWN
        values = [*values[: VALUES_SHOWN - 1], f"({hidden} more)", values[-1]]
    return " > ".join(values)


def changes_table(changes: Iterable[Change]) -> Table:
    """Return what a change of rules changes as a table."""
    table = Table(title="What the change of rules changes (UTC)", title_justify="left")
    table.add_column("change")
    table.add_column("from", min_width=10)
    table.add_column("do")
    table.add_column("on", overflow="fold")
    table.add_column("how", overflow="fold")
    table.add_column("why", overflow="fold")
    for one in changes:
        episode = one.after or one.before
        assert episode is not None
        if one.before is None:
            name, style, how = "new", "green", _shown_alone(episode)
        elif one.after is None:
            name, style, how = "gone", "red", _shown_alone(episode)
        else:
            name, style = "differs", "yellow"
            how = _shown_differences(one.before, one.after, one.differences)
        table.add_row(
            plain(name, style=style),
            shown_time(episode.begins_at),
            _verb(episode.decision),
            plain(describe_subject(episode.decision)),
            plain(how),
            plain(shown_rule(episode.decision)),
        )
    return table


def _shown_alone(episode: Episode) -> str:
    value = _shown_changes(episode)
    return f"{value + '; ' if value else ''}until {shown_time(episode.ends_at)}"


def _shown_differences(before: Episode, after: Episode, names: Iterable[str]) -> str:
    shown: dict[str, Callable[[Episode], str]] = {
        "begins": lambda one: shown_time(one.begins_at),
        "expires": lambda one: shown_time(one.ends_at),
        "value": _shown_changes,
        "count": lambda one: str(one.decision.count),
    }
    return "; ".join(f"{name}: {shown[name](before)} -> {shown[name](after)}" for name in names)
