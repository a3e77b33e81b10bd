"""An SMTP or LMTP host driven by a playbook: any answer, delay, silence, close or reset, anywhere.

    async with scripted_peer({"MAIL": ["451 4.3.0 later", "250 ok"], "dot": CLOSE}) as peer: ...

A playbook maps a step to what the host does there: one answer for every time, or a list whose last
entry stands for all later times. Steps are ``banner``, ``EHLO``, ``LHLO``, ``STARTTLS``, ``AUTH``,
``MAIL``, ``RCPT``, ``DATA``, ``dot``, ``RSET``, ``QUIT``; what is not named is answered kindly.

An answer is text (several lines joined by newlines make one reply), octets sent as they are, an
action of this module, or a tuple of those, carried out in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import enum
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Wait:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Trickle:
    """Send one octet of a text each so many seconds, over and over, for ever."""

    text: bytes
    seconds: float


@dataclass(frozen=True)
class Flood:
    """Send octets over and over, as fast as they are taken, up to a number of octets."""

    octets: bytes
    limit: int


class Deed(enum.Enum):
    """What a peer does instead of a reply; the name is what a test's id shows."""

    SILENCE = enum.auto()
    CLOSE = enum.auto()
    RESET = enum.auto()
    NOTHING = enum.auto()
    STOP_READING = enum.auto()


#: Say nothing more, and read nothing more.
SILENCE = Deed.SILENCE
#: Close the connection in good order.
CLOSE = Deed.CLOSE
#: Reset the connection.
RESET = Deed.RESET
#: Go on without an answer.
NOTHING = Deed.NOTHING
#: Answer 354 and then read no further.
STOP_READING = Deed.STOP_READING


@dataclass
class Mail:
    """What the host was given in one transaction."""

    sender: str
    recipients: list[str]
    data: bytes
    over_tls: bool
    connection: int


class _GoneError(Exception):
    """The playbook ended the connection."""


@dataclass
class Peer:
    """A host and what it saw.

    Attributes:
        by_octet: Each octet of its replies comes in a segment of its own.
        commands: Every command line, of all connections, in order.
        mails: What it answered 2xx to the end of.
        connections: How many connections it took.
    """

    playbook: dict[str, Any]
    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 50000000")
    tls: ssl.SSLContext | None = None
    lmtp: bool = False
    by_octet: bool = False
    commands: list[str] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    after_starttls: bytes = b""
    seen: dict[str, int] = field(default_factory=dict)
    address: tuple[str, int] = ("", 0)

    @property
    def port(self) -> int:
        return self.address[1]

    def said(self, verb: str) -> list[str]:
        """Return the command lines that begin with a verb."""
        return [line for line in self.commands if line.upper().startswith(verb)]

    def answer(self, step: str, usual: Any) -> Any:
        """Return what the playbook says at a step."""
        times = self.seen.get(step, 0)
        self.seen[step] = times + 1
        answer = self.playbook.get(step, usual)
        if isinstance(answer, list):
            return answer[min(times, len(answer) - 1)] if answer else usual
        return answer


