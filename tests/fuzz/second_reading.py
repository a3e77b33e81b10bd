"""The same octets read a second time: strictly by the standards, slowly, and without our parsers.

Place in flow: ``tests.fuzz.targets`` compares what our parsers say with what is said here. Nothing
of theirs is used: an error would have to be made twice to be overlooked.

Where we are more tolerant than the letter of a standard, so is this, and it says so:
    * reserved octets of SOCKS5 may be anything, as everybody's may;
    * an empty user or password is passed on to who judges them (curl sends such);
    * a proxy may answer RFC 1929 with the version of SOCKS5, as some do;
    * SOCKS5 takes underscores in host names, and XCLIENT leading zeros in ports.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Any

WAITING = "waiting"
REFUSED = "refused"
READ = "read"


class Short(Exception):
    """There are not enough octets to tell."""


class Wrong(Exception):
    """It is not what it should be; the text is the class of the error."""


@dataclass
class Octets:
    """Octets that are read from the front."""

    data: bytes
    place: int = 0

    def take(self, count: int) -> bytes:
        if len(self.data) - self.place < count:
            raise Short
        taken = self.data[self.place : self.place + count]
        self.place += count
        return taken

    def number(self, size: int = 1) -> int:
        return int.from_bytes(self.take(size), "big")

    @property
    def rest(self) -> bytes:
        return self.data[self.place :]


def ipv4(raw: bytes) -> str:
    return ".".join(str(octet) for octet in raw)


def ipv6(raw: bytes) -> str:
    """Return an address as RFC 5952 spells it, one mapped into IPv6 as the IPv4 address it is."""
    if raw[:12] == bytes(10) + b"\xff\xff":
        return ipv4(raw[12:])
    groups = [f"{raw[place] << 8 | raw[place + 1]:x}" for place in range(0, 16, 2)]
    # The first of the longest runs of zeros, of two at least.
    for length in range(8, 1, -1):
        for start in range(9 - length):
            if groups[start : start + length] == ["0"] * length:
                return f"{':'.join(groups[:start])}::{':'.join(groups[start + length :])}"
    return ":".join(groups)


def address_of_text(text: str, families: tuple[int, ...]) -> str:
    """Return an address in its canonical spelling."""
    for family in families:
        try:
            raw = socket.inet_pton(family, text)
        except (OSError, ValueError, UnicodeEncodeError):
            continue
        return ipv4(raw) if family == socket.AF_INET else ipv6(raw)
    raise Wrong("address")


# -- SOCKS5, the proxy's side


@dataclass(frozen=True)
class Circumstances:
    """How a proxy is set up, and what happens to requests."""

    can_judge: bool
    is_required: bool
    code: int


def is_good(user: bytes, password: bytes) -> bool:
    return user == b"node" and password == b"secret"


def read_client(data: bytes, how: Circumstances) -> tuple[list[Any], str]:
    """Return the messages of a client, each with what was answered, and how it ends."""
    octets, found = Octets(data), []
    try:
        _read_dialogue(octets, how, found)
    except Short:
        return found, WAITING
    except Wrong as wrong:
        return found, str(wrong)
    return found, "ends:" + octets.rest.hex()


def _read_dialogue(octets: Octets, how: Circumstances, found: list[Any]) -> None:
    _version(octets, 5)
    methods = frozenset(octets.take(octets.number()))
    method = 2 if how.can_judge and 2 in methods else 0 if 0 in methods else 255
    if method == 0 and how.is_required:
        method = 255
    found.append(("greeting", methods, method))
    if method == 255:
        return
    if method == 2:
        _version(octets, 1)
        user = octets.take(octets.number())
        password = octets.take(octets.number())
        found.append(("credentials", user, password, is_good(user, password)))
        if not is_good(user, password):
            return
    while _read_request(octets, how, found) == 2 and how.code == 0:
        pass


def _read_request(octets: Octets, how: Circumstances, found: list[Any]) -> int:
    _version(octets, 5)
    command = octets.number()
    octets.take(1)
    kind = octets.number()
    if kind == 1:
        host, is_name = ipv4(octets.take(4)), False
    elif kind == 4:
        host, is_name = ipv6(octets.take(16)), False
    elif kind == 3:
        raw, is_name = octets.take(octets.number()), True
        host = raw.decode("latin-1")
    else:
        raise Wrong("UnsupportedAddressError")
    port = octets.number(2)
    if is_name and re.fullmatch(r"[A-Za-z0-9._-]{1,255}", host) is None:
        raise Wrong("UnsupportedAddressError")
    found.append(("request", command, host, port, is_name, how.code))
    return command


def _version(octets: Octets, version: int) -> None:
    if octets.number() != version:
        raise Wrong("ProtocolError")


# -- SOCKS5, the client's side


def read_proxy(
    data: bytes, *, source: str | None, credentials: tuple[str, str] | None
) -> tuple[str, str, int]:
    """Return how a dialogue with a proxy ends, the address that is seen, and the octets it takes.

    It ends as ``read``, ``waiting``, or with the name of the error.
    """
    octets = Octets(data)
    try:
        seen = _read_answers(octets, source=source, credentials=credentials)
    except Short:
        return WAITING, "", -1
    except Wrong as wrong:
        return str(wrong), "", -1
    return READ, seen, octets.place


def _read_answers(
    octets: Octets, *, source: str | None, credentials: tuple[str, str] | None
) -> str:
    version, method = octets.take(2)
    if version != 5 or method not in (0, 2) or (method == 2 and credentials is None):
        raise Wrong("SocksError")
    if method == 2:
        answer = octets.take(2)
        if answer not in (b"\1\0", b"\5\0"):
            raise Wrong("SocksError")
    bound = ""
    if source is not None:
        code, bound = _read_answer(octets)
        # One that tells no address of its own may have bound what was asked for.
        if code != 0 or bound not in (source, "0.0.0.0", "::"):
            raise Wrong("SocksSourceError")
        bound = source
    code, used = _read_answer(octets)
    if code != 0:
        raise Wrong("SocksDestinationError" if code in (3, 4, 5, 6) else "SocksError")
    return bound or used


def _read_answer(octets: Octets) -> tuple[int, str]:
    version, code, _, kind = octets.take(4)
    if version != 5 or kind not in (1, 3, 4):
        raise Wrong("SocksError")
    if kind == 1:
        host = ipv4(octets.take(4))
    elif kind == 4:
        host = ipv6(octets.take(16))
    else:
        raw = octets.take(octets.number()).decode("latin-1")
        # A name that is none tells nothing; it is no reason to give up.
        host = raw if re.fullmatch(r"[A-Za-z0-9._-]{1,255}", raw) else ""
    octets.take(2)
    return code, host


# -- the PROXY protocol

_LINE = re.compile(
    rb"PROXY (?:(UNKNOWN)(?: [^\n]*)?|(?:(TCP4)|TCP6) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+))\r"
)
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_BODY_MAX = 4096
#: Source and destination, each as address and port; None for both where they are not told.
Told = tuple[tuple[str, int], tuple[str, int]] | None


def read_header(data: bytes) -> tuple[str, Told, int]:
    """Return whether a header is read, waited for or refused, what it tells, and its octets."""
    try:
        told, size = _read_header(data)
    except Short:
        return WAITING, None, -1
    except Wrong:
        return REFUSED, None, -1
    return READ, told, size


def _read_header(data: bytes) -> tuple[Told, int]:
    if data.startswith(_SIGNATURE):
        return _read_binary(data)
    if data.startswith(b"PROXY "):
        return _read_line(data)
    if _SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        raise Short
    raise Wrong


def _read_line(data: bytes) -> tuple[Told, int]:
    line, end, _ = data[:107].partition(b"\n")
    if not end:
        raise Short if len(data) < 107 else Wrong
    match = _LINE.fullmatch(line)
    if match is None:
        raise Wrong
    if match[1]:
        return None, len(line) + 1
    family = socket.AF_INET if match[2] else socket.AF_INET6
    if not all(re.fullmatch(rb"0|[1-9][0-9]{0,4}", port) for port in match.group(5, 6)):
        raise Wrong
    hosts = [address_of_text(text.decode("latin-1"), (family,)) for text in match.group(3, 4)]
    ports = [int(port) for port in match.group(5, 6)]
    if max(ports) > 65535:
        raise Wrong
    return ((hosts[0], ports[0]), (hosts[1], ports[1])), len(line) + 1


def _read_binary(data: bytes) -> tuple[Told, int]:
    octets = Octets(data, len(_SIGNATURE))
    version, command = divmod(octets.number(), 16)
    if version != 2:
        raise Wrong
    if command > 1:
        raise Wrong
    kind = octets.number()
    size = octets.number(2)
    if size > _BODY_MAX:
        raise Wrong
    body = Octets(octets.take(size))
    end = octets.place
    if command == 0 or kind == 0:
        return None, end
    if kind not in (0x11, 0x21):
        raise Wrong
    try:
        width, spell = (4, ipv4) if kind == 0x11 else (16, ipv6)
        hosts = [spell(body.take(width)), spell(body.take(width))]
        ports = [body.number(2), body.number(2)]
        sums = []
        while body.rest:
            extension = body.number()
            length = body.number(2)
            if extension == 3:
                sums.append((16 + body.place, length))
            body.take(length)
    except Short:
        # It says itself how long it is: nothing is to come.
        raise Wrong from None
    if sums and (len(sums) > 1 or not _is_sound(data[:end], *sums[0])):
        raise Wrong
    return ((hosts[0], ports[0]), (hosts[1], ports[1])), end


def _is_sound(whole: bytes, place: int, length: int) -> bool:
    if length != 4:
        return False
    remainder = 0xFFFFFFFF
    for octet in whole[:place] + bytes(4) + whole[place + 4 :]:
        remainder ^= octet
        for _ in range(8):
            remainder = remainder // 2 ^ (0x82F63B78 if remainder % 2 else 0)
    return remainder ^ 0xFFFFFFFF == int.from_bytes(whole[place : place + 4], "big")


# -- XCLIENT

_ATTRIBUTE = re.compile(r"(?i:(ADDR|PORT|DESTADDR|DESTPORT))=(.*)", re.DOTALL)


def read_xclient(argument: str) -> dict[str, str | int] | None:
    """Return what is said of addresses and ports, None if the command is wrong."""
    told: dict[str, str | int] = {}
    words = argument.split() if argument.isascii() else []
    for word in words:
        match = _ATTRIBUTE.fullmatch(word)
        if match is None:
            return None
        name = match[1].upper()
        text = re.sub(r"\+([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), match[2])
        if text.upper() in ("[UNAVAILABLE]", "[TEMPUNAVAIL]"):
            continue
        if name.endswith("PORT"):
            if re.fullmatch(r"[0-9]{1,16}", text) is None or int(text) > 65535:
                return None
            told[name] = int(text)
        else:
            bare = text[5:] if text[:5].upper() == "IPV6:" else text
            try:
                told[name] = address_of_text(bare, (socket.AF_INET, socket.AF_INET6))
            except Wrong:
                return None
    return told if words else None
