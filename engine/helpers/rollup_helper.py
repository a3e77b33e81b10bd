"""``helpers.rollup``: one way out for the domains that share hosts.

Place in flow: scripts await these in ``message_received`` and ``get_queue_config``.

Invariants:
    * Names of hosts and suffixes are compared without case and final dot; of several suffixes that
      fit, the longest counts.
    * What DNS cannot say is logged, and the message stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from engine.model.address import domain_of
from engine.model.errors import EngineError
from engine.route.dns_resolver import DnsResolver
from engine.script_views import MessageView
from policy.script_api import ScriptNamespace

log = logging.getLogger("cirrus.script")

NAME = "rollup"
IP_ROLLUP = ".ip_rollup"
#: Hosts that are looked at, and suffixes that are compared, at most.
HOSTS_MAX = 32
SUFFIXES_MAX = 10_000


class Rollup:
    """``helpers.rollup`` of a node.

    Args:
        resolver: Port: the resolver of the node as it is now.
    """

    def __init__(self, resolver: Callable[[], DnsResolver]) -> None:
        self._resolver = resolver

    async def reroute_using_ip_rollup(self, msg: MessageView, suffixes: Mapping[str, str]) -> None:
        """Route a message by the name of its domain's best hosts.

        Args:
            msg: The message; its first recipient counts.
            suffixes: A name that ends in .ip_rollup for each suffix of hosts.
        """
        table = _table(suffixes)
        for name in table.values():
            if not name.endswith(IP_ROLLUP):
                raise ValueError(f"{name[:100]!r} does not end in {IP_ROLLUP}")
        hosts = await self._hosts(_domain(msg))
        if hosts is not None:
            best = [name for preference, name in hosts if preference == hosts[0][0]]
            msg.set_meta("routing_domain", _common(best, table))

    async def reroute_based_on_mx_host_suffix(
        self, msg: MessageView, suffixes: Mapping[str, str]
    ) -> None:
        """Route a message by the name of all hosts of its domain.

        Args:
            msg: The message; its first recipient counts.
            suffixes: A routing domain for each suffix of hosts.
        """
        table = _table(suffixes)
        domain = _domain(msg)
        hosts = await self._hosts(domain)
        found = _common([name for _, name in hosts], table) if hosts else None
        if found is not None and found != domain:
            msg.set_meta("routing_domain", found)

    async def apply_ip_rollup_to_queue_config(
        self, domain: str, routing_domain: str | None, params: dict[str, Any]
    ) -> dict[str, Any]:
        """Have a queue that was rolled up deliver to the addresses of its best hosts.

        Domains whose hosts have the same addresses share a ready queue.

        Args:
            domain: Of the queue.
            routing_domain: Of the queue; where it does not end in .ip_rollup nothing changes.
            params: Options of mta.make_queue_config; changed, and returned.
        """
        if not isinstance(params, dict):
            raise TypeError("params: a dict is expected")
        if not isinstance(routing_domain, str) or not routing_domain.endswith(IP_ROLLUP):
            return params
        hosts = await self._resolver().resolve_mx(domain)
        best = [one for one in hosts.hosts if one[0] == hosts.hosts[0][0]][:HOSTS_MAX]
        found: set[str] = set()
        for _, name in best:
            found.update(await self._resolver().resolve_addresses(name))
        if not found:
            raise ValueError(f"the hosts of {domain} have no address")
        # Named by their addresses: host names that differ would keep the queues apart.
        params["protocol"] = {"smtp": {"mx_list": [f"[{address}]" for address in sorted(found)]}}
        return params

    async def _hosts(self, domain: str) -> tuple[tuple[int, str], ...] | None:
        """Return preference and name of the hosts, best first; None where nobody could say."""
        try:
            answer = await self._resolver().resolve_mx(domain)
        except EngineError as error:
            log.warning("rollup: the hosts of %s are not known: %s", domain, error)
            return None
        hosts = answer.hosts[:HOSTS_MAX]
        return tuple((preference, _bare(name)) for preference, name in hosts) or None

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make it importable by scripts."""
        for function in (
            self.reroute_using_ip_rollup,
            self.reroute_based_on_mx_host_suffix,
            self.apply_ip_rollup_to_queue_config,
        ):
            namespace.expose(function.__name__, function, module=f"helpers.{NAME}", waits=True)


def _domain(msg: MessageView) -> str:
    if not isinstance(msg, MessageView):
        raise TypeError("wants the message of the event")
    recipients = msg._message.recipients
    if not recipients:
        raise ValueError("the message has no recipient")
    return domain_of(recipients[0])


def _bare(name: str) -> str:
    return name.lower().removesuffix(".")


def _table(suffixes: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(suffixes, Mapping) or len(suffixes) > SUFFIXES_MAX:
        raise TypeError(f"a table of at most {SUFFIXES_MAX} suffixes is expected")
    table: dict[str, str] = {}
    for suffix, target in suffixes.items():
        if not isinstance(suffix, str) or not isinstance(target, str) or not suffix or not target:
            raise TypeError("a table from suffixes to names is expected")
        table[_bare(suffix)] = target
    return dict(sorted(table.items(), key=lambda item: -len(item[0])))


def _common(hosts: list[str], table: Mapping[str, str]) -> str | None:
    """Return what the longest suffix that all hosts end in stands for, or None."""
    for suffix, target in table.items():
        if hosts and all(host.endswith(suffix) for host in hosts):
            return target
    return None
