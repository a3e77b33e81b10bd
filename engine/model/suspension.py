"""What an operator or a decision holds back or bounces, and until when.

Place in flow: written by ``engine.admin`` into ``engine.control``; read by the queues.

Invariants:
    * All given criteria must agree; an absent one agrees with anything.
    * Queue names, if given, decide alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.model.queue_name import QueueName, parse_queue_name

#: How the node begins what it says of mail that it holds back itself.
SUSPENDED_TEXT = "scheduled queue is suspended: "
NO_SOURCE_TEXT = "no source of pool "


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which scheduled queues a directive covers; without any criterion, all of them."""

    campaign: str | None = None
    tenant: str | None = None
    domain: str | None = None
    routing_domain: str | None = None
    queue_names: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        for name in ("campaign", "tenant", "domain", "routing_domain"):
            if getattr(self, name) == "":
                object.__setattr__(self, name, None)
        for name in ("domain", "routing_domain"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, value.lower().removesuffix("."))
        object.__setattr__(self, "queue_names", frozenset(self.queue_names))

    def to_dict(self) -> dict[str, object]:
        """Return the given criteria as operators write them."""
        given: dict[str, object] = {
            name: getattr(self, name)
            for name in ("campaign", "tenant", "domain", "routing_domain")
            if getattr(self, name) is not None
        }
        if self.queue_names:
            given["queue_names"] = sorted(self.queue_names)
        return given


def matches(criteria: Criteria, queue_name: str, parsed: QueueName | None = None) -> bool:
    """Return whether a directive with these criteria covers a queue.

    Args:
        criteria: What the directive asks for.
        queue_name: The whole name of the scheduled queue.
        parsed: Its parts, if the caller has them.
    """
    if criteria.queue_names:
        return queue_name in criteria.queue_names
    parts = parse_queue_name(queue_name) if parsed is None else parsed
    return (
        (criteria.campaign is None or criteria.campaign == parts.campaign)
        and (criteria.tenant is None or criteria.tenant == parts.tenant)
        and (criteria.domain is None or criteria.domain == parts.domain)
        and (criteria.routing_domain is None or criteria.routing_domain == parts.routing_domain)
    )


class BounceTally:
    """What a bounce took so far: how many messages of which scheduled queues.

    Attributes:
        by_queue: Messages by queue, of the first ``QUEUES_MAX`` queues.
        total: Messages of all queues.
    """

    __slots__ = ("by_queue", "total")

    #: A bounce of everything must not keep the name of each queue for as long as it is in force.
    QUEUES_MAX = 10_000

    def __init__(self) -> None:
        self.by_queue: dict[str, int] = {}
        self.total = 0

    def note(self, queue_name: str) -> None:
        """Count a message."""
        self.total += 1
        count = self.by_queue.get(queue_name, 0)
        if count or len(self.by_queue) < self.QUEUES_MAX:
            self.by_queue[queue_name] = count + 1


@dataclass(frozen=True, slots=True)
class Directive:
    """One suspension or admin bounce of scheduled queues.

    Attributes:
        id: Identity for listing and cancelling.
        criteria: Which queues it covers.
        reason: Why, in the operator's words.
        author: Who asked for it.
        expires_mono: The monotonic instant at which it ends.
        suppress_logging: A bounce that makes no records.
        tally: What a bounce took so far.
    """

    id: str
    criteria: Criteria
    reason: str
    author: str
    expires_mono: float
    suppress_logging: bool = False
    tally: BounceTally = field(default_factory=BounceTally, compare=False)


@dataclass(frozen=True, slots=True)
class ReadyDirective:
    """One suspension of a ready queue by its name; attributes as of ``Directive``."""

    id: str
    name: str
    reason: str
    author: str
    expires_mono: float
