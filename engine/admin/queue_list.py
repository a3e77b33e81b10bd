"""The queues of a node in a list: the fullest, or those that are asked for.

Place in flow: an operation of ``engine.admin.operation``; walks the registries of
``engine.schedule`` and ``engine.ready``.

Invariants:
    * However many queues there are, the walk holds the loop for one slice a turn, and keeps no more
      of them than are wanted.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.operation import Operation
from engine.model.caller import Caller
from engine.ready.ready_queue import ReadyQueue
from engine.schedule.pace import Pace
from engine.schedule.scheduled_queue import ScheduledQueue

LIMIT_MAX = 10_000
#: Queues that are looked at before the clock is asked: well under a millisecond.
PASSED_AT_ONCE = 256


class QueueOrder(enum.StrEnum):
    """Which queues come first."""

    VOLUME = "volume"
    NAME = "name"


class QueuesRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which queues are wanted; what is left out matches everything.

    Attributes:
        limit: How many of each kind.
        order: The fullest first, or by name.
        name: A part of the name.
        domain: Of this domain, or routing domain (of a ready queue: the one it was made for).
        tenant, campaign: Scheduled queues of theirs; ready queues belong to nobody.
        source, pool: Ready queues of this source, or that this pool last led to.
        has_empty: Whether queues without mail and sessions are wanted.
    """

    limit: Annotated[int, msgspec.Meta(ge=0, le=LIMIT_MAX)] = 100
    order: QueueOrder = QueueOrder.VOLUME
    name: str | None = None
    domain: str | None = None
    tenant: str | None = None
    campaign: str | None = None
    source: str | None = None
    pool: str | None = None
    has_empty: bool = False


class ScheduledListed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A scheduled queue.

    Attributes:
        queue_name: Its name.
        count: How many messages wait in it.
        due: How many of them are due and wait for something else than their time.
        held: How many are held by a suspension, or for lack of a source.
        blocked_by: Why the first that is due cannot go.
        suspended: The suspension that covers it: reason and author.
        bounced: The bounce that covers it: reason and author.
    """

    queue_name: str
    count: int
    due: int
    held: int
    blocked_by: str | None = None
    suspended: str | None = None
    bounced: str | None = None


class ReadyListed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ready queue.

    Attributes:
        queue_name: Its name.
        site_name, source, protocol: What that is made of.
        pool: The pool that last led here.
        provider: The provider of its path.
        routing_domain: The domain that it was made for.
        count: How many messages are in it.
        connections: How many sessions it has.
        limited_by: The connection limit that is reached.
        suspended: The suspension that holds it, or its source: reason and author.
    """

    queue_name: str
    site_name: str
    source: str
    protocol: str
    pool: str
    count: int
    connections: int
    provider: str | None = None
    routing_domain: str = ""
    limited_by: str | None = None
    suspended: str | None = None


class QueuesListed(msgspec.Struct, frozen=True, kw_only=True):
    """Queues, and how many there are in all.

    Attributes:
        scheduled: Scheduled queues.
        ready: Ready queues.
        scheduled_matching, ready_matching: How many fit what was asked for.
        scheduled_total, ready_total: How many there are.
    """

    scheduled: list[ScheduledListed]
    ready: list[ReadyListed]
    scheduled_matching: int
    ready_matching: int
    scheduled_total: int
    ready_total: int


async def list_queues(node: AdminNode, _caller: Caller, request: QueuesRequest) -> QueuesListed:
    """Return the queues that are wanted."""
    of_ready = request.tenant is None and request.campaign is None
    of_scheduled = request.source is None and request.pool is None
    scheduled, scheduled_matching = await _first(
        node,
        node.queues if of_scheduled else (),
        request,
        _wanted_scheduled(request),
        lambda one: len(one.entries),
    )
    ready, ready_matching = await _first(
        node,
        node.ready if of_ready else (),
        request,
        lambda one: matches_ready(request, one),
        lambda one: len(one.messages) + len(one.dispatchers),
    )
    return QueuesListed(
        scheduled=[_show_scheduled(node, one) for one in scheduled],
        ready=[_show_ready(node, one) for one in ready],
        scheduled_matching=scheduled_matching,
        ready_matching=ready_matching,
        scheduled_total=len(node.queues),
        ready_total=len(node.ready),
    )


