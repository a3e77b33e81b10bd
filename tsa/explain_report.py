"""An explained path, as a table for people and as a document for programs.

Place in flow: ``tsa.dry_run`` prints what is made here of what ``tsa.explain`` found.

Invariants:
    * What files and decisions hold is shown as plain text: no markup, no control characters.
"""

from __future__ import annotations

from typing import Any

import msgspec
from rich.table import Table

from engine.model.decision import format_instant
from tsa.explain import Explanation
from tsa.replay import describe_subject
from tsa.replay_report import VERBS, plain, shown_value


def document(found: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON has it."""
    subject = found.subject
    return {
        "domain": subject.domain,
        "source": subject.source,
        "site_name": subject.site or None,
        "mx_hosts": list(subject.mx_hosts) if subject.mx_hosts is not None else None,
        "providers": found.providers,
        "on": subject.on.isoformat(),
        "options": [
            {
                "name": line.name,
                "value": line.value,
                "origin": line.origin,
                "section": line.section,
                "expires": format_instant(line.decision.expires_at) if line.decision else None,
                "reason": line.decision.reason if line.decision else None,
            }
            for line in found.lines
        ],
        "warmups": found.warmups,
        "holding": [
            {
                "kind": one.kind.value,
                "scope": msgspec.to_builtins(one.scope),
                "place": one.place,
                "reason": one.reason,
                "expires": format_instant(one.expires_at),
            }
            for one in found.holding
        ],
    }


def heading(found: Explanation) -> list[str]:
    """Return what is said before the table."""
    subject = found.subject
    hosts = "not looked up" if subject.mx_hosts is None else ", ".join(subject.mx_hosts) or "none"
    lines = [
        f"domain     {subject.domain}",
        f"source     {subject.source}",
        f"site       {subject.site or 'not known'}",
        f"MX hosts   {hosts}",
        f"providers  {', '.join(found.providers) or 'none'}",
    ]
    return [*lines, *(f"warm-up    {one}" for one in found.warmups)]


def options_table(found: Explanation) -> Table:
    """Return the options as a table."""
    table = Table(title="Options of the egress path", title_justify="left")
    table.add_column("option", overflow="fold")
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    table.add_column("section", overflow="fold")
    for line in found.lines:
        section = line.section
        if line.decision is not None:
            until = format_instant(line.decision.expires_at)
            section = f"{line.decision.reason}; until {until}"
        table.add_row(
            plain(line.name), plain(shown_value(line.value)), plain(line.origin), plain(section)
        )
    return table


def holding_lines(found: Explanation) -> list[str]:
    """Return a line for each decision that holds or bounces such mail."""
    return [
        f"{VERBS[one.kind]} {describe_subject(one)} until {format_instant(one.expires_at)}: "
        f"{one.reason} ({one.place})"
        for one in found.holding
    ]
