"""What the spool held at start, given back to the queues; damaged entries reported.

Place in flow: ports of ``engine.spool.recovery``, filled in by ``engine.app``; gives messages to
``engine.schedule.promotion``.

Invariants:
    * Due time and attempt count are as they were stored.
    * A failing ``message_enumerated`` handler, or a name that no queue can have, strands nothing.
    * A damaged entry is a record and a line in the diagnostic log, once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Protocol

from engine.base.clock import Clock
from engine.model.log_record import RecordKind
from engine.model.message import Message, SpoolId, message_from, new_spool_id
from engine.model.message_mark import mark_of
from engine.model.queue_name import parse_queue_name
from engine.model.reply import make_reply
from engine.records.recorder import Recorder
from engine.schedule.promotion import Promotion
from engine.script_refusals import SmtpRefusal
from engine.script_views import DIRTY_BODY, MessageView, queue_name_of
from engine.spool.spool_store import DamagedEntry, SpoolStore, StoredMessage
from policy.errors import HookFailedError
from policy.runtime import PolicyRuntime

log = logging.getLogger("cirrus.schedule")

#: Where messages wait whose queue cannot be named: operators see them there until they expire.
UNROUTABLE = "unroutable.invalid"


class ReinsertionPorts(Protocol):
    """What reinsertion needs from the node."""

    clock: Clock
    store: SpoolStore
    runtime: PolicyRuntime
    recorder: Recorder
    promotion: Promotion


class Reinsertion:
    """Puts recovered messages back where they belong."""

    def __init__(self, ports: ReinsertionPorts) -> None:
        self._ports = ports

    def reinsert(self, stored: StoredMessage) -> Awaitable[None] | None:
        """Put a message into its queue; return what is to be awaited where a handler is asked."""
        due_mono = self._ports.clock.mono_of(stored.envelope.due_at)
        message = message_from(stored.spool_id, stored.envelope, due_mono)
        if self._ports.runtime.is_handled("message_enumerated"):
            return self._ask(message)
        self._place(message)
        return None

    async def _ask(self, message: Message) -> None:
        store = self._ports.store
        view = MessageView(message, store.load_body, self._ports.clock)
        try:
            await self._ports.runtime.fire("message_enumerated", view)
        except (HookFailedError, SmtpRefusal) as error:
            log.error("message_enumerated failed for %s: %s", message.id, error)
        if message.meta_dirty & DIRTY_BODY:
            store.replace_body(message)
        elif message.meta_dirty:
            store.update(message)
        self._place(message)

    def _place(self, message: Message) -> None:
        name = queue_name_of(message)
        if not parse_queue_name(name).domain:
            log.error("message %s has no queue name: %r", message.id, name)
            name = UNROUTABLE
        mark = mark_of(message.sender, message.recipients)
        self._ports.promotion.add_waiting(message.spool_id, name, message.due_mono, mark)

    def report_damaged(self, entry: DamagedEntry) -> None:
        """Record a damaged entry and have it set aside."""
        log.error("damaged spool entry %s: %s", entry.spool_id.hex() or "unknown", entry.reason)
        spool_id = SpoolId(entry.spool_id) if len(entry.spool_id) == 16 else new_spool_id()
        created_at = self._ports.clock.wall()
        stand_in = Message(spool_id, "", [], data=None, size=0, created_at=created_at)
        reply = make_reply(554, f"5.3.0 the spool entry is damaged: {entry.reason}")
        self._ports.recorder.record(RecordKind.BOUNCE, stand_in, reply=reply)
        if entry.spool_id:
            self._ports.store.quarantine(entry.spool_id)
