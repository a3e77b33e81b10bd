"""Messages that a script makes and sends itself.

Place in flow: scripts call ``mta.make_message`` and ``await mta.inject_message``; ``engine.app``
fills the port, ``engine.submission``.

Invariants:
    * Only a message that was made here is injected, and once: one that the node holds already
      would be delivered twice.
    * What is injected is a copy: the script cannot change what a queue holds.
    * No event is fired for it: a handler that injects does not call itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from engine.base.clock import Clock
from engine.base.dkim_signer import DkimSigner
from engine.model.message import Message, new_spool_id
from engine.model.mime_part import MimePart
from engine.script_views import MessageView
from policy.script_api import ScriptNamespace, known_to_scripts

#: What ``reception_protocol`` says of such a message.
PROTOCOL = "Script"

#: Port: sign, store and queue a message; the last argument asks for an unsynced write.
Submit = Callable[[Message, list[DkimSigner], bool], Awaitable[None]]


@known_to_scripts("Message")
class OwnMessageView(MessageView):
    """A message of the script that made it."""

    __slots__ = ("_is_injected",)

    def __init__(self, message: Message, clock: Clock) -> None:
        super().__init__(message, None, clock, [])
        self._is_injected = False


async def _refuse(_message: Message, _signers: list[DkimSigner], _relaxed: bool) -> None:
    raise RuntimeError("the node does not run: nothing is injected")


class ScriptMail:
    """The functions of ``mta`` that make and send messages."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._submit: Submit = _refuse

    def connect(self, clock: Clock, submit: Submit) -> None:
        """Fill the ports: from now on messages are sent."""
        self._clock = clock
        self._submit = submit

    def make_message(
        self, sender: Any, recipient: Any, body: bytes | str | MimePart
    ) -> OwnMessageView:
        """Return a new message; ``await mta.inject_message(msg)`` sends it.

        Args:
            sender: Envelope sender; empty for a bounce.
            recipient: A recipient, or a list of them.
            body: Header and body: bytes, text or a MIME part.
        """
        wall_s = self._clock.wall()
        message = Message(
            new_spool_id(int(wall_s * 1e9)),
            "",
            [],
            data=b"",
            size=0,
            created_at=wall_s,
            due_mono=self._clock.mono(),
            meta={"reception_protocol": PROTOCOL},
        )
        view = OwnMessageView(message, self._clock)
        view.set_sender("" if sender is None else sender)
        view.set_recipient(recipient)
        view.set_data(body)
        return view

    async def inject_message(self, msg: OwnMessageView, deferred_spool: bool = False) -> None:
        """Store a message of ``mta.make_message`` and queue it. No event is fired for it.

        Args:
            msg: The message; it can be injected once.
            deferred_spool: Whether an unsynced write is enough.
        """
        if not isinstance(msg, OwnMessageView):
            raise TypeError("wants a message of mta.make_message")
        # A dry check runs a handler up to its first wait: nothing is sent by it.
        await asyncio.sleep(0)
        if msg._is_injected:
            raise ValueError("the message was injected before: make another one")
        msg._is_injected = True
        try:
            await self._submit(_copy(msg._message), list(msg._signers or ()), bool(deferred_spool))
        except asyncio.CancelledError:
            # It may be under way all the same.
            raise
        except BaseException:
            msg._is_injected = False
            raise

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make both functions importable by scripts."""
        namespace.expose("make_message", self.make_message)
        namespace.expose("inject_message", self.inject_message, waits=True)


def _copy(message: Message) -> Message:
    return Message(
        message.spool_id,
        message.sender,
        list(message.recipients),
        data=message.data,
        size=message.size,
        created_at=message.created_at,
        due_mono=message.due_mono,
        meta=dict(message.meta),
        flags=message.flags,
        schedule=message.schedule,
        prefix=message.prefix,
        attempts=message.attempts,
    )
