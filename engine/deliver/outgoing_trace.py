"""What an outgoing session tells those who watch it: with whom it speaks, and what is said.

Place in flow: dispatchers, ``smtp_client`` and ``smtp_wire`` tell it, and only while somebody
watches; it publishes to ``engine.base.trace_hub``.

Invariants:
    * No credential is told, nor where a host repeats it.
    * What is not known yet is not in the metadata: who filters by it sees the event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.base.trace_hub import TraceEvent, TraceHub
from engine.model.message import Message
from engine.model.queue_name import parse_queue_name

_AUTH = "AUTH "


class OutgoingTrace:
    """What one session tells.

    Attributes:
        hub: Where to; its ``is_on`` is asked before anything is told.
    """

    __slots__ = ("_meta", "_secret", "_wall", "hub")

    def __init__(self, hub: TraceHub, wall: Callable[[], float]) -> None:
        self.hub = hub
        self._wall = wall
        self._meta: dict[str, Any] = {}
        self._secret = ""

    def begin(self, **meta: Any) -> None:
        """Tell of a new session; what is known of it is told with all that follows."""
        self._meta.update(meta)
        if self.hub.is_on:
            self._tell("BeginSession", None)

    def obtained(self, message: Message) -> None:
        """Tell of the message that is carried from now on."""
        if not self.hub.is_on:
            return
        name = parse_queue_name(message.queue_name)
        self._meta.update(
            campaign=name.campaign,
            tenant=name.tenant,
            domain=name.domain,
            routing_domain=name.routing_domain,
            egress_pool=message.pool,
            mail_from=message.sender,
            rcpt_to=list(message.recipients),
            message_id=message.id,
        )
        self._tell("MessageObtained", None)

    def connected(self, host: str, address: str, source_address: str | None) -> None:
        """Tell of a connection."""
        self._meta.update(mx_host=host, mx_addr=address, source_addr=source_address)
        if self.hub.is_on:
            self._tell("Connected", None)

    def closed(self) -> None:
        """Tell of the end of a connection."""
        if self.hub.is_on:
            self._tell("Closed", None)

    def wrote(self, line: str) -> None:
        """Tell of commands that were sent, without their line end."""
        if line.startswith(_AUTH):
            self._secret = line.rpartition(" ")[2]
            line = "AUTH PLAIN [redacted]"
        self._tell("Write", f"{line}\r\n")

    def content(self, octets: bytes) -> None:
        """Tell of content of a message that was sent."""
        self._tell("Write", octets, is_content=True)

    def read(self, text: str) -> None:
        """Tell of a reply."""
        if self._secret:
            text, self._secret = text.replace(self._secret, "[redacted]"), ""
        self._tell("Read", text)

    def diagnostic(self, level: str, message: str) -> None:
        """Tell of something that is no part of the dialogue."""
        if self.hub.is_on:
            self._tell("Diagnostic", {"level": level, "message": message})

    def _tell(self, kind: str, value: Any, *, is_content: bool = False) -> None:
        meta = {name: value for name, value in self._meta.items() if value is not None}
        self.hub.publish(TraceEvent(meta, kind, value, self._wall(), is_content))
