"""Where a message is: waiting in a queue, in a ready queue, in a session's hand, or only on disk.

Place in flow: asked by the operations on single messages; looks at the queues of the node.

Invariants:
    * Who takes a message out of its place has it alone, and puts it back or settles it before
      anything else runs.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.admin.admin_node import AdminNode
from engine.admin.errors import OperationRefusedError, Refusal
from engine.deliver.outgoing_session import OutgoingSession
from engine.model.message import Message, SpoolId, StoredEnvelope, message_from
from engine.ready.ready_queue import ReadyQueue
from engine.schedule.pace import Pace
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.timer_wheel import Waiting
from engine.schedule.transferring import name_of


class Place(NamedTuple):
    """Where a message is; of what it is in one is given.

    Attributes:
        stored: What the spool has of it.
        queue_name: The scheduled queue that it belongs to.
        queue: That queue, if there is one now.
        entry: Its entry there, where it waits.
        ready: The ready queue that it is in.
        session: The session that carries it.
    """

    stored: StoredEnvelope
    queue_name: str
    queue: ScheduledQueue | None = None
    entry: Waiting | None = None
    ready: ReadyQueue | None = None
    session: OutgoingSession | None = None


async def find_place(node: AdminNode, spool_id: SpoolId) -> Place:
    """Return where a message is now.

    Raises:
        OperationRefusedError: There is no such message.
        EngineError: The spool cannot be read.
    """
    stored = node.store.load(spool_id)
    if stored is None:
        raise OperationRefusedError(Refusal.NOT_FOUND, "no such message")
    name = name_of(message_from(spool_id, stored, 0.0))
    queue = node.queues.find(name)
    if queue is not None:
        entry = queue.entries.get(spool_id)
        if entry is not None:
            return Place(stored, name, queue, entry)
        for ready in queue.plan.queues.values() if queue.plan is not None else ():
            if _holds(ready, spool_id):
                return Place(stored, name, queue, ready=ready)
    for session in node.dispatching.dispatchers.values():
        if session.carries(spool_id):
            return Place(stored, name, queue, session=session)
    return await _look_everywhere(node, spool_id, Place(stored, name, queue))


async def _look_everywhere(node: AdminNode, spool_id: SpoolId, place: Place) -> Place:
    """Return where a message is that is not where its name and plan lead to."""
    pace = Pace(node.clock.mono)
    for ready in node.ready:
        if pace.is_spent():
            await pace.wait()
        if _holds(ready, spool_id):
            return place._replace(ready=ready)
    for queue in node.queues:
        if pace.is_spent():
            await pace.wait()
        entry = queue.entries.get(spool_id)
        if entry is not None:
            return place._replace(queue_name=queue.name, queue=queue, entry=entry)
    return place


def _holds(ready: ReadyQueue, spool_id: SpoolId) -> bool:
    return any(message.spool_id == spool_id for message in ready.messages)


def take_out(node: AdminNode, spool_id: SpoolId, place: Place) -> Message:
    """Return a message taken out of its place; the caller has it now, and must not wait.

    Raises:
        OperationRefusedError: It is being sent, or not yet read back from disk.
        EngineError: The spool cannot be read; the message stays where it is.
    """
    if place.entry is not None and place.queue is not None and place.queue.knows(place.entry):
        # What was read when the search began may be of before an attempt: whoever has the message
        # since must not get it again.
        stored = node.store.load(spool_id)
        if stored is None:
            raise OperationRefusedError(Refusal.NOT_FOUND, "no such message")
        message = message_from(spool_id, stored, place.entry.due_mono)
        message.queue_name = place.queue.name
        message.context = place.entry.context
        place.queue.discard(place.entry)
        return message
    if place.ready is not None:
        pulled = place.ready.pull(lambda message: message.spool_id == spool_id)
        if pulled:
            return pulled[0]
    if place.session is not None:
        raise OperationRefusedError(Refusal.UNAVAILABLE, "the message is being sent just now")
    raise OperationRefusedError(Refusal.UNAVAILABLE, "the message is on its way; try again")
