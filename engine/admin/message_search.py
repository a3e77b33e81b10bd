"""Queued messages in a list: by queue, sender, recipient, tenant, age and last reply.

Place in flow: an operation of ``engine.admin.operation``; goes through the entries of the queues,
and reads from the spool only what may be wanted.

Invariants:
    * Of what waits only the queues whose name and marks fit are looked at, and of those only the
      entries whose age and mark fit: a million messages are not read to find one.
    * However many there are, the search holds the loop for one slice a turn, and ends with its
      time. Then it says so, and how much it has seen.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Annotated

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.operation import Operation
from engine.model.caller import Caller
from engine.model.duration import parse_duration
from engine.model.errors import EngineError
from engine.model.insert_reason import reason_names
from engine.model.log_record import format_event_time
from engine.model.message import HoldNote, Message, MessageNotes, SpoolId, message_from
from engine.model.message_mark import bits_of, fitting, mark_of
from engine.schedule.pace import Pace
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.timer_wheel import Waiting

LIMIT_MAX = 1000
#: Entries that are compared at once: well under a millisecond.
CHUNK = 1024
#: Queues that are passed by before the clock is asked: well under a millisecond.
PASSED_AT_ONCE = 256


class MessageState(enum.StrEnum):
    """What a queued message does."""

    #: It waits for its due time.
    SCHEDULED = "scheduled"
    #: It is due, and waits for something else.
    DUE = "due"
    #: It is held: by an operator, a suspension, or for lack of a source.
    HELD = "held"
    #: It is in a ready queue.
    READY = "ready"


class MessagesRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which messages are wanted; what is left out matches everything.

    Attributes:
        limit: How many.
        queue_name: Of this scheduled queue.
        domain: Of queues of this domain, or routing domain.
        tenant, campaign: Of queues of theirs.
        sender, recipient: Of these addresses; upper and lower case are the same.
        min_age, max_age: As long as this since they were received, such as ``2h``.
        reply: The last reply of a host has this in it.
        state: Which do this.
        timeout: Seconds that the search may take.
    """

    limit: Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)] = 100
    queue_name: str | None = None
    domain: str | None = None
    tenant: str | None = None
    campaign: str | None = None
    sender: str | None = None
    recipient: str | None = None
    min_age: str | None = None
    max_age: str | None = None
    reply: str | None = None
    state: MessageState | None = None
    timeout: Annotated[float, msgspec.Meta(ge=0, le=60)] = 5.0


class HoldShown(msgspec.Struct, frozen=True, kw_only=True):
    """That an operator holds a message; instants RFC 3339.

    Attributes:
        author: Who holds it.
        reason: Why.
        since: Since when.
        until: When it is let go; null until somebody does.
    """

    author: str
    reason: str
    since: str
    until: str | None