class _Connection:
    """The host's side of one connection."""

    def __init__(
        self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.peer = peer
        self.reader = reader
        self.writer = writer
        peer.connections += 1
        self.number = peer.connections
        self.over_tls = False
        self.sender: str | None = None
        self.accepted: list[str] = []

    async def act(self, answer: Any) -> int:
        """Carry out an answer; return the code of the last reply that was sent."""
        code = 0
        for one in answer if isinstance(answer, tuple) else (answer,):
            if isinstance(one, str):
                lines = one.split("\n")
                text = lines[0][:3]
                out = [f"{text}-{line[4:]}" for line in lines[:-1]]
                out.append(f"{text} {lines[-1][4:]}")
                await self.send("\r\n".join(out).encode() + b"\r\n")
                code = int(text)
            elif isinstance(one, bytes):
                await self.send(one)
                code = int(one[:3]) if one[:3].isdigit() else 0
            else:
                await self._do(one)
        return code

    async def _do(self, action: Any) -> None:
        match action:
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Trickle(text, seconds):
                while True:
                    for index in range(len(text)):
                        await self.send(text[index : index + 1])
                        await asyncio.sleep(seconds)
            case Flood(octets, limit):
                for _ in range(limit // len(octets)):
                    await self.send(octets)
            case _ if action is SILENCE:
                await asyncio.get_running_loop().create_future()
            case _ if action is CLOSE:
                raise _GoneError
            case _ if action is RESET:
                link = self.writer.get_extra_info("socket")
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.writer.transport.abort()
                raise _GoneError
            case _ if action is STOP_READING:
                await self.act("354 go on")
                self.writer.transport.pause_reading()
                await asyncio.get_running_loop().create_future()
            case _:
                assert action is NOTHING, action

    async def send(self, octets: bytes) -> None:
        for one in (octets[i : i + 1] for i in range(len(octets))) if self.peer.by_octet else ():
            self.writer.write(one)
            # The client runs on this loop: it reads the octet before the next is written.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if not self.peer.by_octet:
            self.writer.write(octets)
        await self.writer.drain()

    async def serve(self) -> None:
        await self.act(self.peer.answer("banner", "220 mx.test ready"))
        while line := await self.reader.readline():
            command = line.decode("utf-8", "replace").rstrip("\r\n")
            self.peer.commands.append(command)
            verb = command.split(" ")[0].upper().removesuffix(":")
            step = getattr(self, f"on_{verb.lower()}", None)
            if step is None:
                await self.act(f"500 5.5.1 what is {verb}")
            elif await step(command):
                return

    async def on_ehlo(self, _command: str, verb: str = "EHLO") -> None:
        offered = list(self.peer.extensions)
        if self.peer.tls is not None and not self.over_tls:
            offered.append("STARTTLS")
        usual = "\n".join(["250 mx.test", *(f"250 {name}" for name in offered)])
        await self.act(self.peer.answer(verb, usual))

    async def on_lhlo(self, command: str) -> None:
        await self.on_ehlo(command, "LHLO")

    async def on_starttls(self, _command: str) -> None:
        code = await self.act(self.peer.answer("STARTTLS", "220 go ahead"))
        if code == 220 and self.peer.tls is not None:
            await self.writer.start_tls(self.peer.tls)
            self.over_tls = True

    async def on_auth(self, _command: str) -> None:
        await self.act(self.peer.answer("AUTH", "235 2.7.0 ok"))

    async def on_rset(self, _command: str) -> None:
        self.sender, self.accepted = None, []
        await self.act(self.peer.answer("RSET", "250 2.0.0 ok"))

    async def on_mail(self, command: str) -> None:
        code = await self.act(self.peer.answer("MAIL", "250 2.1.0 ok"))
        if code // 100 == 2:
            self.sender, self.accepted = _path_of(command), []

    async def on_rcpt(self, command: str) -> None:
        code = await self.act(self.peer.answer("RCPT", "250 2.1.5 ok"))
        if code // 100 == 2 and self.sender is not None:
            self.accepted.append(_path_of(command))

    async def on_data(self, _command: str) -> None:
        usual = "354 go on" if self.accepted else "503 5.5.1 no recipients"
        if await self.act(self.peer.answer("DATA", usual)) != 354:
            return
        data = await self._content()
        replies = self.accepted if self.peer.lmtp else [""]
        taken = []
        for recipient in replies:
            code = await self.act(self.peer.answer("dot", "250 2.0.0 taken"))
            if code // 100 == 2:
                taken += [recipient] if self.peer.lmtp else self.accepted
        if taken:
            mail = Mail(self.sender or "", list(taken), data, self.over_tls, self.number)
            self.peer.mails.append(mail)
        self.sender, self.accepted = None, []

    async def _content(self) -> bytes:
        """Return the content without its transparency, as a naive receiver takes it off."""
        lines = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                raise _GoneError
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    async def on_quit(self, _command: str) -> bool:
        await self.act(self.peer.answer("QUIT", "221 2.0.0 bye"))
        return True


def _path_of(command: str) -> str:
    return command.partition("<")[2].partition(">")[0]


@contextlib.asynccontextmanager
async def scripted_peer(
    playbook: dict[str, Any] | None = None,
    *,
    host: str = "127.0.0.1",
    reads_ahead: int = 1 << 26,
    **options: Any,
) -> AsyncIterator[Peer]:
    """Run a host; nothing of it is left afterwards.

    Args:
        playbook: What it does.
        host: Where it listens.
        reads_ahead: How many octets it takes from the network before it looks at them.
        options: The fields of ``Peer``.
    """
    peer = Peer(playbook or {}, **options)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer.open_now += 1
        try:
            await _Connection(peer, reader, writer).serve()
        except (_GoneError, OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            peer.open_now -= 1
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, host, 0, limit=reads_ahead)
    peer.address = server.sockets[0].getsockname()[:2]
    try:
        yield peer
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(list(tasks), timeout=1.0)


@lru_cache(maxsize=8)
def certificate(name: str) -> tuple[bytes, bytes]:
    """Return a self-signed certificate for a name or address, and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    try:
        general: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        general = x509.DNSName(name)
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1000)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365 * 60))
        .add_extension(x509.SubjectAlternativeName([general]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def server_tls(folder: Path, name: str = "mx.test") -> ssl.SSLContext:
    """Return a server's context with a self-signed certificate; ``NAME.pem`` is left to trust."""
    public, private = certificate(name)
    pair, trusted = folder / f"{name}.pair", folder / f"{name}.pem"
    pair.write_bytes(public + private)
    trusted.write_bytes(public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return context
