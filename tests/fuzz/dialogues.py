"""Valid dialogues, from which the fuzzer starts."""

from __future__ import annotations

import struct

from engine.model.proxy_header import crc32c, format_proxy_header

V4_TARGET = b"\1\xc6\x33\x64\x09\0\x19"
V6_TARGET = b"\4\x20\1\x0d\xb8" + bytes(11) + b"\x09\0\x19"
NAME_TARGET = b"\3\x0amx.example\0\x19"
_GREETINGS = (b"\5\1\0", b"\5\1\2", b"\5\2\0\2", b"\5\3\0\1\2", b"\5\0")
_CREDENTIALS = (b"\1\4node\6secret", b"\1\4node\5wrong", b"\1\1\xff\0")
_BIND = b"\5\2\0\1\xc0\0\2\7\0\0"

#: What a client says to the proxy.
TO_PROXY = tuple(
    greeting + shown + bind + b"\5\1\0" + target + b"EHLO x\r\n"
    for greeting in _GREETINGS
    for shown in (b"", *_CREDENTIALS)
    for bind in (b"", _BIND)
    for target in (V4_TARGET, V6_TARGET, NAME_TARGET)
) + (
    b"\5\1\0" + _BIND + _BIND + b"\5\1\0" + V4_TARGET,
    b"\5\1\0\5\3\0" + V4_TARGET,
    b"\5\xff" + bytes(range(255)) + b"\5\1\0\3\xff" + b"n" * 255 + b"\0\x19",
    b"\1\xff" + b"u" * 255 + b"\xff" + b"p" * 255,
    b"\5\1\0\5\1\0\4" + bytes(10) + b"\xff\xff\x7f\0\0\1\0\x19",
    b"\4\1\0\x19\x7f\0\0\1\0",
    b"GET / HTTP/1.1\r\n\r\n",
)

_REPLIES = tuple(
    b"\5" + bytes([code]) + b"\0" + address
    for code in (0, 0, 0, 1, 5, 9)
    for address in (b"\1\x0a\0\0\7\x9c\x40", V6_TARGET, NAME_TARGET, b"\3\0\0\x19")
)

#: What a proxy answers to our client.
FROM_PROXY = tuple(
    method + shown + bound + used + b"220 mx\r\n"
    for method, shown in (
        (b"\5\0", b""),
        (b"\5\0", b""),
        (b"\5\2", b"\1\0"),
        (b"\5\2", b"\5\0"),
        (b"\5\2", b"\1\1"),
        (b"\5\xff", b""),
    )
    for bound in (b"", *_REPLIES[:2], b"\5\0\0\1" + bytes(6))
    for used in _REPLIES
)

_V4 = format_proxy_header(("192.0.2.7", 4711), ("198.51.100.9", 25))
_V6 = format_proxy_header(("2001:db8::7", 4711), ("2001:db8:1::9", 25))


def _extended(header: bytes, *extensions: tuple[int, bytes]) -> bytes:
    """Return a header of version 2 with extensions; the value of a checksum is computed."""
    more = b"".join(struct.pack(">BH", kind, len(value)) + value for kind, value in extensions)
    size = int.from_bytes(header[14:16], "big") + len(more)
    whole = header[:14] + size.to_bytes(2, "big") + header[16:] + more
    place = len(header)
    for kind, value in extensions:
        if kind == 3 and value == bytes(4):
            start = place + 3
            return whole[:start] + crc32c(whole).to_bytes(4, "big") + whole[start + 4 :]
        place += 3 + len(value)
    return whole


#: What a balancer sends first.
HEADERS = (
    b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 25\r\n",
    b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
    b"PROXY TCP6 2001:db8::7 2001:db8:1::9 4711 25\r\n",
    b"PROXY TCP6 ::ffff:192.0.2.7 fe80::1 4711 25\r\nEHLO x\r\n",
    b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n",
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nEHLO x\r\n",
    _V4,
    _V6 + b"EHLO x\r\n",
    _extended(_V4, (0x04, b"ab"), (0x20, b"cd")),
    _extended(_V4, (0x01, b"h2"), (0x03, bytes(4))),
    _extended(_V6, (0x03, bytes(4)), (0x02, b"mx.example")),
    _extended(_V4, (0x03, b"sums"), (0x03, b"sums")),
    _extended(_V6, (0x05, b"x" * 128), (0xEA, b"y" * 900)),
    _V4[:12] + b"\x20\0\0\0",
    _V4[:12] + b"\x20\x11" + _V4[14:],
    _V4[:13] + b"\0\0\3abc",
    _V4[:13] + b"\x31\0\xd8" + bytes(216),
    _V4[:13] + b"\x12" + _V4[14:],
)

#: What a filter in front of the node says of its client.
XCLIENT = (
    b"XCLIENT ADDR=10.0.0.9 PORT=40000 DESTADDR=192.0.2.25 DESTPORT=25\r\n",
    b"XCLIENT ADDR=IPV6:2001:db8::1 DESTADDR=2001:db8::2\r\nEHLO x\r\n",
    b"xclient addr=[UNAVAILABLE] port=[TEMPUNAVAIL]\r\n",
    b"XCLIENT ADDR=10+2E0+2e0.9 PORT=1\r\n",
    b"XCLIENT ADDR=fe80::1+25eth0+0D+0Ax PORT=00000025\r\n",
    b"XCLIENT ADDR=::ffff:10.0.0.9\r\n",
    b"XCLIENT NAME=spike.example ADDR=10.0.0.9\r\n",
    b"XCLIENT PORT=000000000099999 DESTPORT=65536\r\n",
    "XCLIENT DE\u017fTADDR=192.0.2.25 ADDR=[unava\u0131lable]\r\n".encode(),
    b"NOOP\r\nXCLIENT ADDR=\xc3\x9f PORT=\xd9\xa1\r\n",
)
