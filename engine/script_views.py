"""What a handler holds: views of a message and of a connection, never the live objects.

Place in flow: made by whoever fires a hook; handed through ``policy.runtime`` to the handler.

Invariants:
    * Nothing here waits: the engine has loaded what a handler may touch.
    * A change is made on the message at once and noted in its ``meta_dirty``; who fired the hook
      stores it, as the hook's declaration says.
    * What a script sets is a copy of plain values: no reference into the script stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from engine.base.clock import Clock
from engine.base.dkim_signer import DkimSigner
from engine.model.address import EnvelopeAddress, domain_of, parse_address
from engine.model.message import FLAG_SMTPUTF8, Message
from engine.model.queue_name import format_queue_name
from engine.model.schedule_window import adjust_due, parse_schedule
from engine.script_content import ContentView
from engine.script_metadata import (
    DIRTY_BODY,
    DIRTY_ENVELOPE,
    AuthInfo,
    ConnectionView,
    plain_copy,
)
from policy.script_api import known_to_scripts

__all__ = [
    "DIRTY_BODY",
    "DIRTY_ENVELOPE",
    "AuthInfo",
    "ConnectionView",
    "MessageView",
    "plain_copy",
    "queue_name_of",
]

known_to_scripts("Address")(EnvelopeAddress)
#: The most DKIM signatures that a message is given.
SIGNATURES_MAX = 8


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


@known_to_scripts("Message")
class MessageView(ContentView):
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
        emails = [_address(value).email for value in values]
        if not emails or not all(emails):
            raise ValueError("a message needs a recipient")
        self._message.recipients = emails
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

    def increment_num_attempts(self) -> None:
        """Count one more attempt; it is kept when the message is next stored."""
        self._message.attempts += 1

    # -- signing ------------------------------------------------------------------------------

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
            due_at = _instant(due).timestamp()
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


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise ValueError(f"not a time with a zone, such as 2030-01-31T09:00:00Z: {text[:100]!r}")
    return instant


def _address(value: Any) -> EnvelopeAddress:
    if isinstance(value, EnvelopeAddress):
        return value
    if isinstance(value, str):
        return parse_address(value)
    raise TypeError(f"wants an address, not {type(value).__name__}")
