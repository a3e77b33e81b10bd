"""The header of the PROXY protocol: who is behind a connection that a load balancer opened.

Place in flow: listeners read it before anything else where balancers stand in front of them; the
connector writes it to a proxy that leaves from the address it names.

Invariants:
    * What does not begin like a header is refused at its first wrong octet, a line of version 1
      once it is whole, version 2 by its fixed part, before its addresses: no more than
      ``HEADER_MAX`` octets are ever gathered.
    * What is no header is a ``ProxyHeaderError`` and nothing else.
    * Addresses come out in their canonical spelling, an IPv4 address mapped into IPv6 as IPv4.

Standard: the PROXY protocol, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = struct.Struct(">12sBBH")
_TLV_HEAD = struct.Struct(">BH")
#: The longest line of version 1, CRLF included.
_LINE_MAX = 107
#: Octets behind the fixed part of version 2: its addresses, and what balancers like to add. The
#: protocol would allow 64 KiB, which nobody needs before a client is known.
_BODY_MAX = 4096
#: The most octets that a header takes.
HEADER_MAX = _FIXED.size + _BODY_MAX
_TYPE_CRC32C = 0x03
#: Version 2, and who speaks: the balancer for itself, or for a client.
_LOCAL, _PROXY = _COMMANDS = (0x20, 0x21)

Endpoint: TypeAlias = tuple[str, int]
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_LINE_KINDS: dict[bytes, Callable[[str], _Address]] = {
    b"TCP4": ipaddress.IPv4Address,
    b"TCP6": ipaddress.IPv6Address,
}
_FAMILIES: dict[int, tuple[int, Callable[[bytes], _Address]]] = {
    0x11: (4, ipaddress.IPv4Address),
    0x21: (16, ipaddress.IPv6Address),
}


class ProxyHeaderError(ValueError):
    """What came is no header of the PROXY protocol, or one that names no usable client."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header says.

    Attributes:
        source: Address and port of the client; None when the connection is the balancer's own
            (LOCAL, as for its health checks) or it does not know (UNKNOWN).
        destination: Where the client connected to; None together with ``source``.
        version: Of the protocol, 1 or 2.
        extensions: Types and values of what version 2 carries beside the addresses.
    """

    source: Endpoint | None
    destination: Endpoint | None
    version: int = 2
    extensions: tuple[tuple[int, bytes], ...] = ()


def parse_proxy_header(data: bytes) -> tuple[ProxyHeader, int] | None:
    """Return a header and how many octets it takes; None while it is not complete.

    Args:
        data: The connection's octets from its first one on; more may follow the header.

    Raises:
        ProxyHeaderError: They are no header, and no more octets can make them one.
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _parse_binary(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _parse_line(data)
    raise ProxyHeaderError("no PROXY header")


def _parse_line(data: bytes) -> tuple[ProxyHeader, int] | None:
    end = data.find(b"\n", 0, _LINE_MAX)
    if end < 0:
        if len(data) >= _LINE_MAX:
            raise ProxyHeaderError("a PROXY line without an end")
        return None
    if data[end - 1 : end] != b"\r":
        raise ProxyHeaderError("a PROXY line that does not end with CRLF")
    words = data[: end - 1].split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader(None, None, version=1), end + 1
    kind = _LINE_KINDS.get(words[1])
    if kind is None or len(words) != 6 or b"%" in data[:end]:
        # A percent sign would bring the name of an interface into an address.
        raise ProxyHeaderError("a PROXY line of an unknown form")
    try:
        source, destination = (kind(word.decode("ascii")) for word in words[2:4])
    except ValueError as error:
        raise ProxyHeaderError("a PROXY line with a wrong address") from error
    ports = [_parse_port(word) for word in words[4:]]
    header = ProxyHeader(
        (spell_address(source), ports[0]), (spell_address(destination), ports[1]), version=1
    )
    return header, end + 1


def _parse_port(word: bytes) -> int:
    # isdigit alone would take any length; a leading zero is forbidden.
    if not word.isdigit() or len(word) > 5 or (word[:1] == b"0" and len(word) > 1):
        raise ProxyHeaderError("a PROXY line with a wrong port")
    port = int(word)
    if port > 0xFFFF:
        raise ProxyHeaderError("a PROXY line with a wrong port")
    return port


def _parse_binary(data: bytes) -> tuple[ProxyHeader, int] | None:
    if len(data) > 12 and data[12] not in _COMMANDS:
        raise ProxyHeaderError("a PROXY header of an unknown version, or with an unknown command")
    if len(data) < _FIXED.size:
        return None
    _, command, kind, length = _FIXED.unpack_from(data)
    if length > _BODY_MAX:
        raise ProxyHeaderError("a PROXY header that is too long")
    end = _FIXED.size + length
    if len(data) < end:
        return None
    body = data[_FIXED.size : end]
    # LOCAL says that what follows counts for nothing; 0x00 says that nothing is known.
    if command == _LOCAL or kind == 0x00:
        return ProxyHeader(None, None), end
    return _parse_addresses(kind, body, data[:end]), end


def _parse_addresses(kind: int, body: bytes, whole: bytes) -> ProxyHeader:
    known = _FAMILIES.get(kind)
    if known is None:
        # A stream of another family has no address that rules could be asked about.
        raise ProxyHeaderError("a PROXY header of an unknown family")
    size, make = known
    end = 2 * size + 4
    if len(body) < end:
        raise ProxyHeaderError("a PROXY header with addresses cut short")
    source, destination = make(body[:size]), make(body[size : 2 * size])
    ports = struct.unpack_from(">HH", body, 2 * size)
    extensions = tuple(_parse_extensions(body[end:]))
    sums = [value for number, value in extensions if number == _TYPE_CRC32C]
    if len(sums) > 1:
        # One says it all; each costs a pass over the header.
        raise ProxyHeaderError("a PROXY header with several checksums")
    for value in sums:
        _check_sum(whole, value, body, end)
    return ProxyHeader(
        (spell_address(source), ports[0]),
        (spell_address(destination), ports[1]),
        extensions=extensions,
    )


def _parse_extensions(body: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(body):
        if len(body) - position < _TLV_HEAD.size:
            raise ProxyHeaderError("a PROXY header with an extension cut short")
        number, length = _TLV_HEAD.unpack_from(body, position)
        position += _TLV_HEAD.size
        if len(body) - position < length:
            raise ProxyHeaderError("a PROXY header with an extension cut short")
        yield number, body[position : position + length]
        position += length


def _check_sum(whole: bytes, value: bytes, body: bytes, position: int) -> None:
    """Hold the checksum extension against the header, in which it counts as zeros."""
    while body[position] != _TYPE_CRC32C:
        position += _TLV_HEAD.size + _TLV_HEAD.unpack_from(body, position)[1]
    start = _FIXED.size + position + _TLV_HEAD.size
    blank = whole[:start] + bytes(len(value)) + whole[start + len(value) :]
    if len(value) != 4 or int.from_bytes(value, "big") != crc32c(blank):
        raise ProxyHeaderError("a PROXY header whose checksum is wrong")


def crc32c(data: bytes) -> int:
    """Return the checksum of octets (Castagnoli), as the extension for it carries it."""
    table = _crc_table()
    value = 0xFFFFFFFF
    for octet in data:
        value = (value >> 8) ^ table[(value ^ octet) & 0xFF]
    return value ^ 0xFFFFFFFF


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901
        table.append(value)
    return tuple(table)


def format_proxy_header(source: Endpoint, destination: Endpoint) -> bytes:
    """Return a header of version 2 for a stream from a source to a destination.

    Args:
        source: IP address and port; port 0 leaves it to who acts on the header.
        destination: IP address and port.

    Raises:
        ValueError: One is no IP address, or they are of two families.
    """
    first, second = (_bare(address) for address, _ in (source, destination))
    if first.version != second.version:
        raise ValueError(f"{source[0]} and {destination[0]} are of different families")
    body = first.packed + second.packed + struct.pack(">HH", source[1], destination[1])
    kind = 0x11 if first.version == 4 else 0x21
    return _FIXED.pack(_SIGNATURE, _PROXY, kind, len(body)) + body


def _bare(address: str) -> _Address:
    return _unmapped(ipaddress.ip_address(address.partition("%")[0]))


def _unmapped(address: _Address) -> _Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def spell_address(address: _Address) -> str:
    """Return an address in its canonical spelling, one mapped into IPv6 as the IPv4 address."""
    return str(_unmapped(address))
