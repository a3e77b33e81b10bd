"""Ways out, as the policy says now: the site of a domain, and what its egress path allows.

Place in flow: an operation of ``engine.admin.operation``; asks the handlers of the policy.

Invariants:
    * Nothing is made: to ask for a way opens no queue.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.constraints import Constraints, constraints_of
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.operation import Operation
from engine.model import egress, queue_config
from engine.model.caller import Caller
from engine.model.egress import UNSPECIFIED
from engine.model.errors import ConfigurationError
from engine.model.queue_config import NullProtocol, QueueConfig, make_queue_config
from engine.model.queue_name import parse_queue_name
from engine.model.site_name import ready_queue_name
from engine.route.mx_plan import Route
from engine.script_refusals import SmtpRefusal
from policy.errors import HookFailedError


class ResolvePathRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """From which source to which domain, or queue name.

    Attributes:
        domain: A domain, or the name of a scheduled queue.
        source: An egress source.
    """

    domain: str
    source: str = UNSPECIFIED


class MxShown(msgspec.Struct, frozen=True, kw_only=True):
    """The hosts of a site.

    Attributes:
        domain_name: The routing domain.
        site_name: The name of the site.
        hosts: Its hosts, by preference.
        by_pref: The same, by preference as the DNS has it.
        is_null: Whether the domain declares that it takes no mail.
    """

    domain_name: str
    site_name: str
    hosts: list[str]
    by_pref: dict[str, list[str]]
    is_null: bool


class ResolvedPath(msgspec.Struct, frozen=True, kw_only=True):
    """A way out.

    Attributes:
        domain: As asked.
        source: As asked.
        mx: The site; None where the protocol has none, or the DNS cannot say.
        queue_name: The ready queue that mail would enter.
        queue_config: The configuration of the scheduled queue.
        path_config: The egress path.
        constraints: What that allows at most.
    """

    domain: str
    source: str
    mx: MxShown | None
    queue_name: str
    queue_config: dict[str, Any]
    path_config: dict[str, Any]
    constraints: Constraints


@contextlib.contextmanager
def refusing(field: str) -> Iterator[None]:
    """Have what the policy cannot say be a refusal; what does not exist is of this argument."""
    try:
        yield
    except ConfigurationError as error:
        raise OperationRefusedError(Refusal.NOT_FOUND, str(error), field) from None
    except (HookFailedError, SmtpRefusal) as error:
        raise OperationRefusedError(
            Refusal.UNAVAILABLE, f"the policy cannot say: {error}"
        ) from None


async def find_queue(node: AdminNode, domain: str) -> tuple[str, QueueConfig]:
    """Return the routing domain and the configuration of the queue that a caller names.

    Raises:
        OperationRefusedError: It names none, or its mail goes nowhere, or the policy cannot say.
    """
    try:
        name = parse_queue_name(domain)
    except ValueError as error:
        raise OperationRefusedError(Refusal.WRONG, str(error), "domain") from None
    if not name.domain:
        raise OperationRefusedError(Refusal.WRONG, "domain names no domain", "domain")
    with refusing("domain"):
        answer = await node.runtime.fire("get_queue_config", *name)
    config = make_queue_config() if answer is None else answer
    if not isinstance(config, QueueConfig):
        raise OperationRefusedError(Refusal.UNAVAILABLE, "get_queue_config gave no queue config")
    if isinstance(config.protocol, NullProtocol):
        raise OperationRefusedError(Refusal.NOT_FOUND, "mail of this queue is dropped")
    return name.routing_domain or name.domain, config


async def resolve_path(
    node: AdminNode, _caller: Caller, request: ResolvePathRequest
) -> ResolvedPath:
    """Return the way that mail to a domain would take from a source."""
    domain, config = await find_queue(node, request.domain)
    with refusing("source"):
        way = await node.ready.describe_way(domain, config.protocol, request.source)
    return ResolvedPath(
        domain=request.domain,
        source=request.source,
        mx=None if way.route is None else show_route(way.route),
        queue_name=ready_queue_name(request.source, way.site_name, config.protocol.label),
        queue_config=queue_config.to_json(config),
        path_config=egress.to_json(way.path),
        constraints=constraints_of(way.path),
    )


def show_route(route: Route) -> MxShown:
    """Return a route as operators see it."""
    by_pref = {
        str(pref): [host.name for host in hosts]
        for pref, hosts in groupby(route.hosts, key=attrgetter("pref"))
    }
    return MxShown(
        domain_name=route.domain,
        site_name=route.site_name,
        hosts=[host.name for host in route.hosts],
        by_pref=by_pref,
        is_null=route.is_null,
    )


RESOLVE_PATH = Operation(
    "resolve-egress-path",
    resolve_path,
    ResolvePathRequest,
    ResolvedPath,
    "Show the way out to a domain",
    leaves_record=False,
    refusals={
        Refusal.NOT_FOUND: "there is no such source, or mail of this queue goes nowhere",
        Refusal.UNAVAILABLE: "the policy or the DNS cannot say",
    },
)
