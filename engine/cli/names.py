"""Names that a node knows, for whoever presses the tabulator: queues, tenants, sources, ids.

Place in flow: options of verbs complete with it, on the command line and in the console.

Invariant: a name with a control character or the end of a line in it is not offered: shells read
lines, and show them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from engine.cli.table import printable
from engine.cli.verb import ask_for_completion
from engine.model.queue_name import parse_queue_name

#: How many are offered.
NAMES_MAX = 50
_QUEUES = "/api/admin/queues/v1"
_MESSAGES = "/api/admin/messages/v1"
#: Port of click: names that a parameter may take.
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _is_offered(name: str, part: str) -> bool:
    return name.startswith(part) and name.isprintable()


def _offer(names: Iterable[str | None], part: str) -> list[CompletionItem]:
    fitting = sorted({name for name in names if name and _is_offered(name, part)})
    return [CompletionItem(name) for name in fitting[:NAMES_MAX]]


def _scheduled(ctx: click.Context, part: str) -> list[str]:
    query = {"name": part or None, "limit": 1000, "has_empty": True}
    answer = ask_for_completion(ctx, _QUEUES, query) or {}
    return [one["queue_name"] for one in answer.get("scheduled", ())]


def complete_queue(ctx: click.Context, _param: click.Parameter, part: str) -> list[CompletionItem]:
    """Return scheduled queues whose names begin so."""
    return _offer(_scheduled(ctx, part), part)


def complete_ready_queue(
    ctx: click.Context, _param: click.Parameter, part: str
) -> list[CompletionItem]:
    """Return ready queues whose names begin so."""
    query = {"name": part or None, "limit": 1000, "has_empty": True}
    answer = ask_for_completion(ctx, _QUEUES, query) or {}
    return _offer((one["queue_name"] for one in answer.get("ready", ())), part)


def complete_source(ctx: click.Context, _param: click.Parameter, part: str) -> list[CompletionItem]:
    """Return egress sources of ready queues."""
    answer = ask_for_completion(ctx, _QUEUES, {"limit": 1000, "has_empty": True}) or {}
    return _offer((one["source"] for one in answer.get("ready", ())), part)


def complete_message(
    ctx: click.Context, _param: click.Parameter, part: str
) -> list[CompletionItem]:
    """Return spool ids that begin so, of the first messages that there are."""
    answer = ask_for_completion(ctx, _MESSAGES, {"limit": 1000, "timeout": 0.5}) or {}
    listed: list[dict[str, Any]] = answer.get("messages", [])
    return [
        CompletionItem(one["id"], help=printable(f"{one['state']} {one['queue_name']}"))
        for one in sorted(listed, key=lambda one: str(one["id"]))
        if _is_offered(one["id"], part)
    ][:NAMES_MAX]


def complete_part(field: str) -> Complete:
    """Return what completes a part of queue names, such as ``tenant``."""

    def complete(ctx: click.Context, _param: click.Parameter, part: str) -> list[CompletionItem]:
        parsed = (parse_queue_name(name) for name in _scheduled(ctx, part))
        return _offer((getattr(one, field) for one in parsed), part)

    return complete


def complete_id(path: str) -> Complete:
    """Return what completes the ids of directives.

    Args:
        path: Where they are listed.
    """

    def complete(ctx: click.Context, _param: click.Parameter, part: str) -> list[CompletionItem]:
        listed: list[dict[str, Any]] = ask_for_completion(ctx, path, {}) or []
        return [
            CompletionItem(one["id"], help=printable(one.get("reason", "")))
            for one in listed[:NAMES_MAX]
            if _is_offered(one["id"], part)
        ]

    return complete
