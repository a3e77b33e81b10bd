"""Bounces and suspensions of operators: made, listed, ended.

Place in flow: operations of ``engine.admin.operation``; write ``engine.control``, which the queues
consult.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.instant import duration_of, format_instant
from engine.admin.operation import NoArguments, Operation
from engine.model.caller import Caller
from engine.model.duration import format_duration
from engine.model.suspension import Criteria, Directive, ReadyDirective

#: How long a request to bounce waits for what waits to be bounced, seconds.
SWEEP_WAIT_S = 1.0


class BounceRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A bounce by criteria; what is left out matches everything.

    Attributes:
        reason: Why, for records and whoever looks at it.
        campaign, tenant, domain, routing_domain: Queues that have these in their names.
        queue_names: Queues of these names, whatever else is said.
        duration: For how long it holds: seconds, or text such as ``1h``; five minutes by default.
        expires: When it ends, RFC 3339; instead of a duration.
        suppress_logging: Leave no record of each message.
    """

    reason: str
    campaign: str | None = None
    tenant: str | None = None
    domain: str | None = None
    routing_domain: str | None = None
    queue_names: list[str] = []
    duration: str | float | None = None
    expires: str | None = None
    suppress_logging: bool = False


class SuspendRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A suspension of scheduled queues by criteria; what is left out matches everything.

    Attributes:
        reason: Why, for records and whoever looks at it.
        campaign, tenant, domain: Queues that have these in their names.
        queue_names: Queues of these names, whatever else is said.
        duration: For how long it holds: seconds, or text such as ``1h``; five minutes by default.
        expires: When it ends, RFC 3339; instead of a duration.
    """

    reason: str
    campaign: str | None = None
    tenant: str | None = None
    domain: str | None = None
    queue_names: list[str] = []
    duration: str | float | None = None
    expires: str | None = None


class SuspendReadyRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A suspension of one ready queue by its name.

    Attributes:
        name: The ready queue.
        reason: Why, for records and whoever looks at it.
        duration: For how long it holds: seconds, or text such as ``1h``; five minutes by default.
        expires: When it ends, RFC 3339; instead of a duration.
    """

    name: str
    reason: str
    duration: str | float | None = None
    expires: str | None = None


class IdRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The id of a directive.

    Attributes:
        id: As it was answered when the directive was made, or as a list of them has it.
    """

    id: str


class Made(msgspec.Struct, frozen=True):
    """The id of what was made.

    Attributes:
        id: Its id.
    """

    id: str


class BounceMade(msgspec.Struct, frozen=True, kw_only=True):
    """A new bounce, and what it took at once: the rest is counted when bounces are listed.

    Attributes:
        id: Its id.
        bounced: Messages by scheduled queue.
        total_bounced: Messages of all queues.
    """

    id: str
    bounced: dict[str, int]
    total_bounced: int


class BounceListed(msgspec.Struct, frozen=True, kw_only=True):
    """A bounce in force; ``duration`` is what is left of it.

    Attributes:
        id: Its id.
        campaign, tenant, domain, routing_domain: What it is limited to; null is any.
        queue_names: The queues it is limited to; none is any.
        reason: Why it was made.
        author: Who made it.
        duration: How much longer it holds, such as ``59m 30s``.
        expires: When it ends, RFC 3339.
        bounced: Messages that it took so far, by scheduled queue.
        total_bounced: Messages of all queues.
    """

    id: str
    campaign: str | None
    tenant: str | None
    domain: str | None
    routing_domain: str | None
    queue_names: list[str]
    reason: str
    author: str
    duration: str
    expires: str
    bounced: dict[str, int]
    total_bounced: int


class SuspensionListed(msgspec.Struct, frozen=True, kw_only=True):
    """A suspension of scheduled queues in force; ``duration`` is what is left of it.

    Attributes:
        id: Its id.
        campaign, tenant, domain, routing_domain: What it is limited to; null is any.
        queue_names: The queues it is limited to; none is any.
        reason: Why it was made.
        author: Who made it.
        duration: How much longer it holds, such as ``59m 30s``.
        expires: When it ends, RFC 3339.
    """

    id: str
    campaign: str | None
    tenant: str | None
    domain: str | None
    routing_domain: str | None
    queue_names: list[str]
    reason: str
    author: str
    duration: str
    expires: str


class ReadySuspensionListed(msgspec.Struct, frozen=True, kw_only=True):
    """A suspension of a ready queue or a source in force; ``duration`` is what is left of it.

    Attributes:
        id: Its id.
        name: The ready queue, or the source.
        reason: Why it was made.
        author: Who made it.
        duration: How much longer it holds, such as ``59m 30s``.
        expires: When it ends, RFC 3339.
    """

    id: str
    name: str
    reason: str
    author: str
    duration: str
    expires: str


# -- bounces ----------------------------------------------------------------------------------


async def bounce(node: AdminNode, caller: Caller, request: BounceRequest) -> BounceMade:
    """Bounce mail that waits or comes, and count what was bounced at once."""
    made = node.bounces.add(
        Criteria(
            campaign=request.campaign,
            tenant=request.tenant,
            domain=request.domain,
            routing_domain=request.routing_domain,
            queue_names=frozenset(request.queue_names),
        ),
        request.reason,
        caller.identity,
        duration_of(request.duration, request.expires, node.clock.wall()),
        suppress_logging=request.suppress_logging,
    )
    node.shared_directives.made("bounce", made)
    await node.bounces.wait_swept(SWEEP_WAIT_S)
    tally = made.tally
    return BounceMade(id=made.id, bounced=dict(tally.by_queue), total_bounced=tally.total)


async def list_bounces(node: AdminNode, _caller: Caller, _request: object) -> list[BounceListed]:
    """Return the bounces in force."""
    return [
        BounceListed(
            id=one.id,
            campaign=one.criteria.campaign,
            tenant=one.criteria.tenant,
            domain=one.criteria.domain,
            routing_domain=one.criteria.routing_domain,
            queue_names=sorted(one.criteria.queue_names),
            reason=one.reason,
            author=one.author,
            duration=_left(node, one),
            expires=_ends(node, one),
            bounced=dict(one.tally.by_queue),
            total_bounced=one.tally.total,
        )
        for one in node.bounces.list()
    ]


async def cancel_bounce(node: AdminNode, _caller: Caller, request: IdRequest) -> str:
    """End a bounce."""
    if not node.bounces.cancel(request.id):
        raise OperationRefusedError(Refusal.NOT_FOUND, "no such bounce")
    node.shared_directives.ended(request.id)
    return "OK"


# -- suspensions ------------------------------------------------------------------------------


async def suspend(node: AdminNode, caller: Caller, request: SuspendRequest) -> Made:
    """Hold the mail of scheduled queues."""
    made = node.suspensions.add_scheduled(
        Criteria(
            campaign=request.campaign,
            tenant=request.tenant,
            domain=request.domain,
            queue_names=frozenset(request.queue_names),
        ),
        request.reason,
        caller.identity,
        duration_of(request.duration, request.expires, node.clock.wall()),
    )
    node.shared_directives.made("suspend", made)
    return Made(made.id)


async def list_suspensions(
    node: AdminNode, _caller: Caller, _request: object
) -> list[SuspensionListed]:
    """Return the suspensions of scheduled queues in force."""
    return [
        SuspensionListed(
            id=one.id,
            campaign=one.criteria.campaign,
            tenant=one.criteria.tenant,
            domain=one.criteria.domain,
            routing_domain=one.criteria.routing_domain,
            queue_names=sorted(one.criteria.queue_names),
            reason=one.reason,
            author=one.author,
            duration=_left(node, one),
            expires=_ends(node, one),
        )
        for one in node.suspensions.list_scheduled()
    ]


async def cancel_suspension(node: AdminNode, _caller: Caller, request: IdRequest) -> str:
    """End a suspension of scheduled queues."""
    return end_suspension(node, request.id, node.suspensions.list_scheduled())


async def suspend_ready(node: AdminNode, caller: Caller, request: SuspendReadyRequest) -> Made:
    """Hold one ready queue; its mail may leave by other sources."""
    duration_s = duration_of(request.duration, request.expires, node.clock.wall())
    made = node.suspensions.add_ready(request.name, request.reason, caller.identity, duration_s)
    node.shared_directives.made("suspend-ready-q", made)
    return Made(made.id)


async def list_ready_suspensions(
    node: AdminNode, _caller: Caller, _request: object
) -> list[ReadySuspensionListed]:
    """Return the suspensions of ready queues in force."""
    return [show_named(node, one) for one in node.suspensions.list_ready()]


def show_named(node: AdminNode, directive: ReadyDirective) -> ReadySuspensionListed:
    """Return a suspension of what goes by one name, as operators see it."""
    return ReadySuspensionListed(
        id=directive.id,
        name=directive.name,
        reason=directive.reason,
        author=directive.author,
        duration=_left(node, directive),
        expires=_ends(node, directive),
    )


async def cancel_ready_suspension(node: AdminNode, _caller: Caller, request: IdRequest) -> str:
    """End a suspension of a ready queue."""
    return end_suspension(node, request.id, node.suspensions.list_ready())


def end_suspension(
    node: AdminNode, wanted: str, listed: Iterable[Directive | ReadyDirective]
) -> str:
    """End one of the suspensions that are listed.

    Raises:
        OperationRefusedError: None of them has the id.
    """
    # Of its own kind only: an id of another list is a mistake of whoever typed it.
    if all(one.id != wanted for one in listed) or not node.suspensions.cancel(wanted):
        raise OperationRefusedError(Refusal.NOT_FOUND, "no such suspension")
    node.shared_directives.ended(wanted)
    return "OK"


# -- time -------------------------------------------------------------------------------------


def _left(node: AdminNode, directive: Directive | ReadyDirective) -> str:
    return format_duration(directive.expires_mono - node.clock.mono())


def _ends(node: AdminNode, directive: Directive | ReadyDirective) -> str:
    return format_instant(node.clock.wall_of(directive.expires_mono))


#: How it is refused to end what is not there.
GONE = {Refusal.NOT_FOUND: "there is none of this id"}

BOUNCE = Operation("bounce", bounce, BounceRequest, BounceMade, "Bounce mail")
BOUNCE_LIST = Operation(
    "bounce-list", list_bounces, NoArguments, list[BounceListed], "List bounces", False
)
BOUNCE_CANCEL = Operation(
    "bounce-cancel", cancel_bounce, IdRequest, str, "End a bounce", refusals=GONE
)
SUSPEND = Operation("suspend", suspend, SuspendRequest, Made, "Suspend scheduled queues")
SUSPEND_LIST = Operation(
    "suspend-list",
    list_suspensions,
    NoArguments,
    list[SuspensionListed],
    "List suspended scheduled queues",
    False,
)
SUSPEND_CANCEL = Operation(
    "suspend-cancel", cancel_suspension, IdRequest, str, "Resume queues", refusals=GONE
)
SUSPEND_READY = Operation(
    "suspend-ready-q", suspend_ready, SuspendReadyRequest, Made, "Suspend a ready queue"
)
SUSPEND_READY_LIST = Operation(
    "suspend-ready-q-list",
    list_ready_suspensions,
    NoArguments,
    list[ReadySuspensionListed],
    "List suspended ready queues",
    False,
)
SUSPEND_READY_CANCEL = Operation(
    "suspend-ready-q-cancel",
    cancel_ready_suspension,
    IdRequest,
    str,
    "Resume a ready queue",
    refusals=GONE,
)
