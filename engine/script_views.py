"""What a handler holds: views of a message and of a connection, never the live objects.

Place in flow: made by whoever fires a hook; handed through ``policy.runtime`` to the handler.

Invariants:
    * Nothing here waits: the engine has loaded what a handler may touch.
    * A change is made on the message at once and noted in its ``meta_dirty``; who fired the hook
      stores it, as the hook's declaration says.
    * What a script sets is a copy of plain values: no reference into the script stays.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from engine.base.clock import Clock
from engine.base.dkim_signer import DkimSigner
from engine.model import header_block
from engine.model.address import EnvelopeAddress, domain_of, parse_address
from engine.model.message import FLAG_8BIT, FLAG_SMTPUTF8, FLAG_WIRE_READY, Message
from engine.model.queue_name import format_queue_name
from engine.model.schedule_window import adjust_due, parse_schedule

#: Marks in ``Message.meta_dirty``: what must be stored again.
DIRTY_ENVELOPE = 1
DIRTY_BODY = 2
#: The most octets of a metadata value that a script sets, and its deepest nesting.
META_VALUE_MAX = 1 << 20
META_DEPTH_MAX = 32
#: The most DKIM signatures that a message is given.
SIGNATURES_MAX = 8
_PLAIN = (str, int, float, bool, type(None))
_BARE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def plain_copy(value: Any, depth: int = 0) -> Any:
    """Return a deep copy made of plain JSON values only.

    Raises:
        TypeError: The value holds something that JSON does not know.
        ValueError: It is nested too deeply, or a number is not finite.
    """
    if isinstance(value, _PLAIN):
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("numbers must be finite")
        if isinstance(value, str) and len(value) > META_VALUE_MAX:
            raise ValueError("the value is too large")
        return value
    if depth >= META_DEPTH_MAX:
        raise ValueError("the value is nested too deeply")
    if isinstance(value, list | tuple):
        return [plain_copy(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys must be text")
        return {key: plain_copy(item, depth + 1) for key, item in value.items()}
    raise TypeError(f"wants plain values (text, numbers, lists, dicts), not {type(value).__name__}")


def queue_name_of(message: Message) -> str:
    """Return the name of the queue a message belongs to, from its metadata and first recipient.

    Raises:
        ValueError: A part of the name cannot stand in a queue name.
    """
    meta = message.meta
    if meta:
        override = meta.get("queue")
        if override is not None:
            return str(override)
        tenant, campaign = meta.get("tenant"), meta.get("campaign")
        routing_domain = meta.get("routing_domain")
    else:
        tenant = campaign = routing_domain = None
    domain = domain_of(message.recipients[0]) if message.recipients else ""
    return format_queue_name(
        domain,
        None if tenant is None else str(tenant),
        None if campaign is None else str(campaign),
        None if routing_domain is None else str(routing_domain),
    )


class MessageView:
    """A message as a handler sees it."""

    __slots__ = ("_clock", "_load", "_message", "_signers")
    __script_writable__ = frozenset({"sender", "recipient", "recipient_list"})

    def __init__(
        self,
        message: Message,
        load_body: Callable[[Any], bytes] | None = None,
        clock: Clock | None = None,
        signers: list[DkimSigner] | None = None,
    ) -> None:
        self._message = message
        self._load = load_body
        self._clock = clock
        # Where signers are noted; None in events after which nobody signs.
        self._signers = signers

    # -- envelope -----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Return the spool id, 32 hexadecimal digits."""
        return self._message.id

    @property
    def sender(self) -> EnvelopeAddress:
        """Return the envelope sender; empty for a bounce."""
        return parse_address(self._message.sender)

    @sender.setter
    def sender(self, value: Any) -> None:
        self._message.sender = _address(value).email
        if not self._message.sender.isascii():
            self._message.flags |= FLAG_SMTPUTF8
        self._touch()

    @property
    def recipient(self) -> EnvelopeAddress:
        """Return the only recipient.

        Raises:
            ValueError: There are several: use ``recipient_list``.
        """
        recipients = self._message.recipients
        if len(recipients) != 1:
            raise ValueError(
                f"the message has {len(recipients)} recipients; use msg.recipient_list"
            )
        return parse_address(recipients[0])

    @recipient.setter
    def recipient(self, value: Any) -> None:
        values = list(value) if isinstance(value, list | tuple) else [value]
        self._set_recipients(values)

    @property
    def recipient_list(self) -> list[EnvelopeAddress]:
        """Return the recipients, in order."""
        return [parse_address(email) for email in self._message.recipients]

    @recipient_list.setter
    def recipient_list(self, value: Iterable[Any]) -> None:
        self._set_recipients(list(value))

    def _set_recipients(self, values: list[Any]) -> None:
        if not values:
            raise ValueError("a message needs a recipient")
        self._message.recipients = [_address(value).email for value in values]
        if not all(email.isascii() for email in self._message.recipients):
            self._message.flags |= FLAG_SMTPUTF8
        self._touch()

    def set_sender(self, value: Any) -> None:
        """Set the envelope sender."""
        self.sender = value

    def set_recipient(self, value: Any) -> None:
        """Set the recipient, or several given as a list."""
        self.recipient = value

    @property
    def queue_name(self) -> str:
        """Return the name of the queue, from recipient and metadata as they are now."""
        return queue_name_of(self._message)

    @property
    def num_attempts(self) -> int:
        """Return the number of delivery attempts made."""
        return self._message.attempts

    def _touch(self) -> None:
        self._message.meta_dirty |= DIRTY_ENVELOPE

    # -- metadata -----------------------------------------------------------------------------

    def get_meta(self, name: str) -> Any:
        """Return a metadata value, or None. Lists and dicts are copies."""
        value = self._message.meta.get(name)
        return value if isinstance(value, _PLAIN) else plain_copy(value)

    def set_meta(self, name: str, value: Any) -> None:
        """Set a metadata value: text, number, bool, None, or a list or dict of these."""
        if not isinstance(name, str):
            raise TypeError("the name of a metadata value is text")
        if name in _QUEUE_KEYS and value is not None and not isinstance(value, str):
            raise TypeError(f"{name} wants text")
        self._message.meta[name] = plain_copy(value)
        self._message.meta_dirty |= DIRTY_ENVELOPE

    # -- content ------------------------------------------------------------------------------

    def _body(self) -> bytes:
        message = self._message
        if message.data is None:
            if self._load is None:
                raise ValueError("the content is not available in this event")
            message.data = self._load(message.body_id)
        return message.data

    def get_data(self) -> bytes:
        """Return the whole message: header and body as they will be sent."""
        return self._message.prefix + self._body()

    def set_data(self, data: bytes | str) -> None:
        """Replace the whole message. Bare line ends become CRLF."""
        raw = data.encode() if isinstance(data, str) else data
        if not isinstance(raw, bytes):
            raise TypeError("wants bytes or text")
        self._message.prefix = b""
        self._replace_body(_BARE_LINE_END.sub(b"\r\n", raw))

    def _replace_body(self, data: bytes) -> None:
        message = self._message
        if not data:
            raise ValueError("a message cannot be empty")
        message.data = data
        message.body_id = message.spool_id
        message.size = len(message.prefix) + len(data)
        message.flags &= ~(FLAG_8BIT | FLAG_WIRE_READY)
        if not (data.isascii() and message.prefix.isascii()):
            message.flags |= FLAG_8BIT
        message.meta_dirty |= DIRTY_ENVELOPE | DIRTY_BODY

    def get_first_named_header_value(self, name: str) -> str | None:
        """Return the first value of a header field, unfolded and decoded, or None."""
        prefix = self._message.prefix
        raw = header_block.find_first(prefix, name) if prefix else None
        if raw is None:
            raw = header_block.find_first(self._body(), name)
        return None if raw is None else header_block.decode_value(raw)

    def get_all_named_header_values(self, name: str) -> list[str]:
        """Return all values of a header field, in order."""
        found = header_block.find_all(self._message.prefix, name)
        found += header_block.find_all(self._body(), name)
        return [header_block.decode_value(raw) for raw in found]

    def get_all_headers(self) -> list[list[str]]:
        """Return all header fields as pairs of name and decoded value."""
        return [
            [name, header_block.decode_value(raw)]
            for part in (self._message.prefix, self._body())
            for name, raw, _, _ in header_block.iter_fields(part)
        ]

    def prepend_header(self, name: str, value: str, encode: bool = False) -> None:
        """Put a header field in front of all others."""
        message = self._message
        row = header_block.format_field(name, value, encode=encode)
        message.prefix = row + message.prefix
        message.size += len(row)
        if not row.isascii():
            message.flags |= FLAG_8BIT
        self._touch()

    def append_header(self, name: str, value: str, encode: bool = False) -> None:
        """Put a header field behind all others."""
        data = self._body()
        end = header_block.header_end(data)
        row = header_block.format_field(name, value, encode=encode)
        self._replace_body(data[:end] + row + data[end:])

    def remove_all_named_headers(self, name: str) -> None:
        """Remove every header field of this name."""
        self._remove({name.lower()})

    def remove_x_headers(self, names: Iterable[str] = ()) -> None:
        """Remove these header fields, or with no names all that start with X-."""
        wanted = {name.lower() for name in names}
        if not wanted:
            wanted = {
                name.lower()
                for name, _, _, _ in header_block.iter_fields(self._body())
                if name[:2].lower() == "x-"
            }
        self._remove(wanted)

    def _remove(self, names: set[str]) -> None:
        message = self._message
        prefix = header_block.remove_all(message.prefix, names)
        if len(prefix) != len(message.prefix):
            message.size -= len(message.prefix) - len(prefix)
            message.prefix = prefix
            self._touch()
        data = self._body()
        changed = header_block.remove_all(data, names)
        if len(changed) != len(data):
            self._replace_body(changed)

    def import_x_headers(self, names: Iterable[str] = ()) -> None:
        """Copy header fields into metadata: X-Some-Name becomes x_some_name; the last one wins."""
        wanted = {name.lower() for name in names}
        for name, raw, _, _ in header_block.iter_fields(self._body()):
            lower = name.lower()
            if lower in wanted or (not wanted and lower.startswith("x-")):
                self.set_meta(lower.replace("-", "_"), header_block.decode_value(raw))

    def dkim_sign(self, signer: DkimSigner) -> None:
        """Have the message signed, as it is after the last handler of its reception."""
        if self._signers is None:
            raise ValueError(
                "mail is signed when it is received: in smtp_data, smtp_split_transaction or"
                " message_received"
            )
        if not isinstance(signer, DkimSigner):
            raise TypeError("wants a signer, as mta.dkim.rsa_sha256_signer(...) makes it")
        if len(self._signers) >= SIGNATURES_MAX:
            raise ValueError(f"a message gets at most {SIGNATURES_MAX} signatures")
        self._signers.append(signer)

    # -- scheduling ---------------------------------------------------------------------------

    def set_due(self, due: Any = None) -> None:
        """Set when the message may next be sent: None for now, RFC 3339 text, or a datetime."""
        if self._clock is None:
            raise ValueError("the due time cannot be set in this event")
        message = self._message
        if due is None:
            due_at = 0.0
        elif isinstance(due, datetime):
            due_at = due.timestamp()
        elif isinstance(due, str):
            instant = datetime.fromisoformat(due)
            if instant.tzinfo is None:
                raise ValueError("the due time needs a zone, as in 2030-01-31T09:00:00Z")
            due_at = instant.timestamp()
        else:
            raise TypeError("the due time is None, RFC 3339 text or a datetime")
        if message.schedule is not None:
            due_at = adjust_due(message.schedule, max(due_at, message.created_at))
        message.due_mono = self._clock.mono_of(due_at)
        self._touch()

    def _delay_by(self, delay_s: float) -> None:
        """Move the due time behind a throttle: for ``engine.script_api``, not for scripts."""
        if self._clock is None:
            raise ValueError("the due time cannot be set in this event")
        self._message.due_mono = self._clock.mono() + delay_s
        self._touch()

    def set_scheduling(self, schedule: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Set first_attempt, expires and delivery window; None removes them. Return what holds."""
        message = self._message
        message.schedule = None if schedule is None else parse_schedule(schedule)
        if message.schedule is not None and self._clock is not None:
            due_at = self._clock.wall_of(message.due_mono)
            message.due_mono = self._clock.mono_of(adjust_due(message.schedule, due_at))
        self._touch()
        return None if message.schedule is None else message.schedule.to_dict()

    def import_scheduling_header(self, name: str, remove: bool = False) -> dict[str, Any] | None:
        """Set the schedule from a header field that holds it as JSON."""
        import msgspec  # noqa: PLC0415 - used by this rare call only

        value = self.get_first_named_header_value(name)
        if value is None:
            return None
        try:
            schedule = msgspec.json.decode(value, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise ValueError(f"the header {name} is no schedule: {error}") from error
        result = self.set_scheduling(schedule)
        if remove:
            self.remove_all_named_headers(name)
        return result


_QUEUE_KEYS = frozenset({"queue", "tenant", "campaign", "routing_domain"})


def _address(value: Any) -> EnvelopeAddress:
    if isinstance(value, EnvelopeAddress):
        return value
    if isinstance(value, str):
        return parse_address(value)
    raise TypeError(f"wants an address, not {type(value).__name__}")


class ConnectionView:
    """A client's connection as a handler sees it: named values, kept until it closes."""

    __slots__ = ("_meta",)

    def __init__(self, meta: dict[str, Any]) -> None:
        self._meta = meta

    def get_meta(self, name: str) -> Any:
        """Return a value of the connection, or None."""
        value = self._meta.get(name)
        return value if isinstance(value, _PLAIN) else plain_copy(value)

    def set_meta(self, name: str, value: Any) -> None:
        """Set a value; messages received over the connection start with a copy of all values."""
        if not isinstance(name, str):
            raise TypeError("the name of a metadata value is text")
        self._meta[name] = plain_copy(value)