async def _first(
    node: AdminNode,
    queues: Iterable[Any],
    request: QueuesRequest,
    matches: Callable[[Any], bool],
    volume: Callable[[Any], int],
) -> tuple[list[Any], int]:
    """Return the first of the queues that match, and how many match."""
    pace = Pace(node.clock.mono)
    limit, by_name = request.limit, request.order is QueueOrder.NAME
    kept: list[Any] = []
    count = 0

    def first() -> list[Any]:
        if by_name:
            return heapq.nsmallest(limit, kept, key=lambda one: one.name)
        return heapq.nsmallest(limit, kept, key=lambda one: (-volume(one), one.name))

    #: Less full ones come after those that are kept already.
    least = 0
    for number, queue in enumerate(queues):
        if not number % PASSED_AT_ONCE and pace.is_spent():
            await pace.wait()
        if matches(queue):
            count += 1
            if not by_name and volume(queue) < least:
                continue
            kept.append(queue)
            # Now and then: each time would sort for every queue.
            if len(kept) > 2 * limit + 1000:
                kept = first()
                least = volume(kept[-1]) if kept and not by_name else 0
    return first(), count


def _wanted_scheduled(request: QueuesRequest) -> Callable[[ScheduledQueue], bool]:
    """Return what tells whether a scheduled queue is wanted; there may be a million to ask."""
    named = (request.name, request.domain, request.tenant, request.campaign)
    if request.has_empty or any(one is not None for one in named):
        return lambda one: matches_scheduled(request, one)
    return lambda one: bool(one.entries)


def matches_scheduled(request: QueuesRequest, queue: ScheduledQueue) -> bool:
    """Return whether a scheduled queue is wanted."""
    parsed = queue.parsed
    return (
        (request.has_empty or len(queue) > 0)
        and (request.name is None or request.name in queue.name)
        and (request.domain is None or request.domain in (parsed.domain, parsed.routing_domain))
        and (request.tenant is None or request.tenant == parsed.tenant)
        and (request.campaign is None or request.campaign == parsed.campaign)
    )


def matches_ready(request: QueuesRequest, queue: ReadyQueue) -> bool:
    """Return whether a ready queue is wanted."""
    return (
        (request.has_empty or bool(queue.messages) or bool(queue.dispatchers))
        and (request.name is None or request.name in queue.name)
        and (request.domain is None or request.domain == queue.routing_domain)
        and (request.source is None or request.source == queue.source.name)
        and (request.pool is None or request.pool == queue.last_pool)
    )


def _show_scheduled(node: AdminNode, queue: ScheduledQueue) -> ScheduledListed:
    suspension = node.suspensions.find_scheduled(queue.name)
    bounce = node.bounces.find(queue.name)
    return ScheduledListed(
        queue_name=queue.name,
        count=len(queue),
        # Not all that a backlog refers to is still there.
        due=min(len(queue.backlog), len(queue) - len(queue.held)),
        held=len(queue.held),
        blocked_by=queue.blocked_by or None,
        suspended=None if suspension is None else f"{suspension.reason} (by {suspension.author})",
        bounced=None if bounce is None else f"{bounce.reason} (by {bounce.author})",
    )


def _show_ready(node: AdminNode, queue: ReadyQueue) -> ReadyListed:
    held = node.suspensions.find_way(queue.name, queue.source.name)
    return ReadyListed(
        queue_name=queue.name,
        site_name=queue.site_name,
        source=queue.source.name,
        protocol=queue.protocol.label,
        pool=queue.last_pool,
        count=len(queue.messages),
        connections=len(queue.dispatchers),
        provider=queue.path.provider_name,
        routing_domain=queue.routing_domain,
        limited_by=queue.limited_by or None,
        suspended=None if held is None else f"{held.reason} (by {held.author})",
    )


QUEUES = Operation(
    "queues", list_queues, QueuesRequest, QueuesListed, "List queues", leaves_record=False
)
