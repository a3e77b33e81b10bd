"""Site names: one canonical name for the set of MX hosts that serves many domains.

Place in flow: ``engine.route.mx_plan`` names a route; ready queues and shaping rules are keyed
by it.

Known limits: the name is lossy (two host sets can share one), and a change of preferences can
rename a site. It groups domains; nothing is parsed back from it.
"""

from __future__ import annotations

from collections.abc import Sequence


def site_name(hosts: Sequence[tuple[int, str]]) -> str:
    """Return the name of a host set, such as ``(alt1|alt2)?.mx.example``.

    Args:
        hosts: Preference and name of each MX host, in any order.
    """
    names = [name.lower().removesuffix(".") for name in _sorted_names(hosts)]
    reversed_labels = [name.split(".")[::-1] for name in names]
    depth = max((len(labels) for labels in reversed_labels), default=0)
    parts = [_label_at(reversed_labels, position) for position in range(depth)]
    return ".".join(reversed(parts))


def _sorted_names(hosts: Sequence[tuple[int, str]]) -> list[str]:
    return [name for _, name in sorted((pref, name.lower()) for pref, name in hosts)]


def _label_at(hosts: list[list[str]], position: int) -> str:
    """Return what stands at one position, counted from the right, over all hosts."""
    present = [labels[position] for labels in hosts if len(labels) > position]
    distinct = list(dict.fromkeys(present))
    label = distinct[0] if len(distinct) == 1 else f"({'|'.join(distinct)})"
    return label if len(present) == len(hosts) else f"{label}?"


def ready_queue_name(source: str, site: str, protocol_label: str = "smtp_client") -> str:
    """Return the name of the ready queue of a source, a site and a protocol.

    The name is for people and for keys; the parts travel in fields of their own.
    """
    return f"{source}->{site}@{protocol_label}"
