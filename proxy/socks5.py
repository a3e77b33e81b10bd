"""The server's side of SOCKS5 without a socket: octets in, messages out, replies as octets.

Place in flow: ``proxy.session`` feeds it what the client sends and asks it for replies.

Invariants:
    * What is no SOCKS5 is refused at its first wrong octet; until then no more than one message
      and ``FEED_MAX`` octets are held.
    * Messages come in the order of the protocol, and each is answered before the next is read:
      anything else is a defect of the caller, not of the client.
    * What follows the request for a connection is the client's first data, and is kept.

Failure: a client's mistake is a ``ProxyError`` that says which reply, if any, it gets.

Standard: RFC 1928; RFC 1929 (user name and password). BIND is not the one of RFC 1928: the client
names the address that its next connection is to leave from.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import TypeAlias

from engine.model.proxy_header import spell_address
from proxy.errors import ProtocolError, ReplyCode, UnsupportedAddressError

VERSION = 5
PASSWORD_VERSION = 1
#: The most octets that ``feed`` takes at once.
FEED_MAX = 4096
#: Answers to the greeting that no method suits.
NO_METHOD = 0xFF

_HEAD = struct.Struct("BBBB")
_PORT = struct.Struct(">H")
_IPV4, _NAME, _IPV6 = 1, 3, 4
_SIZES = {_IPV4: 4, _IPV6: 16}


class Method(enum.IntEnum):
    """Ways in which a client can show who it is."""

    NONE = 0
    PASSWORD = 2


class Command(enum.IntEnum):
    """What a client can ask for."""

    CONNECT = 1
    BIND = 2
    UDP_ASSOCIATE = 3


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first message: the methods that the client offers."""

    methods: frozenset[int]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password as they came; whether they are text is for their judge."""

    user: bytes
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What the client wants.

    Attributes:
        command: A ``Command``, or a number that is none.
        host: An IP address in its canonical spelling, or a host name.
        is_name: Whether the host is a name.
    """

    command: int
    host: str
    port: int
    is_name: bool = False


Message: TypeAlias = Greeting | Credentials | Request


class _Expected(enum.Enum):
    """Whose turn it is, and what comes next."""

    GREETING = enum.auto()
    METHOD_CHOICE = enum.auto()
    CREDENTIALS = enum.auto()
    VERDICT = enum.auto()
    REQUEST = enum.auto()
    REPLY = enum.auto()
    NOTHING = enum.auto()


