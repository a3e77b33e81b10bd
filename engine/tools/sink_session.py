"""A sink's side of an ESMTP or LMTP dialogue.

Place in flow: ``sink_server`` makes one per connection, on ``sink_hello``; ``sink_script`` chooses
replies; messages go back to the server.

Invariants:
    * Memory is bounded by the longest message allowed.

Failure: what a client does against the standard is answered, counted as a violation, and taken as
far as it can be: a sink is there to show it.

Standard: RFC 5321, 2033 (LMTP), 2920 (PIPELINING), 3030 (CHUNKING), 3207 (STARTTLS), 4954 (AUTH).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.tools.sink_hello import SinkHello
from engine.tools.sink_options import Extension, SinkMessage, SinkReply, Stage

if TYPE_CHECKING:
    from engine.tools.sink_server import Sink

#: A longer command line ends the connection.
MAX_LINE = 8192
#: A longer address is refused: far past RFC 5321, 4.5.3.1.3, and it bounds what is remembered.
MAX_ADDRESS = 1024
_END = b"\r\n.\r\n"
_PATH = re.compile(r'\s*<((?:"(?:[^"\\]|\\.)*"|[^>"])*)>\s*(.*)\Z')
_TAKEN = "250 2.0.0 taken"
_NOT_STORED = SinkReply("452 4.3.1 the message cannot be stored here now")
_NO_PARAMS: Mapping[str, str] = MappingProxyType({})


class _Mode(enum.Enum):
    COMMAND = enum.auto()
    DATA = enum.auto()
    CHUNK = enum.auto()


class SinkSession(SinkHello):
    """A dialogue.

    Attributes:
        params: Of MAIL.
        messages: Taken on this connection.
    """

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink)
        self._pipelining = Extension.PIPELINING in sink.options.extensions
        self._mode = _Mode.COMMAND
        self._scan = 0
        self._oversize_bytes = 0
        self._chunks = bytearray()
        self._chunk_bytes = 0
        self._chunk_is_last = False
        self.params: Mapping[str, str] = _NO_PARAMS
        self.messages = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything."""
        if self._mode is not _Mode.COMMAND and not self._is_closing:
            self._stats.note_violation("connection that ended inside a message")
        super().connection_lost(exc)

    def _take(self) -> bool:
        match self._mode:
            case _Mode.DATA:
                return self._take_data()
            case _Mode.CHUNK:
                return self._take_chunk()
            case _:
                return self._take_line()

    def _take_line(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0 or end > MAX_LINE:
            if len(self._buffer) <= MAX_LINE:
                return False
            self._stats.note_violation("command line too long")
            self._say(Stage.OTHER, SinkReply("500 5.5.2 line too long", close=True))
            return True
        line = self._buffer[:end]
        del self._buffer[: end + 1]
        if line[-1:] == b"\r":
            del line[-1]
        else:
            self._stats.note_violation("command line without CR")
        text = line.decode("utf-8", "surrogateescape")
        if self._expects_auth:
            self._answer_auth(text)
            return True
        if self._buffer and not self._pipelining:
            self._stats.note_violation("pipelining that was not offered")
        verb, _, rest = text.partition(" ")
        command = _COMMANDS.get(verb.upper())
        if command is None:
            self._stats.note_violation("unknown command")
            self._say(Stage.OTHER, SinkReply("500 5.5.1 unknown command"))
        else:
            command(self, rest)
        return True

    # -- the transaction

    def _reset(self) -> None:
        self._in_transaction = False
        self.sender = ""
        self.recipients = []
        self.recipient = None
        self.params = _NO_PARAMS
        self._chunks.clear()

    def _on_mail(self, rest: str) -> None:
        found = _PATH.match(rest, 5) if rest[:5].upper() == "FROM:" else None
        refusal = self._refuse_mail() or ("" if found else "501 5.5.2 MAIL FROM:<address>")
        params = _read_params(found[2]) if found else {}
        refusal = refusal or self._refuse_params(params)
        if refusal or found is None:
            self._say(Stage.MAIL, SinkReply(refusal, close=refusal.startswith("421")))
            return
        self.sender = found[1]
        if self._answer(Stage.MAIL, found[1], "250 2.1.0 sender ok"):
            self._in_transaction = True
            self.params = params
        else:
            self.sender = ""

    def _refuse_mail(self) -> str:
        options = self._options
        limit = options.max_messages_per_connection
        if not self.ehlo:
            self._stats.note_violation("MAIL before EHLO")
            return "503 5.5.1 say EHLO first"
        if self._in_transaction:
            self._stats.note_violation("MAIL inside a transaction")
            return "503 5.5.1 there is a sender already"
        if options.require_tls and not self.tls:
            return "530 5.7.0 STARTTLS first"
        if options.require_auth and not self.auth_user:
            return "530 5.7.0 AUTH first"
        if limit and self.messages >= limit:
            return "421 4.7.0 enough messages on this connection"
        return ""

    def _refuse_params(self, params: dict[str, str]) -> str:
        offered = self._options.extensions
        for name, value in params.items():
            match name:
                case "SIZE" if Extension.SIZE in offered:
                    if value.isdigit() and int(value) > self._options.max_message_size:
                        return "552 5.3.4 message too big"
                case "BODY" if Extension.EIGHT_BIT in offered or Extension.CHUNKING in offered:
                    pass
                case "SMTPUTF8" if Extension.SMTPUTF8 in offered:
                    pass
                case "AUTH" if self._options.accounts:
                    pass
                case _:
                    self._stats.note_violation(f"parameter {name[:20]} that was not offered")
                    return f"555 5.5.4 parameter {name[:20]} is not known here"
        return ""

    def _on_rcpt(self, rest: str) -> None:
        found = _PATH.match(rest, 3) if rest[:3].upper() == "TO:" else None
        if not self._in_transaction:
            self._say(Stage.RCPT, SinkReply("503 5.5.1 MAIL first"))
        elif found is None or not found[1]:
            self._say(Stage.RCPT, SinkReply("501 5.5.2 RCPT TO:<address>"))
        elif len(found[1]) > MAX_ADDRESS:
            self._stats.note_violation("address too long")
            self._say(Stage.RCPT, SinkReply("501 5.1.3 address too long"))
        elif found[2]:
            self._stats.note_violation("RCPT parameter that was not offered")
            self._say(Stage.RCPT, SinkReply("555 5.5.4 no parameter is known here"))
        elif not found[1].isascii() and "SMTPUTF8" not in self.params:
            self._stats.note_violation("address beyond ASCII without SMTPUTF8")
            self._say(Stage.RCPT, SinkReply("553 5.6.7 SMTPUTF8 was not asked for"))
        elif len(self.recipients) >= self._options.max_recipients:
            self._say(Stage.RCPT, SinkReply("452 4.5.3 too many recipients"))
        elif self._answer(Stage.RCPT, found[1], "250 2.1.5 recipient ok"):
            self.recipients.append(found[1])

    def _on_data(self, _rest: str) -> None:
        if not self._in_transaction:
            self._say(Stage.DATA, SinkReply("503 5.5.1 MAIL first"))
        elif self._chunk_bytes or self._chunks:
            self._say(Stage.DATA, SinkReply("503 5.5.1 this message comes by BDAT"))
        elif not self.recipients:
            self._say(Stage.DATA, SinkReply("554 5.5.1 no valid recipients"))
        elif self._answer(Stage.DATA, self.sender, "354 go ahead, end with a dot"):
            if self._buffer:
                self._stats.note_violation("message sent before 354")
            # So that a dot on the first line is found like any other.
            self._buffer[:0] = b"\r\n"
            self._scan = 0
            self._mode = _Mode.DATA

    def _take_data(self) -> bool:
        buffer = self._buffer
        end = buffer.find(_END, self._scan)
        if end < 0:
            if len(buffer) > self._options.max_message_size + 2 * MAX_LINE:
                self._oversize_bytes += len(buffer) - 4
                del buffer[:-4]
            self._scan = max(0, len(buffer) - 4)
            return False
        size_bytes = end + self._oversize_bytes
        content = b""
        if not self._oversize_bytes:
            raw = buffer[: end + 2]
            self._note_content(raw)
            content = bytes(raw.replace(b"\r\n.", b"\r\n")[2:] if b"\r\n." in raw else raw[2:])
        del buffer[: end + 5]
        self._oversize_bytes = 0
        self._mode = _Mode.COMMAND
        self._finish(content, size_bytes)
        return True

    def _note_content(self, raw: bytearray) -> None:
        pairs = raw.count(b"\r\n")
        if raw.count(b"\n") != pairs or raw.count(b"\r") != pairs:
            self._stats.note_violation("bare CR or LF in a message")
        if not raw.isascii() and self.params.get("BODY", "7BIT").upper() == "7BIT":
            self._stats.note_violation("octets beyond ASCII without BODY=8BITMIME")

    def _on_bdat(self, rest: str) -> None:
        number, _, last = rest.strip().partition(" ")
        if Extension.CHUNKING not in self._options.extensions:
            self._stats.note_violation("BDAT that was not offered")
            self._say(Stage.DATA, SinkReply("502 5.5.1 no BDAT here", close=True))
        elif not number.isdigit() or len(number) > 12 or last.upper() not in ("", "LAST"):
            self._say(Stage.DATA, SinkReply("501 5.5.4 BDAT size [LAST]", close=True))
        else:
            # RFC 3030, 2: the chunk is there whether or not it is welcome, so it is read first.
            self._chunk_bytes = int(number)
            self._chunk_is_last = bool(last)
            self._mode = _Mode.CHUNK
            if not self._chunk_bytes:
                self._end_chunk()

    def _take_chunk(self) -> bool:
        part = self._buffer[: self._chunk_bytes]
        del self._buffer[: len(part)]
        self._chunk_bytes -= len(part)
        if len(self._chunks) <= self._options.max_message_size:
            self._chunks += part
        if not self._chunk_bytes:
            self._end_chunk()
        return True

    def _end_chunk(self) -> None:
        self._mode = _Mode.COMMAND
        if not self._in_transaction:
            self._chunks.clear()
            self._say(Stage.DATA, SinkReply("503 5.5.1 MAIL first"))
        elif not self.recipients:
            self._chunks.clear()
            self._say(Stage.DATA, SinkReply("554 5.5.1 no valid recipients"))
        elif self._chunk_is_last:
            content = bytes(self._chunks)
            self._finish(content, len(content))
        else:
            self._say(Stage.DATA, SinkReply("250 2.0.0 chunk taken"))

    # -- the end of a message

    def _finish(self, content: bytes, size_bytes: int) -> None:
        message = self._message(content)
        # LMTP answers for each recipient, SMTP once for all (RFC 2033, 4.2).
        answered = list(self.recipients) if self._options.lmtp else [None]
        replies = [self._judge_end(message, each, size_bytes) for each in answered]
        taken = message.recipients if replies[0].is_positive else ()
        if self._options.lmtp:
            asked = zip(message.recipients, replies, strict=True)
            taken = tuple(recipient for recipient, reply in asked if reply.is_positive)
        if taken != message.recipients:
            message = replace(message, recipients=taken)
        if taken and not self._sink.may_store(message):
            replies = [_NOT_STORED if reply.is_positive else reply for reply in replies]
            taken = ()
        for reply in replies:
            self._say(Stage.DOT, reply)
        if taken:
            self.messages += 1
            self._sink.take(message, size_bytes)
        self._reset()

    def _judge_end(self, message: SinkMessage, recipient: str | None, size_bytes: int) -> SinkReply:
        self.recipient = recipient
        if size_bytes > self._options.max_message_size:
            return SinkReply("552 5.3.4 message too big")
        return self._choose(Stage.DOT, message, _TAKEN)

    def _message(self, content: bytes) -> SinkMessage:
        return SinkMessage(
            self.sender,
            tuple(self.recipients),
            content,
            self.params,
            self.ehlo,
            self.tls,
            self._loop.time(),
            self.number,
            self.client,
            self.local,
            self.auth_user,
        )

    # -- the rest

    def _on_rset(self, _rest: str) -> None:
        self._reset()
        self._say(Stage.OTHER, SinkReply("250 2.0.0 reset"))

    def _on_noop(self, _rest: str) -> None:
        self._say(Stage.OTHER, SinkReply("250 2.0.0 ok"))

    def _on_vrfy(self, _rest: str) -> None:
        self._say(Stage.OTHER, SinkReply("252 2.1.5 send it and see"))

    def _on_quit(self, _rest: str) -> None:
        self._say(Stage.OTHER, SinkReply("221 2.0.0 bye", close=True))


def _read_params(text: str) -> dict[str, str]:
    params = {}
    for part in text.split():
        name, _, value = part.partition("=")
        params[name.upper()] = value
    return params


_COMMANDS: dict[str, Callable[[SinkSession, str], None]] = {
    "HELO": SinkSession._on_helo,
    "EHLO": SinkSession._on_ehlo,
    "LHLO": SinkSession._on_lhlo,
    "STARTTLS": SinkSession._on_starttls,
    "AUTH": SinkSession._on_auth,
    "MAIL": SinkSession._on_mail,
    "RCPT": SinkSession._on_rcpt,
    "DATA": SinkSession._on_data,
    "BDAT": SinkSession._on_bdat,
    "RSET": SinkSession._on_rset,
    "NOOP": SinkSession._on_noop,
    "VRFY": SinkSession._on_vrfy,
    "QUIT": SinkSession._on_quit,
}
