"""Queues and providers in sums: what was delivered, deferred, is open and waits.

Place in flow: verbs over the metrics of a node, with what its administration knows of limits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import click

from engine.cli.errors import NodeRefusedError
from engine.cli.names import complete_part
from engine.cli.ready_text import states_of
from engine.cli.samples import Samples
from engine.cli.verb import Session, verb
from engine.model.queue_name import parse_queue_name

_READY_METRICS = {
    "D": "total_messages_delivered",
    "T": "total_messages_transfail",
    "C": "connection_count",
    "Q": "ready_count",
}
_PROVIDER_METRICS = {
    "D": "total_messages_delivered_by_provider",
    "T": "total_messages_transfail_by_provider",
    "F": "total_messages_fail_by_provider",
    "C": "connection_count_by_provider",
    "Q": "queued_count_by_provider",
}
_POOL_METRICS = {
    "D": "total_messages_delivered_by_provider_and_source",
    "T": "total_messages_transfail_by_provider_and_source",
    "F": "total_messages_fail_by_provider_and_source",
    "C": "connection_count_by_provider_and_pool",
    "Q": "queued_count_by_provider_and_pool",
}
_FIELDS = ("campaign", "tenant", "domain", "routing_domain")
#: Ready queues that are asked for the domains of a provider.
_DOMAINS_FROM = 10_000
_DIGITS = re.compile(r"(\d+)")
_QUEUES_MANUAL = """\
Sum up all queues that do something: ready queues, then scheduled queues, each with what holds it.

D counts messages delivered, T transient failures, C open connections, Q messages in the ready
queue. D and T begin anew when a ready queue is let go for lack of mail.

With --domain: the ready queues of the site of that domain, and its scheduled queues.

\b
Examples:
  cirrus queue-summary --by-volume --limit 20
  cirrus queue-summary --domain big.example
"""
_PROVIDERS_MANUAL = """\
Sum up providers, the busiest first.

D counts messages delivered, T transient and F permanent failures, C open connections, Q messages
that wait. A domain without a provider counts by its site.

\b
Examples:
  cirrus provider-summary --limit 20
  cirrus provider-summary --by-pool
