"""Messages of other nodes: taken with all their state, flushed, and gone on with.

Place in flow: a route of ``engine.base.http_service`` that ``transfer_client`` of another node
posts to; gives to the spool and to ``engine.schedule.promotion``.

Invariants:
    * The answer comes after the flush, whatever durability is configured: the other node lets the
      message go by it.
    * A message that is posted again (its sender never saw the answer) is answered with the id that
      it has here, and not taken twice: as long as it is in the spool, and afterwards for as long as
      ``REMEMBERED_MAX`` later ones have not come.
    * Due time, attempts, schedule and metadata are what they were; the age counts from the first
      reception.
    * A message is taken by a task of its own: the end of a connection leaves none half-way.

Failure: a handler that fails or refuses, and a node that takes no mail, keep nothing; the sender
has the message and tries again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from engine.base.clock import Clock
from engine.base.http_body import make_inflater
from engine.base.http_call import Access, BodyLimits, HttpCall, HttpRefusalError
from engine.base.http_service import HttpService
from engine.base.lifecycle import Supervisor
from engine.base.memory_guard import MemoryGuard
from engine.model.circumstances import Circumstances
from engine.model.errors import SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.log_record import RecordKind
from engine.model.message import Message, SpoolId, new_spool_id
from engine.model.reply import SmtpReply
from engine.model.transfer_state import restore
from engine.model.transfer_wire import Transferred, decode_transfer
from engine.receive.admission import DISCARD_QUEUE, Insert, finished
from engine.records.recorder import Recorder
from engine.records.span_maker import ORIGIN_ID
from engine.schedule.transferring import name_of
from engine.script_refusals import SmtpRefusal
from engine.script_views import MessageView
from engine.spool.spool_store import SpoolStore, StoredMessage
from policy.errors import HookFailedError
from policy.runtime import PolicyRuntime

log = logging.getLogger("cirrus.receive")

PATH = "/api/xfer/inject/v1"
HOOK = "xfer_message_received"
#: Octets of a message at most, and at least however short memory is; how long it may take, seconds.
BODY_MAX = 1 << 30
BODY_MIN = 1 << 20
BODY_S = 600.0
#: How many times its size a message takes up while it is taken.
_COPIES = 4
#: Messages of other nodes that are known again after they have left.
REMEMBERED_MAX = 65_536

_GZIP = b"\x1f\x8b"
PRIOR_ID, PRIOR_NODE = "xfer_prior_id", "xfer_prior_node"


class IntakePorts(Protocol):
    """What the intake needs from the node."""

    clock: Clock
    store: SpoolStore
    recorder: Recorder
    runtime: PolicyRuntime
    supervisor: Supervisor
    memory: MemoryGuard
    node_id: str

    def gate(self) -> str | None:
        """Return why no mail is taken now, or None."""


class TransferAnswer(msgspec.Struct, frozen=True):
    """What the other node is answered: the id that its message has here.

    Attributes:
        id: That id.
    """

    id: str


class _Key(NamedTuple):
    node: str
    id: str


@dataclass(frozen=True, slots=True)
class _Refused:
    status: int
    text: str


class TransferIntake:
    """The intake of one node.

    Args:
        ports: Of the node.
        insert: Gives a stored message to its queue.
        has_recovered: Whether the queues hold everything that the spool held at the start.
    """

    def __init__(
        self, ports: IntakePorts, insert: Insert, has_recovered: Callable[[], bool]
    ) -> None:
        self._ports = ports
        self._insert = insert
        self._has_recovered = has_recovered
        self._known: dict[_Key, bytes] = {}
        self._under_way: dict[_Key, asyncio.Task[bytes | _Refused]] = {}

    @property
    def under_way(self) -> int:
        """Return how many messages are being taken."""
        return len(self._under_way)

    def add_to(self, service: HttpService) -> None:
        """Offer the endpoint on a listener."""
        service.add_route(
            "POST",
            PATH,
            self.inject,
            Access.ADMIN,
            answer=TransferAnswer,
            limits=BodyLimits(self._body_max, BODY_S),
            summary="Take a message of another node",
        )

    def _body_max(self) -> int:
        """Return how large a message may be now: none may take the memory that others need."""
        memory = self._ports.memory
        return min(BODY_MAX, max(BODY_MIN, (memory.soft - memory.usage) // _COPIES))

    def remember(self, stored: StoredMessage) -> None:
        """Know a message again that was found in the spool at the start, if it was transferred."""
        meta = stored.envelope.meta
        prior_id = meta.get(PRIOR_ID)
        if isinstance(prior_id, str):
            self._note_known(_Key(str(meta.get(PRIOR_NODE, "")), prior_id), stored.spool_id)

    def _note_known(self, key: _Key, spool_id: bytes) -> None:
        if len(self._known) >= REMEMBERED_MAX:
            del self._known[next(iter(self._known))]
        self._known[key] = spool_id

    async def inject(self, call: HttpCall) -> TransferAnswer:
        """Return the id of a message, which is safe here.

        Raises:
            HttpRefusalError: It is not.
        """
        self._ports.memory.grow(2 * len(call.raw_body))
        self._refuse_while_closed()
        try:
            message = decode_transfer(self._inflated(call.raw_body))
        except ValueError as error:
            raise HttpRefusalError(422, str(error)) from None
        if message.prior_node == self._ports.node_id:
            raise HttpRefusalError(400, "the message comes from this node itself")
        key = _Key(message.prior_node, message.prior_id)
        known = self._known.get(key)
        if known is not None:
            return TransferAnswer(known.hex())
        task = self._under_way.get(key)
        if task is None:
            came_by = {
                "xfer_from": call.peer_ip,
                "xfer_via": call.local_ip,
                "xfer_auth": call.identity,
            }
            taking = self._take(key, message, came_by)
            task = self._ports.supervisor.start(taking, f"transfer of {message.prior_id}")
            self._under_way[key] = task
            task.add_done_callback(lambda _done: self._under_way.pop(key, None))
        found = await asyncio.shield(task)
        if isinstance(found, _Refused):
            raise HttpRefusalError(found.status, found.text)
        return TransferAnswer(found.hex())

    def _inflated(self, raw: bytes) -> bytes:
        """Return the octets of a message, also of one whose sender does not say that it packs."""
        if not raw.startswith(_GZIP):
            return raw
        inflater = make_inflater("gzip", self._body_max())
        inflater.feed(raw)
        return inflater.finish()

    def _refuse_while_closed(self) -> None:
        reason = self._ports.gate()
        if reason is None and not self._has_recovered():
            # Only then is it known what was taken before the start.
            reason = "the spool is still being read"
        if reason is not None:
            raise HttpRefusalError(503, reason)

    async def _take(
        self, key: _Key, given: Transferred, came_by: dict[str, str]
    ) -> bytes | _Refused:
        """Return the id of the message here, once it is safe, or why it was not taken."""
        ports = self._ports
        if ports.recorder.must_wait:
            await ports.recorder.wait_capacity()
        try:
            message = self._make(given, came_by)
        except ValueError as error:
            return _Refused(422, str(error))
        refused = await self._ask(message)
        if refused is not None:
            return refused
        message.queue_name = name_of(message)
        is_kept = message.queue_name != DISCARD_QUEUE
        if is_kept:
            try:
                await ports.store.commit([message], relaxed=False)
            except SpoolUnavailableError as error:
                log.warning("message of another node deferred: %s", error)
                return _Refused(503, "cannot store the message now")
        self._note_known(key, message.spool_id)
        message.meta_dirty = 0
        text = f"transferred from {given.prior_node or 'another node'} as {given.prior_id}"
        ports.recorder.record(
            RecordKind.XFER_IN,
            message,
            reply=SmtpReply(250, None, text),
            where=Circumstances(peer=(given.prior_node, came_by["xfer_from"])),
        )
        if is_kept:
            message.context = InsertReason.RECEIVED
            self._insert(message)
        return bytes(message.spool_id)

    def _make(self, given: Transferred, came_by: dict[str, str]) -> Message:
        """Return the message as it was on the other node, under an id of ours.

        Raises:
            ValueError: What was kept of it makes no sense.
        """
        clock = self._ports.clock
        meta: dict[str, Any] = {
            ORIGIN_ID: given.prior_id,
            **given.meta,
            **came_by,
            PRIOR_ID: given.prior_id,
            PRIOR_NODE: given.prior_node,
        }
        message = Message(
            SpoolId(new_spool_id(int(given.created_at * 1e9))),
            given.sender,
            given.recipients,
            data=given.data,
            size=len(given.prefix) + len(given.data),
            created_at=given.created_at,
            due_mono=clock.mono(),
            meta=meta,
            flags=given.flags,
            prefix=given.prefix,
        )
        due_at = restore(message)
        if due_at is not None:
            message.due_mono = clock.mono_of(due_at)
        return message

    async def _ask(self, message: Message) -> _Refused | None:
        """Show the message to the script; return why it is not taken, or None."""
        runtime = self._ports.runtime
        if not runtime.is_handled(HOOK):
            return None
        view = MessageView(message, None, self._ports.clock)
        try:
            await finished(runtime.fire_nowait("xfer_message_received", view))
        except SmtpRefusal as refusal:
            return _Refused(422, f"refused by the policy: {refusal.reply.one_line()}")
        except HookFailedError:
            # The log has it already. Others may pass: it is about this message, as far as we know.
            return _Refused(422, "policy unavailable, try again later")
        return None