class MessageListed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A queued message; instants RFC 3339.

    Attributes:
        id: Its spool id.
        queue_name: The scheduled queue it belongs to.
        state: What it does.
        sender: Its envelope sender.
        recipients: Whom it still has to reach.
        size: Octets.
        created: When it was received.
        due: When it is due.
        num_attempts: How often it was tried.
        reasons: Why it entered its queue.
        last_reply, last_reply_at, last_ready_queue: Why the last attempt failed, when and where.
        hold: That an operator holds it.
        ready_queue: The ready queue that it is in.
    """

    id: str
    queue_name: str
    state: MessageState
    sender: str
    recipients: list[str]
    size: int
    created: str
    due: str
    num_attempts: int
    reasons: list[str] = []
    last_reply: str | None = None
    last_reply_at: str | None = None
    last_ready_queue: str | None = None
    hold: HoldShown | None = None
    ready_queue: str | None = None


class MessagesListed(msgspec.Struct, frozen=True, kw_only=True):
    """Messages, and how the search went.

    Attributes:
        messages: Those that were found, in no order.
        is_complete: Whether all was looked at: there are no more.
        looked_at: Queued messages that were passed, most of them by their queue's name or mark.
        read: Messages that were read from the spool.
    """

    messages: list[MessageListed]
    is_complete: bool
    looked_at: int
    read: int


class _Wanted:
    """What is looked for, ready to be compared with."""

    def __init__(self, request: MessagesRequest, now_at: float) -> None:
        self.request = request
        recipients = [] if request.recipient is None else [request.recipient]
        mark = mark_of(request.sender, recipients)
        self._fitting = fitting(mark)
        self._recipient_bits, self._sender_bits = bits_of(mark)
        self._is_any_queue = (
            request.queue_name is None
            and request.domain is None
            and request.tenant is None
            and request.campaign is None
        )
        self.sender = None if request.sender is None else request.sender.lower()
        self.recipient = None if request.recipient is None else request.recipient.lower()
        self.reply = None if request.reply is None else request.reply.lower()
        self.before_at = _instant(now_at, request.min_age, "min_age")
        self.after_at = _instant(now_at, request.max_age, "max_age")
        self._from_id = b"" if self.after_at is None else first_id(self.after_at)

    def may_be_in(self, queue: ScheduledQueue) -> bool:
        """Return whether messages that wait in a queue may be wanted, without looking at these."""
        marks = queue.marks
        return (
            bool(queue.entries)
            and (not self._recipient_bits or bool(marks & self._recipient_bits))
            and (not self._sender_bits or bool(marks & self._sender_bits))
            and self.is_queue(queue)
        )

    def is_queue(self, queue: ScheduledQueue) -> bool:
        """Return whether messages of a queue may be wanted."""
        if self._is_any_queue:
            return True
        request, parsed = self.request, queue.parsed
        return (
            (request.queue_name is None or request.queue_name == queue.name)
            and (request.domain is None or request.domain in (parsed.domain, parsed.routing_domain))
            and (request.tenant is None or request.tenant == parsed.tenant)
            and (request.campaign is None or request.campaign == parsed.campaign)
        )

    def those_that_may_be(self, entries: Iterable[Waiting]) -> list[Waiting]:
        """Return the entries that may be of messages that are wanted, without reading these."""
        fits, from_id = self._fitting, self._from_id
        # An id is as old as the message, or younger: another node may have received it before.
        return [one for one in entries if fits[one.mark] and one.spool_id >= from_id]

    def is_of_age(self, at: float) -> bool:
        return (self.before_at is None or at <= self.before_at) and (
            self.after_at is None or at >= self.after_at
        )

    def is_wanted(self, message: Message) -> bool:
        """Return whether a message is wanted, its queue apart."""
        notes = message.notes
        return (
            (self.sender is None or self.sender == message.sender.lower())
            and (self.recipient is None or self.recipient in map(str.lower, message.recipients))
            and (self.reply is None or (notes is not None and self.reply in notes.reply.lower()))
            and self.is_of_age(message.created_at)
        )


def _instant(now_at: float, age: str | None, field: str) -> float | None:
    if age is None:
        return None
    try:
        return now_at - parse_duration(age)
    except ValueError as error:
        raise OperationRefusedError(Refusal.WRONG, str(error), field) from None


def first_id(at: float) -> bytes:
    """Return what no id (a UUID of version 7) made at an instant or later is less than.

    Args:
        at: Seconds since the epoch.
    """
    return max(0, int(at * 1000)).to_bytes(6, "big")


class _Search:
    """One search under way."""

    def __init__(self, node: AdminNode, request: MessagesRequest) -> None:
        self._node = node
        self._pace = Pace(node.clock.mono)
        self._until_mono = node.clock.mono() + request.timeout
        self._wanted = _Wanted(request, node.clock.wall())
        self._limit = request.limit
        self._state = request.state
        self.found: list[MessageListed] = []
        self.looked_at = self.read = 0
        self.is_complete = True

    async def run(self) -> None:
        if self._state in (None, MessageState.READY):
            await self._look_at_ready()
        if self._state is not MessageState.READY:
            await self._look_at_waiting()

    async def _goes_on(self) -> bool:
        """Let others have the loop; return whether the search may go on."""
        if self._pace.is_spent():
            await self._pace.wait()
        if len(self.found) >= self._limit or self._node.clock.mono() >= self._until_mono:
            self.is_complete = False
        return self.is_complete

    async def _look_at_ready(self) -> None:
        for ready in self._node.ready:
            if not await self._goes_on():
                return
            for message in list(ready.messages):
                queue = self._node.queues.find(message.queue_name)
                self.looked_at += 1
                if queue is None or not self._wanted.is_queue(queue):
                    continue
                if self._wanted.is_wanted(message):
                    shown = show_listed(self._node, message, MessageState.READY, ready.name)
                    self.found.append(shown)
                    if len(self.found) >= self._limit:
                        break

    async def _look_at_waiting(self) -> None:
        name = self._wanted.request.queue_name
        only = None if name is None else self._node.queues.find(name)
        queues = self._node.queues if name is None else [only] if only is not None else []
        passed = 0
        for queue in queues:
            if self._wanted.may_be_in(queue):
                if not await self._goes_on():
                    return
                await self._look_at_entries(queue)
                continue
            self.looked_at += len(queue.entries)
            passed += 1
            if not passed % PASSED_AT_ONCE and not await self._goes_on():
                return

    async def _look_at_entries(self, queue: ScheduledQueue) -> None:
        entries, start = list(queue.entries.values()), 0
        while start < len(entries):
            # To ask the clock for each would cost more than to compare.
            if start and not await self._goes_on():
                return
            chunk = entries[start : start + CHUNK]
            start += CHUNK
            self.looked_at += len(chunk)
            if candidates := self._wanted.those_that_may_be(chunk):
                await self._read_those(queue, candidates)

    async def _read_those(self, queue: ScheduledQueue, candidates: list[Waiting]) -> None:
        for entry in candidates:
            if not await self._goes_on():
                return
            message = self._load(queue, entry) if queue.knows(entry) else None
            if message is not None and self._wanted.is_wanted(message):
                is_held = entry.spool_id in queue.held or message.hold is not None
                state = state_of(entry, self._node.clock.mono(), is_held=is_held)
                if self._state in (None, state):
                    self.found.append(show_listed(self._node, message, state))

    def _load(self, queue: ScheduledQueue, entry: Waiting) -> Message | None:
        spool_id = SpoolId(entry.spool_id)
        self.read += 1
        try:
            stored = self._node.store.load(spool_id)
        except EngineError:
            self.is_complete = False
            return None
        if stored is None:
            return None
        message = message_from(spool_id, stored, entry.due_mono)
        message.queue_name = queue.name
        message.context = entry.context
        return message


def state_of(entry: Waiting, now_mono: float, *, is_held: bool) -> MessageState:
    """Return what a waiting message does."""
    if is_held:
        return MessageState.HELD
    return MessageState.SCHEDULED if entry.due_mono > now_mono else MessageState.DUE


def show_listed(
    node: AdminNode, message: Message, state: MessageState, ready_queue: str | None = None
) -> MessageListed:
    """Return a message as lists show it."""
    notes = message.notes or MessageNotes()
    return MessageListed(
        id=message.id,
        queue_name=message.queue_name,
        state=state,
        sender=message.sender,
        recipients=list(message.recipients),
        size=message.size,
        created=format_event_time(message.created_at),
        due=format_event_time(node.clock.wall_of(message.due_mono)),
        num_attempts=message.attempts,
        reasons=list(reason_names(message.context)),
        last_reply=notes.reply or None,
        last_reply_at=format_event_time(notes.reply_at) if notes.reply else None,
        last_ready_queue=notes.ready_queue or None,
        hold=None if notes.hold is None else show_hold(notes.hold),
        ready_queue=ready_queue,
    )


def show_hold(hold: HoldNote) -> HoldShown:
    """Return a hold as operators see it."""
    return HoldShown(
        author=hold.author,
        reason=hold.reason,
        since=format_event_time(hold.since_at),
        until=None if hold.until_at is None else format_event_time(hold.until_at),
    )


async def list_messages(
    node: AdminNode, _caller: Caller, request: MessagesRequest
) -> MessagesListed:
    """Return queued messages that are wanted."""
    search = _Search(node, request)
    await search.run()
    return MessagesListed(
        messages=search.found[: request.limit],
        is_complete=search.is_complete,
        looked_at=search.looked_at,
        read=search.read,
    )


MESSAGES = Operation(
    "messages",
    list_messages,
    MessagesRequest,
    MessagesListed,
    "List and search queued messages",
    leaves_record=False,
)