"""


class ReadyRow(NamedTuple):
    """A ready queue in sums.

    Attributes:
        name: Its name.
        counts: By the letters of their columns.
    """

    name: str
    counts: Counter[str]


@verb("queue-summary", _QUEUES_MANUAL)
@click.option("--limit", type=click.IntRange(min=0), help="How many of each kind; all by default.")
@click.option("--by-volume", is_flag=True, help="The fullest first, not by name.")
@click.option("--domain", help="Those of this domain.", shell_complete=complete_part("domain"))
async def queue_summary(
    session: Session, *, limit: int | None, by_volume: bool, domain: str | None
) -> None:
    """Sum up queues, with what holds them."""
    node = session.node
    samples = await node.read_metrics([*_READY_METRICS.values(), "scheduled_count"])
    ready, scheduled = read_ready(samples), _read_scheduled(samples)
    if domain is not None:
        site = await _site_of(session, domain)
        ready = [one for one in ready if parse_way(one.name)[1] == site]
        scheduled = {
            name: count for name, count in scheduled.items() if _is_of_domain(name, domain)
        }
    order = _by_volume if by_volume else _by_name
    chosen = sorted(ready, key=lambda one: order(one.name, one.counts["Q"]))[:limit]
    waiting = sorted(scheduled.items(), key=lambda item: order(*item))[:limit]
    states = await node.call("GET", "/api/admin/ready-q-states/v1", query={})
    directives = [
        (word, one)
        for word, path in (("bounced", "bounce"), ("suspended", "suspend"))
        for one in await node.call("GET", f"/api/admin/{path}/v1")
    ]
    now_at = session.clock.wall()
    known = states["states_by_ready_queue"]
    ways = [(one, status_of_ready(known.get(one.name, {}), now_at)) for one in chosen]
    queues = [(name, count, status_of_scheduled(name, directives)) for name, count in waiting]
    if session.as_json:
        await session.write_json(_as_values(ways, queues))
        return
    await _write_summary(session, ways, queues)


def _as_values(
    ways: Iterable[tuple[ReadyRow, str]], queues: Iterable[tuple[str, int, str]]
) -> dict[str, Any]:
    return {
        "ready": [
            {
                "queue_name": one.name,
                "delivered": one.counts["D"],
                "transfailed": one.counts["T"],
                "connections": one.counts["C"],
                "count": one.counts["Q"],
                "status": status,
            }
            for one, status in ways
        ],
        "scheduled": [
            {"queue_name": name, "count": count, "status": status} for name, count, status in queues
        ],
    }


async def _write_summary(
    session: Session,
    ways: list[tuple[ReadyRow, str]],
    queues: list[tuple[str, int, str]],
) -> None:
    if ways:
        rows = []
        for one, status in ways:
            source, site, protocol = parse_way(one.name)
            rows.append((site, source, protocol, *(one.counts[n] for n in "DTCQ"), status))
        headers = ("SITE", "SOURCE", "PROTO", "D", "T", "C", "Q", "STATUS")
        await session.write_table(headers, rows, right=("D", "T", "C", "Q"))
    if queues:
        if ways:
            await session.write("\n")
        await session.write_table(("SCHEDULED QUEUE", "COUNT", "STATUS"), queues, right=("COUNT",))
    if not ways and not queues:
        await session.note("no queue has mail")


def read_ready(samples: Samples) -> list[ReadyRow]:
    """Return the ready queues that metrics tell of."""
    found: dict[str, Counter[str]] = {}
    for letter, metric in _READY_METRICS.items():
        for sample in samples.get(metric, ()):
            _, colon, name = sample.labels.get("service", "").partition(":")
            if colon and "->" in name:
                found.setdefault(name, Counter())[letter] += int(sample.value)
    return [ReadyRow(name, counts) for name, counts in found.items()]


def _read_scheduled(samples: Samples) -> dict[str, int]:
    return {
        one.labels.get("queue", ""): int(one.value) for one in samples.get("scheduled_count", ())
    }


def parse_way(name: str) -> tuple[str, str, str]:
    """Return source, site and protocol of a ready queue's name."""
    source, _, rest = name.partition("->")
    site, _, protocol = rest.partition("@")
    return source, site, protocol


async def _site_of(session: Session, domain: str) -> str | None:
    """Return the site of a domain; None where the node cannot say."""
    query = {"domain": domain}
    try:
        way = await session.node.call("GET", "/api/admin/resolve-egress-path/v1", query=query)
    except NodeRefusedError as refused:
        await session.note(f"the site of {domain} is not known: {refused.message}")
        return None
    mx = way.get("mx")
    return parse_way(way["queue_name"])[1] if mx is None else str(mx["site_name"])


def _is_of_domain(name: str, domain: str) -> bool:
    parsed = parse_queue_name(name)
    return domain in (parsed.domain, parsed.routing_domain)


def status_of_ready(state: Mapping[str, Any], now_at: float) -> str:
    """Return what limits a ready queue, in a line."""
    return "; ".join(f"{word}: {text}" for word, text in states_of(state, now_at))


