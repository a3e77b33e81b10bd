"""Messages that scripts make, on their way into a queue.

Place in flow: ``engine.script_mail`` hands over what a script injects; gives to the spool and to
``engine.schedule.promotion``.

Invariants:
    * What is stored is queued: the end of the handler that asked for it stops nothing half-way.
    * Nothing is taken that reception would not take now: no disk, no memory, a node that stops.

Failure: what cannot be taken is an error of the script; nothing is kept of it.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from engine.base.clock import Clock
from engine.base.dkim_signer import DkimSigner
from engine.base.lifecycle import Supervisor
from engine.model.address import domain_of
from engine.model.errors import SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.log_record import RecordKind
from engine.model.message import Message
from engine.model.queue_name import parse_queue_name
from engine.model.reply import SmtpReply
from engine.receive.message_signing import MessageSigning, SigningJob
from engine.records.recorder import Recorder
from engine.schedule.promotion import Promotion
from engine.script_views import queue_name_of
from engine.spool.spool_store import SpoolStore

DISCARD_QUEUE = "null"
_ACCEPTED = SmtpReply(250, None, "")


class SubmissionPorts(Protocol):
    """What submission needs from the node."""

    clock: Clock
    promotion: Promotion
    recorder: Recorder
    store: SpoolStore
    supervisor: Supervisor

    def gate(self) -> str | None:
        """Return why no mail is taken now, or None."""


class Submission:
    """Takes messages that scripts inject."""

    def __init__(self, ports: SubmissionPorts) -> None:
        self._ports = ports
        self._signing = MessageSigning()

    async def submit(self, message: Message, signers: list[DkimSigner], relaxed: bool) -> None:
        """Sign, store and queue a message.

        Raises:
            SpoolUnavailableError: No mail is taken now, or it could not be stored.
            ValueError: Its queue cannot be named, or its recipients belong into several.
        """
        reason = self._ports.gate()
        if reason is not None:
            raise SpoolUnavailableError(f"no mail is taken now: {reason}")
        _name_queue(message)
        if self._ports.recorder.must_wait:
            await self._ports.recorder.wait_capacity()
        if signers:
            await self._signing.sign([SigningJob(message, signers)], self._ports.clock.wall())
        # A task of its own: a handler that ends meanwhile must not leave it stored and not queued.
        taking = self._ports.supervisor.start(self._take(message, relaxed), "injection")
        await asyncio.shield(taking)

    async def _take(self, message: Message, relaxed: bool) -> None:
        ports = self._ports
        is_kept = message.queue_name != DISCARD_QUEUE
        if is_kept:
            await ports.store.commit([message], relaxed=relaxed)
        message.meta_dirty = 0
        ports.recorder.record(RecordKind.RECEPTION, message, reply=_ACCEPTED)
        if is_kept:
            message.context = InsertReason.RECEIVED
            ports.promotion.insert(message)


def _name_queue(message: Message) -> None:
    message.queue_name = queue_name_of(message)
    meta = message.meta
    is_routed = meta.get("queue") is not None or meta.get("routing_domain") is not None
    if not is_routed and len({domain_of(recipient) for recipient in message.recipients}) > 1:
        # All would go where the first one's mail goes, and be refused there.
        raise ValueError("the recipients have several domains: make a message for each")
    if not parse_queue_name(message.queue_name).domain:
        raise ValueError(f"the queue {message.queue_name!r} names no domain")
