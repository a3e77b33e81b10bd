"""Messages, refusals and connections as tests of scripts write and read them.

Place in flow: ``engine.script_testing`` makes them; handlers get the views that a node gives them.

Invariants:
    * What a handler gets has nothing that it would not have in a node: a test reads more, a script
      does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from engine.base.clock import Clock
from engine.base.dkim_signer import DkimSigner
from engine.model.message import FLAG_SMTPUTF8, Message, new_spool_id
from engine.script_refusals import SmtpRefusal
from engine.script_views import MessageView, queue_name_of

#: Events after which a message is signed.
SIGNING_EVENTS = frozenset({"smtp_data", "smtp_split_transaction", "message_received"})


class Refusal(NamedTuple):
    """What ``mta.reject`` or ``mta.disconnect`` answered.

    Attributes:
        code: Such as 550.
        text: With the enhanced status in front, if there is one.
        close_mode: What becomes of the connection: ``If421``, ``ForceDisconnect`` or
            ``FollowWith421``.
    """

    code: int
    text: str
    close_mode: str = "If421"


def refusal_of(refusal: SmtpRefusal) -> Refusal:
    """Return a refusal as a value."""
    return Refusal(refusal.reply.code, refusal.reply.full_text, refusal.close.value)


class Mail:
    """A message under test, as a test sees it."""

    def __init__(self, message: Message, clock: Clock) -> None:
        self._message = message
        self._clock = clock
        #: The signers that handlers noted, in order.
        self.signers: list[DkimSigner] = []

    def view(self, event: str = "message_received") -> MessageView:
        """Return what a handler of an event gets."""
        signers = self.signers if event in SIGNING_EVENTS else None
        return MessageView(self._message, None, self._clock, signers)

    @property
    def id(self) -> str:
        """Return the spool id."""
        return self._message.id

    @property
    def sender(self) -> str:
        """Return the envelope sender; empty for a bounce."""
        return self._message.sender

    @property
    def recipients(self) -> list[str]:
        """Return the recipients, in order."""
        return list(self._message.recipients)

    @property
    def meta(self) -> dict[str, Any]:
        """Return a copy of the metadata."""
        return dict(self._message.meta)

    @property
    def queue_name(self) -> str:
        """Return the name of the queue it belongs to now."""
        return queue_name_of(self._message)

    @property
    def num_attempts(self) -> int:
        """Return the number of delivery attempts made."""
        return self._message.attempts

    @property
    def delay_s(self) -> float:
        """Return how long it waits from now on, seconds; 0 when it may go."""
        return max(0.0, self._message.due_mono - self._clock.mono())

    @property
    def content(self) -> bytes:
        """Return header and body as they will be sent."""
        return bytes(self.view().get_data())

    @property
    def body(self) -> str:
        """Return what follows the header, lines ended by a newline."""
        text = self.content.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
        return text.replace("\r\n", "\n")

    def header(self, name: str) -> str | None:
        """Return the value of the first field of a name, or None."""
        return self.view().get_first_named_header_value(name)

    def headers(self, name: str) -> list[str]:
        """Return the values of all fields of a name."""
        return list(self.view().get_all_named_header_values(name))

    def __repr__(self) -> str:
        return f"<mail from {self.sender or '<>'} to {', '.join(self.recipients)}>"


def make_signing_key(algorithm: Literal["rsa", "ed25519"] = "rsa") -> str:
    """Return a new private key for DKIM, as the text of a PEM file."""
    key = (
        rsa.generate_private_key(65537, 2048)
        if algorithm == "rsa"
        else ed25519.Ed25519PrivateKey.generate()
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def make_mail(
    clock: Clock,
    text: str = "hello",
    *,
    sender: str = "sender@example.com",
    recipients: Iterable[str] = ("someone@example.org",),
    headers: Mapping[str, str | Iterable[str] | None] | None = None,
    raw: bytes | None = None,
    meta: Mapping[str, Any] | None = None,
    num_attempts: int = 0,
) -> Mail:
    """Return a message as it is when its last octet has come in.

    Args:
        clock: The clock of the test.
        text: The body.
        sender: Envelope sender; empty for a bounce.
        recipients: Of the envelope.
        headers: Fields besides From, To and Subject, which are made up; None leaves one out.
        raw: Header and body instead.
        meta: Metadata.
        num_attempts: Delivery attempts made.
    """
    recipients = list(recipients)
    if raw is None:
        raw = format_content(text, sender, recipients, headers or {})
    elif headers:
        raise ValueError("raw is header and body: give either raw or headers")
    data = b"\r\n".join(raw.splitlines()) + b"\r\n"
    wall_s = clock.wall()
    is_plain = all(address.isascii() for address in (sender, *recipients))
    message = Message(
        new_spool_id(int(wall_s * 1e9)),
        sender,
        recipients,
        data=data,
        size=len(data),
        created_at=wall_s,
        due_mono=clock.mono(),
        meta=dict(meta or {}),
        attempts=num_attempts,
        flags=0 if is_plain else FLAG_SMTPUTF8,
    )
    return Mail(message, clock)


def format_content(
    text: str,
    sender: str,
    recipients: Iterable[str],
    headers: Mapping[str, str | Iterable[str] | None],
) -> bytes:
    """Return header and body."""
    fields: dict[str, str | Iterable[str] | None] = {
        "From": sender or "mailer-daemon@example.com",
        "To": ", ".join(recipients),
        "Subject": "test",
    }
    for name, value in headers.items():
        known = next((one for one in fields if one.lower() == name.lower()), name)
        fields[known] = value
    lines = [
        f"{name}: {one}"
        for name, value in fields.items()
        if value is not None
        for one in ([value] if isinstance(value, str) else value)
    ]
    return "\r\n".join([*lines, "", *text.splitlines(), ""]).encode()
