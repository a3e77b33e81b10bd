"""What is seen of a node by who asks why something does not go on: plain values of one moment.

Place in flow: made by ``why_snapshot``, judged by ``why``. Instants are in seconds since the Unix
epoch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DirectiveSeen:
    """A directive in force."""

    reason: str
    author: str
    until_at: float


@dataclass(frozen=True, slots=True)
class RateSeen:
    """A rate: its option, its name in a table, what it is, and when the next may go."""

    knob: str
    value: str
    frees_at: float
    name: str | None = None


@dataclass(frozen=True, slots=True)
class TransferSeen:
    """An order to transfer mail to another node.

    Attributes:
        target: The URL of that node.
        why: Reason and author in words, empty where the order was given before a restart.
        author: Who gave it.
        last_error: Why the last attempt failed, unless one has succeeded since; ``last_error_at``.
    """

    target: str
    why: str = ""
    author: str = ""
    last_error: str = ""
    last_error_at: float | None = None


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """A session of a ready queue: what it does, with whom, since when."""

    phase: str
    detail: str
    since_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WaySeen:
    """A ready queue.

    Attributes:
        name, source: Which.
        count, max_ready: Messages in it, and how many it takes.
        sessions: Its sessions.
        limited_by: The connection limit that refuses another one, empty for none; ``limit`` its
            number, ``limited_since_at`` since when, ``holders`` who has its slots on this node,
            ``held_here`` how many these are.
        own_limit: The limit of its path.
        suspended: The suspension of the queue.
        source_suspended: The suspension of its source.
        failures: Connections in a row that failed.
        paused_until_at: Until when no session is started after failures.
        connection_rates, message_rates: The rates of its path.
        selection_rate: How often its source may be chosen, empty for any.
        transfer: The order that its mail is transferred by, if it is.
    """

    name: str
    source: str
    count: int = 0
    max_ready: int = 1024
    sessions: tuple[SessionSeen, ...] = ()
    limited_by: str = ""
    limit: int = 0
    limited_since_at: float | None = None
    holders: tuple[str, ...] = ()
    held_here: int = 0
    own_limit: int | None = None
    suspended: DirectiveSeen | None = None
    source_suspended: DirectiveSeen | None = None
    failures: int = 0
    paused_until_at: float | None = None
    connection_rates: tuple[RateSeen, ...] = ()
    message_rates: tuple[RateSeen, ...] = ()
    selection_rate: str = ""
    transfer: TransferSeen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSeen:
    """A scheduled queue.

    Attributes:
        name: Its name.
        count, due, held: Messages in it; those that are due; those that are held.
        next_due_at: When the next of those that are not due is.
        blocked_by: Why the first that is due cannot go; ``again_at`` when that is tried again.
        suspended, bounced: The directives that cover it.
        no_way: Why there is no way out; ``no_way_until_at`` how long that is believed.
        lacks_source: Whether its held mail is held because no source may carry it.
        pool: Its egress pool.
        rate: Its own rate.
        ways: The ready queues that it feeds.
        transfer: The order that its mail is transferred by, if it is.
    """

    name: str
    count: int = 0
    due: int = 0
    held: int = 0
    next_due_at: float | None = None
    blocked_by: str = ""
    again_at: float | None = None
    suspended: DirectiveSeen | None = None
    bounced: DirectiveSeen | None = None
    no_way: str = ""
    no_way_until_at: float | None = None
    lacks_source: bool = False
    pool: str = ""
    rate: RateSeen | None = None
    ways: tuple[WaySeen, ...] = ()
    transfer: TransferSeen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSeen:
    """A message.

    Attributes:
        place: ``waiting``, ``ready``, ``sending`` or ``elsewhere``.
        due_at: When it is due.
        attempts: How often it was tried.
        reasons: Why it entered its queue, as records name them.
        is_held: Whether it is among the held of its queue.
        was_held: Whether it was held, and waits only for its turn after that.
        schedule: Its own schedule in words, empty where it has none.
        last_reply, last_reply_at, last_way: Why the last attempt failed, when and where.
        hold: That an operator holds it, and until when (infinity for no end); ``hold_since_at``.
        expires_at: When it is given up.
        way: The ready queue that it is in, or that its session works for.
        session: The session that carries it.
    """

    place: str
    due_at: float
    attempts: int = 0
    reasons: tuple[str, ...] = ()
    is_held: bool = False
    was_held: bool = False
    schedule: str = ""
    last_reply: str = ""
    last_reply_at: float = 0.0
    last_way: str = ""
    hold: DirectiveSeen | None = None
    hold_since_at: float | None = None
    expires_at: float | None = None
    way: WaySeen | None = None
    session: SessionSeen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """What concerns all mail.

    Attributes:
        now_at: The present.
        spool_trouble: Why the spool cannot be used, empty when it can.
        retry_interval: The retry option of the queue.
        nodes: How many share limits, this one included.
        is_alone: Whether it goes by its share of them now, and ``alone_for`` why.
        is_recovering: Whether the spool is still being read back after the start.
    """

    now_at: float
    spool_trouble: str = ""
    retry_interval: str = ""
    nodes: int = 1
    is_alone: bool = False
    alone_for: str = ""
    is_recovering: bool = False
