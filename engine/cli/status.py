"""How a node is, on one screen: whether it takes mail, what it holds, what is switched off.

Place in flow: a verb over its liveness, its metrics and what is in force.

Invariants:
    * What cannot be had is said beside its name; it hides nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.cli.errors import NodeRefusedError
from engine.cli.instants import show_since
from engine.cli.node_port import LIVENESS_PATH
from engine.cli.samples import Sample, Samples, total
from engine.cli.verb import Session, verb

_MANUAL = """\
Show how the node is, on one screen: whether it takes mail, memory, mail, connections, disks, what
is suspended, automation, shared limits, a drain.

Exit status: 0 if the node takes mail, 1 if it does not or cannot be reached.
"""
#: What is asked for besides liveness and metrics, by the name it has in the answer.
_QUESTIONS = {
    "machine": "/api/machine-info",
    "queues": "/api/admin/queues/v1",
    "bounces": "/api/admin/bounce/v1",
    "suspensions": "/api/admin/suspend/v1",
    "ready_queue_suspensions": "/api/admin/suspend-ready-q/v1",
    "source_suspensions": "/api/admin/suspend-source/v1",
    "automation": "/api/admin/automation/v1",
    "shared_limits": "/api/admin/shared-limits/v1",
    "drain": "/api/admin/drain/v1",
}
_METRICS = (
    "memory_usage",
    "memory_limit",
    "memory_low_thresh",
    "process_cpu_usage_sum",
    "scheduled_count_total",
    "ready_count",
    "connection_count",
    "total_messages_received",
    "total_messages_delivered",
    "total_messages_transfail",
    "total_messages_fail",
    "disk_free_percent",
    "disk_free_bytes",
)
_LISTENERS = ("esmtp_listener", "http_listener")


@verb("status", _MANUAL)
async def status(session: Session) -> int:
    """Show how the node is, on one screen."""
    node = session.node
    found: dict[str, Any] = {}
    try:
        found["liveness"] = await node.call("GET", LIVENESS_PATH)
        is_live = True
    except NodeRefusedError as refused:
        if refused.status != 503:
            raise
        found["liveness"] = refused.message
        is_live = False
    for name, path in _QUESTIONS.items():
        query = {"limit": 0} if name == "queues" else {}
        try:
            found[name] = await node.call("GET", path, query=query)
        except NodeRefusedError as refused:
            found[name] = {"error": refused.message}
    samples = await node.read_metrics(_METRICS)
    if session.as_json:
        counts = {name: _plain(series) for name, series in samples.items()}
        await session.write_json({"is_live": is_live, **found, "metrics": counts})
    else:
        await session.write_fields(
            list(show_status(found, samples, session.clock.wall(), is_live=is_live))
        )
    return 0 if is_live else 1


def show_status(
    found: Mapping[str, Any], samples: Samples, now_at: float, *, is_live: bool
) -> Iterator[tuple[str, object]]:
    """Yield what is shown of a node: names and values.

    Args:
        found: Its answers, by their names here.
        samples: Its metrics.
        now_at: The present, seconds since the Unix epoch.
        is_live: Whether it takes mail.
    """
    words = str(found["liveness"]).partition(": ")[2] or found["liveness"]
    yield "takes mail", "yes" if is_live else f"NO: {words}"
    yield from _machine(found["machine"], now_at)
    yield "memory", _memory(samples)
    yield "CPU", f"{total(samples, 'process_cpu_usage_sum'):.0f} % of one core"
    yield from _disks(samples)
    queues = found["queues"]
    waiting = f"{total(samples, 'scheduled_count_total'):,.0f} messages"
    ready = f"{_of_kinds(samples, 'ready_count'):,.0f} messages"
    if "error" not in queues:
        waiting += f" in {queues['scheduled_total']:,} queues"
        ready += f" in {queues['ready_total']:,} queues"
    yield "scheduled", waiting
    yield "ready", ready
    yield "connections", _connections(samples)
    counted = [f"{_of_kinds(samples, 'total_messages_received'):,.0f} received"]
    for name, word in (
        ("total_messages_delivered", "delivered"),
        ("total_messages_transfail", "deferred"),
        ("total_messages_fail", "failed"),
    ):
        counted.append(f"{_of_kinds(samples, name):,.0f} {word}")
    yield "since its start", ", ".join(counted)
    yield "in force", _in_force(found)
    yield "automation", _automation(found["automation"])
    yield "shared limits", _shared_limits(found["shared_limits"])
    yield "drain", _drain(found["drain"])


def _machine(machine: Mapping[str, Any], now_at: float) -> Iterator[tuple[str, object]]:
    if "error" in machine:
        yield "node", machine["error"]
        return
    yield "node", f"{machine['hostname']} ({machine['node_id']})"
    yield "version", machine["version"]
    yield "up since", show_since(machine["online_since"], now_at)


def _memory(samples: Samples) -> str:
    usage, limit = total(samples, "memory_usage"), total(samples, "memory_limit")
    text = _octets(usage)
    if limit:
        text += f" of {_octets(limit)}"
    low = total(samples, "memory_low_thresh")
    return f"{text}, LOW" if low and usage >= low else text


def _disks(samples: Samples) -> Iterator[tuple[str, object]]:
    free = {one.labels.get("name", ""): one.value for one in samples["disk_free_bytes"]}
    for sample in samples["disk_free_percent"]:
        name = sample.labels.get("name", "")
        text = f"{sample.value:.0f} % free"
        if name in free:
            text += f" ({_octets(free[name])})"
        yield f"disk of {name}", text


def _connections(samples: Samples) -> str:
    incoming = sum(total(samples, "connection_count", service=name) for name in _LISTENERS)
    return f"{incoming:,.0f} in, {_of_kinds(samples, 'connection_count') - incoming:,.0f} out"


def _of_kinds(samples: Samples, name: str) -> float:
    """Return a sum over kinds of service, leaving out the series of each queue of them."""
    return sum(one.value for one in samples[name] if ":" not in one.labels.get("service", ""))


def _in_force(found: Mapping[str, Any]) -> str:
    parts = []
    for name, word in (
        ("suspensions", "suspensions of scheduled queues"),
        ("ready_queue_suspensions", "of ready queues"),
        ("source_suspensions", "of sources"),
        ("bounces", "bounces"),
    ):
        answer = found[name]
        if isinstance(answer, list):
            parts.append(f"{len(answer)} {word}")
        else:
            parts.append(f"{word}: {answer['error']}")
    return ", ".join(parts)


def _automation(answer: Mapping[str, Any]) -> str:
    if "error" in answer:
        return str(answer["error"])
    text = "on" if answer["enabled"] else "off"
    if answer.get("subscribed_to"):
        text += f", subscribed to {answer['subscribed_to']}"
    text += f", {answer['decisions']} decisions"
    return f"{text}; TROUBLE: {answer['trouble']}" if answer.get("trouble") else text


def _shared_limits(answer: Mapping[str, Any]) -> str:
    if "error" in answer:
        return str(answer["error"])
    if not answer["configured"]:
        return "not configured"
    if answer["shared"]:
        return f"shared by {answer['nodes']} nodes"
    return f"ALONE with its share of {answer['nodes']} nodes: {answer['trouble']}"


def _drain(answer: Mapping[str, Any]) -> str:
    if "error" in answer:
        return str(answer["error"])
    if not answer["draining"]:
        return "none"
    return f"to {answer['target']} (by {answer['author']}), {answer['left']:,} messages left"


def _octets(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _plain(series: list[Sample]) -> Any:
    if len(series) == 1 and not series[0].labels:
        return series[0].value
    # Queues have a verb of their own.
    return [
        {**one.labels, "value": one.value}
        for one in series
        if ":" not in one.labels.get("service", "")
    ]


VERBS = (status,)