class Socks5Dialogue:
    """One client's dialogue, up to the connection it asks for."""

    __slots__ = ("_buffer", "_command", "_expected")

    def __init__(self) -> None:
        self._buffer = b""
        self._expected = _Expected.GREETING
        self._command = 0

    def feed(self, data: bytes) -> None:
        """Take octets that came from the client.

        Raises:
            ValueError: There are more than ``FEED_MAX``, or messages not yet taken out.
        """
        if len(self._buffer) + len(data) > 2 * FEED_MAX:
            raise ValueError("more octets than a dialogue takes; ask for the message first")
        self._buffer += data

    def next_message(self) -> Message | None:
        """Return the client's next message, None while it is not complete.

        Raises:
            ProxyError: What came is none.
        """
        match self._expected:
            case _Expected.GREETING:
                return self._read_greeting()
            case _Expected.CREDENTIALS:
                return self._read_credentials()
            case _Expected.REQUEST:
                return self._read_request()
        raise ValueError(f"no message is read while {self._expected.name} is expected")

    def take_rest(self) -> bytes:
        """Return what the client sent after its last message, and forget it."""
        rest, self._buffer = self._buffer, b""
        return rest

    # -- replies

    def choose_method(self, method: Method | None) -> bytes:
        """Return the answer to the greeting; None refuses all that were offered."""
        self._turn(_Expected.METHOD_CHOICE)
        if method is None:
            self._expected = _Expected.NOTHING
            return bytes((VERSION, NO_METHOD))
        is_password = method is Method.PASSWORD
        self._expected = _Expected.CREDENTIALS if is_password else _Expected.REQUEST
        return bytes((VERSION, method))

    def answer_credentials(self, *, is_good: bool) -> bytes:
        """Return the answer to credentials; after a bad one nothing more is read."""
        self._turn(_Expected.VERDICT)
        self._expected = _Expected.REQUEST if is_good else _Expected.NOTHING
        return bytes((PASSWORD_VERSION, 0 if is_good else 1))

    def answer_request(self, code: ReplyCode, host: str = "0.0.0.0", port: int = 0) -> bytes:  # noqa: S104 - says that there is no address
        """Return the reply to a request; only after a BIND that succeeded another one is read.

        Args:
            code: The outcome.
            host: The address bound, or that the connection leaves from.
            port: Its port.
        """
        self._turn(_Expected.REPLY)
        goes_on = code is ReplyCode.SUCCEEDED and self._command == Command.BIND
        self._expected = _Expected.REQUEST if goes_on else _Expected.NOTHING
        return format_reply(code, host, port)

    def _turn(self, expected: _Expected) -> None:
        if self._expected is not expected:
            raise ValueError(f"{expected.name} while {self._expected.name} is expected")

    # -- messages

    def _read_greeting(self) -> Greeting | None:
        data = self._buffer
        _check_version(data, VERSION)
        if len(data) < 2 or len(data) < 2 + data[1]:
            return None
        end = 2 + data[1]
        self._buffer = data[end:]
        self._expected = _Expected.METHOD_CHOICE
        return Greeting(frozenset(data[2:end]))

    def _read_credentials(self) -> Credentials | None:
        data = self._buffer
        _check_version(data, PASSWORD_VERSION)
        if len(data) < 2 or len(data) < 3 + data[1]:
            return None
        middle = 2 + data[1]
        end = middle + 1 + data[middle]
        if len(data) < end:
            return None
        self._buffer = data[end:]
        self._expected = _Expected.VERDICT
        return Credentials(data[2:middle], data[middle + 1 : end])

    def _read_request(self) -> Request | None:
        data = self._buffer
        _check_version(data, VERSION)
        if len(data) < _HEAD.size:
            return None
        _, command, _, kind = _HEAD.unpack_from(data)
        if kind != _NAME and kind not in _SIZES:
            self._expected = _Expected.REPLY
            raise UnsupportedAddressError(f"address type {kind}")
        if len(data) == _HEAD.size:
            # Every form of an address has at least one octet.
            return None
        start, size = (5, data[4]) if kind == _NAME else (4, _SIZES[kind])
        end = start + size
        if len(data) < end + _PORT.size:
            return None
        self._buffer = data[end + _PORT.size :]
        self._expected, self._command = _Expected.REPLY, command
        host = _read_host(kind, data[start:end])
        return Request(command, host, _PORT.unpack_from(data, end)[0], is_name=kind == _NAME)


def _check_version(data: bytes, version: int) -> None:
    if data and data[0] != version:
        raise ProtocolError(f"version {data[0]} where {version} is expected")


def _read_host(kind: int, raw: bytes) -> str:
    """Return an address as text; one that is mapped into IPv6 as the IPv4 address it is."""
    if kind == _IPV4:
        return inet_ntop(AF_INET, raw)
    if kind == _IPV6:
        return spell_address(IPv6Address(raw))
    name = raw.decode("ascii", "replace")
    if not name or not all(char.isalnum() or char in "-._" for char in name) or not raw.isascii():
        raise UnsupportedAddressError("what stands for a host name is none")
    return name


def format_reply(code: ReplyCode, host: str, port: int) -> bytes:
    """Return a reply with an IP address and a port."""
    if ":" in host:
        kind, packed = _IPV6, inet_pton(AF_INET6, host)
    else:
        kind, packed = _IPV4, inet_pton(AF_INET, host)
    return _HEAD.pack(VERSION, code, 0, kind) + packed + _PORT.pack(port)


def pick_method(offered: Collection[int], *, can_judge: bool, is_required: bool) -> Method | None:
    """Return the method to use with a client, None if none that it offers will do.

    A client that offers a password is asked for it, so that a wrong one is never overlooked.

    Args:
        offered: The methods of its greeting.
        can_judge: Whether there is anything to hold a password against.
        is_required: Whether everybody has to show one.
    """
    if can_judge and Method.PASSWORD in offered:
        return Method.PASSWORD
    return Method.NONE if Method.NONE in offered and not is_required else None