def status_of_scheduled(name: str, directives: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Return what is ordered for a scheduled queue, in a line.

    Args:
        name: The queue.
        directives: What is in force: a word for it, and it.
    """
    return "; ".join(
        f"{word}: {one['reason']} (by {one['author']})"
        for word, one in directives
        if covers(one, name)
    )


def covers(directive: Mapping[str, Any], name: str) -> bool:
    """Return whether a bounce or suspension is about a scheduled queue."""
    names = directive.get("queue_names")
    if names and name not in names:
        return False
    parsed = parse_queue_name(name)
    return all(
        directive.get(field) is None or directive[field] == getattr(parsed, field)
        for field in _FIELDS
    )


# -- providers --------------------------------------------------------------------------------


@verb("provider-summary", _PROVIDERS_MANUAL)
@click.option("--by-pool", is_flag=True, help="Each egress pool of a provider by itself.")
@click.option("--show-domains", is_flag=True, help="Name the domains that are sent to now.")
@click.option("--limit", type=click.IntRange(min=0), help="How many; all by default.")
async def provider_summary(
    session: Session, *, by_pool: bool, show_domains: bool, limit: int | None
) -> None:
    """Sum up providers, the busiest first."""
    metrics = _POOL_METRICS if by_pool else _PROVIDER_METRICS
    samples = await session.node.read_metrics(list(metrics.values()))
    rows = read_providers(samples, metrics)[:limit]
    domains = await _domains(session) if show_domains else {}
    if session.as_json:
        await session.write_json(
            [_provider_value(key, counts, domains, show_domains) for key, counts in rows]
        )
        return
    if not rows:
        await session.note("no provider was sent to yet")
        return
    headers = ["PROVIDER", *(["POOL"] if by_pool else []), *metrics]
    table = []
    for (provider, pool), counts in rows:
        cells: list[object] = [provider, *([pool] if by_pool else [])]
        cells += [counts[letter] for letter in metrics]
        if show_domains:
            cells.append(" ".join(sorted(domains.get(provider, ()))))
        table.append(cells)
    if show_domains:
        headers.append("DOMAINS")
    await session.write_table(headers, table, right=tuple(metrics))


def read_providers(
    samples: Samples, metrics: Mapping[str, str]
) -> list[tuple[tuple[str, str], Counter[str]]]:
    """Return providers and pools with their counts, the busiest first.

    Args:
        samples: The series.
        metrics: Names of metrics by the letters of their columns.
    """
    found: dict[tuple[str, str], Counter[str]] = {}
    for letter, metric in metrics.items():
        for sample in samples.get(metric, ()):
            key = sample.labels.get("provider", ""), sample.labels.get("pool", "")
            found.setdefault(key, Counter())[letter] += int(sample.value)

    def busy(item: tuple[tuple[str, str], Counter[str]]) -> tuple[object, ...]:
        key, counts = item
        return -sum(counts[letter] for letter in "DTFQ"), natural(key[0]), natural(key[1])

    return sorted(found.items(), key=busy)


async def _domains(session: Session) -> dict[str, set[str]]:
    """Return the domains of ready queues by their provider."""
    query = {"limit": _DOMAINS_FROM, "has_empty": True}
    answer = await session.node.call("GET", "/api/admin/queues/v1", query=query)
    found: dict[str, set[str]] = {}
    for one in answer["ready"]:
        provider = one.get("provider") or one["site_name"]
        if one.get("routing_domain"):
            found.setdefault(provider, set()).add(one["routing_domain"])
    return found


def _provider_value(
    key: tuple[str, str],
    counts: Counter[str],
    domains: Mapping[str, set[str]],
    show_domains: bool,
) -> dict[str, Any]:
    value: dict[str, Any] = {"provider": key[0]}
    if key[1]:
        value["pool"] = key[1]
    for letter, name in (
        ("D", "delivered"),
        ("T", "transfailed"),
        ("F", "failed"),
        ("C", "connections"),
        ("Q", "count"),
    ):
        value[name] = counts[letter]
    if show_domains:
        value["domains"] = sorted(domains.get(key[0], ()))
    return value


# -- order ------------------------------------------------------------------------------------


def natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Return what sorts names as people count: ``ip-2`` before ``ip-10``."""
    return tuple(
        (part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in _DIGITS.split(name)
        if part
    )


def _by_name(name: str, _count: float) -> tuple[Any, ...]:
    return natural(name)


def _by_volume(name: str, count: float) -> tuple[Any, ...]:
    return (-count, natural(name))


VERBS = (queue_summary, provider_summary)
