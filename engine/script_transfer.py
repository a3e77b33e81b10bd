"""``mta.xfer``: a script sets a message aside for another node, and brings it back.

Place in flow: exposed through ``engine.script_api``; ``engine.transfers`` fills the ports. What is
changed is metadata, schedule, attempts and due time; it counts in the events after which the queue
is named anew, and is stored as they say.

Invariants:
    * Nothing here waits, and nothing is sent: that is the business of the message's new queue.
    * A message that goes to the wanted node already is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.base.clock import Clock
from engine.model.duration import parse_duration
from engine.model.message import Message
from engine.model.transfer_state import assign, assigned_target, restore
from engine.model.transfer_target import TransferTarget, parse_target
from engine.script_views import DIRTY_ENVELOPE, MessageView, queue_name_of
from policy.script_api import ScriptNamespace

MODULE = "mta.xfer"

#: Ports: remember who we are to a node; record a move (message, old queue, new queue, reason).
Learn = Callable[[TransferTarget], None]
NoteMove = Callable[[Message, str, str, str], None]


class ScriptTransfer:
    """The functions of ``mta.xfer``."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._learn: Learn = lambda _target: None
        self._note: NoteMove = lambda _message, _before, _after, _why: None

    def connect(self, clock: Clock, learn: Learn, note: NoteMove) -> None:
        """Fill the ports."""
        self._clock, self._learn, self._note = clock, learn, note

    def xfer(self, msg: MessageView, target: str, reason: str | None = None) -> None:
        """Have a message transferred to another node, which goes on with it as it is.

        Args:
            msg: The message.
            target: The URL of the node.
            reason: Why; with it, the move is recorded.
        """
        message, node = _message(msg), parse_target(target)
        self._assign(message, node, reason, self._clock.wall_of(message.due_mono))

    def xfer_in_requeue(
        self,
        msg: MessageView,
        target: str,
        reasons: Sequence[str],
        attempt_counted: bool,
        delay: float | str | None,
        reason: str | None = None,
    ) -> None:
        """Do so in ``message_requeued``: the attempt that just failed goes along.

        Args:
            msg: The message.
            target: The URL of the node.
            reasons: As the handler was given it, like the following.
            attempt_counted: Whether the attempt counts.
            delay: When it would be tried again here, in seconds.
            reason: Why; with it, the move is recorded.
        """
        del reasons  # they tell why it waited here
        message, node = _message(msg), parse_target(target)
        due_at = self._clock.wall() + (0.0 if delay is None else parse_duration(delay))
        if assigned_target(message) is None and attempt_counted:
            message.attempts += 1
        self._assign(message, node, reason, due_at)

    def cancel_xfer(self, msg: MessageView, reason: str | None = None) -> None:
        """Have a message go on here that was to be transferred; others are left alone.

        Args:
            msg: The message.
            reason: Why; with it, the move is recorded.
        """
        message = _message(msg)
        if assigned_target(message) is None:
            return
        before = _queue_of(message)
        due_at = restore(message)
        if due_at is not None:
            message.due_mono = self._clock.mono_of(due_at)
        self._moved(message, before, reason)

    def get_xfer_target(self, msg: MessageView) -> str | None:
        """Return the URL of the node that a message is to be transferred to, or None."""
        target = assigned_target(_message(msg))
        return None if target is None else target.url

    def _assign(
        self, message: Message, target: TransferTarget, reason: str | None, due_at: float
    ) -> None:
        self._learn(target)
        if assigned_target(message) == TransferTarget(target.url):
            return
        before = _queue_of(message)
        assign(message, target, due_at)
        message.due_mono = self._clock.mono()
        self._moved(message, before, reason)

    def _moved(self, message: Message, before: str, reason: str | None) -> None:
        message.meta_dirty |= DIRTY_ENVELOPE
        if reason is not None:
            self._note(message, before, _queue_of(message), str(reason))

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make the functions importable by scripts."""
        functions: tuple[Callable[..., Any], ...] = (
            self.xfer,
            self.xfer_in_requeue,
            self.cancel_xfer,
            self.get_xfer_target,
        )
        for function in functions:
            namespace.expose(function.__name__, function, module=MODULE)


def _message(msg: MessageView) -> Message:
    if not isinstance(msg, MessageView):
        raise TypeError("wants the message that a handler was given")
    return msg._message


def _queue_of(message: Message) -> str:
    try:
        return queue_name_of(message)
    except ValueError:
        return ""
