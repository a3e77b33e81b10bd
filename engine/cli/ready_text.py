"""A ready queue in words: its hosts, what limits it, its ceilings and its sessions.

Place in flow: ``engine.cli.ready`` asks the node, this makes text of the answer.

Invariants:
    * A plain function of the answer. The session that has not moved for longest stands first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.cli.instants import show_since
from engine.cli.table import format_age, format_fields, format_table, printable

#: The share of the watchdog's time after which a session looks stuck.
_STALL_SHARE = 0.75
_STATES = (
    ("suspended", "suspended"),
    ("connection_limited", "connection limit"),
    ("connection_rate_throttled", "connection rate"),
    ("message_rate_throttled", "message rate"),
)
_CEILINGS = (
    ("connections", "connections"),
    ("connection_rates", "new connections"),
    ("message_rates", "messages sent"),
    ("source_selection_rates", "source selection"),
    ("messages", "messages"),
)


def show_ready_queue(answer: Mapping[str, Any], now_at: float, columns: int | None) -> str:
    """Return what is known of a ready queue besides its sessions.

    Args:
        answer: The queue, as ``inspect-ready-q`` answers it.
        now_at: The present, seconds since the Unix epoch.
        columns: How wide the text may be; None for as wide as it is.
    """
    state = answer["state"]
    head = format_fields(
        [
            ("queue", answer["queue_name"]),
            ("egress pool", answer["egress_pool"]),
            ("egress source", answer["egress_source"]),
            ("protocol", answer["protocol"]),
            ("routing domain", answer["routing_domain"]),
            ("ready", f"{state['ready_count']} messages, {state['connection_count']} sessions"),
            ("stuck after", format_age(state["watchdog_threshold"])),
        ],
        columns,
    )
    parts = [head, *show_hosts(answer.get("mx"))]
    parts += ["\nWhat limits it:\n", *_states(state, now_at)]
    return "".join([*parts, *show_ceilings(answer["constraints"], columns)])


def show_hosts(mx: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the hosts of a site by their preference."""
    if mx is None:
        return
    if mx["is_null"]:
        yield f"\n{printable(mx['domain_name'])} takes no mail (null MX)\n"
        return
    yield f"\nHosts of {printable(mx['domain_name'])} (site {printable(mx['site_name'])}):\n"
    for pref, hosts in sorted(mx["by_pref"].items(), key=lambda item: int(item[0])):
        yield f"  {pref:>5}  {printable(' '.join(hosts))}\n"


def states_of(state: Mapping[str, Any], now_at: float) -> Iterator[tuple[str, str]]:
    """Yield what limits a ready queue: which kind of thing, and in words."""
    for field, word in _STATES:
        found = state.get(field)
        if not found:
            continue
        if isinstance(found, str):
            yield word, found
        else:
            yield word, f"{found['context']}, since {show_since(found['since'], now_at)}"


def _states(state: Mapping[str, Any], now_at: float) -> Iterator[str]:
    found = list(states_of(state, now_at))
    if not found:
        yield "  nothing\n"
    for word, text in found:
        yield f"  {word}: {printable(text)}\n"


def show_ceilings(constraints: Mapping[str, Any], columns: int | None) -> Iterator[str]:
    """Yield the ceilings of a path with the options that set them, of each kind the lowest first.

    Args:
        constraints: As the API has them.
        columns: How wide the text may be; None for as wide as it is.
    """
    rows = []
    for field, what in _CEILINGS:
        for one in constraints[field]:
            knob = one["knob"] if one.get("name") is None else f"{one['knob']}[{one['name']}]"
            rows.append((what, one["value"], knob))
    yield "\nCeilings:\n"
    table = format_table(("  OF", "VALUE", "SET BY"), rows, columns=_inner(columns))
    yield "".join(f"  {line}\n" for line in table.splitlines()).replace("    OF", "  OF  ", 1)


def show_sessions(answer: Mapping[str, Any], columns: int | None) -> str:
    """Return the sessions of a ready queue, the oldest first, with marks at those that hang."""
    sessions = answer["dispatchers"]
    if not sessions:
        return "\nNo session.\n"
    threshold_s = answer["state"]["watchdog_threshold"]
    lines = ["\nSessions:\n"]
    head = f"  {'SESSION':<36} {'DELIV':>7} {'TRANS':>6} {'FAIL':>6} {'AGE':>8} {'RATE':>8}\n"
    lines.append(head)
    for one in sorted(sessions, key=lambda one: -float(one["age"])):
        lines.append(
            f"  {one['session_id']:<36} {one['messages_delivered']:>7}"
            f" {one['messages_transfailed']:>6} {one['messages_failed']:>6}"
            f" {format_age(one['age']):>8} {one['overall_rate_per_sec']:>6.2f}/s\n"
        )
        in_phase_s = one["time_in_current_phase"]
        text = f"{one['phase']} for {format_age(in_phase_s)}"
        mark = mark_of(in_phase_s, threshold_s)
        if mark:
            text += f"  {mark}"
        lines.append(f"      {printable(text)}\n")
        if one.get("detail"):
            lines.append(f"      {printable(one['detail'])}\n")
    return "".join(lines)


def mark_of(in_phase_s: float, threshold_s: float) -> str:
    """Return the mark of a session that has not moved for so long, seconds; empty for none."""
    if in_phase_s >= threshold_s:
        return "STUCK"
    return "STALL?" if in_phase_s >= threshold_s * _STALL_SHARE else ""


def _inner(columns: int | None) -> int | None:
    return None if columns is None else max(20, columns - 2)
