"""One way out for the domains that share hosts. All of it waits for DNS."""

from collections.abc import Mapping
from typing import Any

from mta import Message

async def reroute_using_ip_rollup(msg: Message, suffixes: Mapping[str, str]) -> None:
    """Set routing_domain by the name of the domain's best hosts, to a NAME.ip_rollup."""

async def reroute_based_on_mx_host_suffix(msg: Message, suffixes: Mapping[str, str]) -> None:
    """Set routing_domain by the name of all hosts of the domain."""

async def apply_ip_rollup_to_queue_config(
    domain: str, routing_domain: str | None, params: dict[str, Any]
) -> dict[str, Any]:
    """Have a queue that was rolled up deliver to the addresses of its best hosts.

    params are options of mta.make_queue_config; they are changed, and returned.
    """
