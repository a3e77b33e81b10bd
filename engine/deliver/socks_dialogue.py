"""The client's side of SOCKS5: what to send, how much to read, what an answer means.

Place in flow: ``engine.deliver.connector`` drives it over a socket; pure.

Invariants:
    * It asks for exactly the octets that an answer has: what the destination says comes after.
    * A source address that the proxy swaps for another is not given.
    * The password is only sent to a proxy that asks for it.

Standard: RFC 1928, RFC 1929; BIND before CONNECT on one connection selects the source address, as
egress proxies of the field understand it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Generator

from engine.model.proxy_header import spell_address

_VERSION = 5
_NO_AUTH, _PASSWORD, _NOTHING = 0, 2, 0xFF
_CONNECT, _BIND = 1, 2
_V4, _NAME, _V6 = 1, 3, 4
_OK = 0
#: Versions of an answer to user and password: that of RFC 1929, and that of SOCKS5 for it, which
#: some proxies send.
_PASSWORD_VERSIONS = (1, 5)
#: What a proxy says of the destination, in the words that a direct connection would fail with.
_DESTINATION = {3: "ENETUNREACH", 4: "EHOSTUNREACH", 5: "ECONNREFUSED", 6: "ETIMEDOUT"}
_REASONS = {
    1: "a general failure",
    2: "its rules do not allow it",
    7: "it does not know the command",
    8: "it does not know the kind of address",
}

#: What goes into log records as a host: nothing that ends a line.
_HOST_NAME = re.compile("[A-Za-z0-9._-]+")

#: Octets to send, or how many to read; answered by what was read. Returns an address.
Steps = Generator[bytes | int, bytes, str]


class SocksError(Exception):
    """A proxy did not do what it was asked; the text says why."""


class SocksSourceError(SocksError):
    """A proxy does not have, or does not give, the source address."""


class SocksDestinationError(SocksError):
    """A proxy works and could not reach the destination; the text is the name of the error."""


def begin_steps(
    source_address: str | None = None, credentials: tuple[str, str] | None = None
) -> Steps:
    """Yield the steps until the proxy can be told to connect; return the address that is bound.

    Args:
        source_address: The address to connect from; None lets the proxy pick.
        credentials: User and password for a proxy that asks.

    Raises:
        SocksSourceError: The source address is not given.
        SocksError: The proxy refuses, or does not speak SOCKS5.
    """
    yield bytes([_VERSION, 2, _NO_AUTH, _PASSWORD] if credentials else [_VERSION, 1, _NO_AUTH])
    version, method = yield 2
    if version != _VERSION:
        raise SocksError("it does not speak SOCKS5")
    if method == _NOTHING:
        raise SocksError("it takes none of the ways to authenticate")
    if method == _PASSWORD and credentials is not None:
        yield from _authenticate(*credentials)
    elif method != _NO_AUTH:
        raise SocksError(f"it chose a way to authenticate that was not offered ({method})")
    if source_address is None:
        return ""
    code, bound = yield from _ask(_BIND, (source_address, 0))
    if code != _OK:
        reason = _REASONS.get(code) or _DESTINATION.get(code) or f"code {code}"
        raise SocksSourceError(f"it does not give the source {source_address}: {reason}")
    if _is_another(bound, source_address):
        # A server that takes BIND for that of RFC 1928, and would answer CONNECT with yes as well.
        given = bound or "no address"
        raise SocksSourceError(f"it does not give the source {source_address}: it gives {given}")
    return source_address


def _is_another(bound: str, wanted: str) -> bool:
    """Return whether a proxy names an address that is not the wanted one."""
    try:
        found = ipaddress.ip_address(bound)
    except ValueError:
        return True
    return not found.is_unspecified and bound != spell_address(ipaddress.ip_address(wanted))


def connect_steps(target: tuple[str, int]) -> Steps:
    """Yield the steps of connecting; return the address that the proxy connects from.

    Args:
        target: Address and port of the destination.

    Raises:
        SocksDestinationError: The destination cannot be reached.
        SocksError: The proxy refuses.
    """
    code, used = yield from _ask(_CONNECT, target)
    if code in _DESTINATION:
        raise SocksDestinationError(_DESTINATION[code])
    if code != _OK:
        raise SocksError(f"it does not connect: {_REASONS.get(code, f'code {code}')}")
    return used


def _authenticate(username: str, password: str) -> Generator[bytes | int, bytes, None]:
    user, secret = username.encode(), password.encode()
    if not 0 < len(user) < 256 or not 0 < len(secret) < 256:
        raise SocksError("user and password have 1 to 255 octets")
    yield bytes([1, len(user)]) + user + bytes([len(secret)]) + secret
    version, status = yield 2
    if version not in _PASSWORD_VERSIONS:
        raise SocksError("its answer to user and password is none")
    if status != 0:
        raise SocksError("it does not take user and password")


def _ask(command: int, address: tuple[str, int]) -> Generator[bytes | int, bytes, tuple[int, str]]:
    """Return the code of an answer and the address in it."""
    host = ipaddress.ip_address(address[0])
    kind = _V4 if host.version == 4 else _V6
    yield bytes([_VERSION, command, 0, kind]) + host.packed + address[1].to_bytes(2, "big")
    version, code, _, kind = yield 4
    if version != _VERSION:
        raise SocksError("its answer is no SOCKS5")
    if kind == _NAME:
        (length,) = yield 1
        name = (yield length + 2)[:-2].decode("latin-1")
        # One that is none tells nothing, and is no reason to give up.
        return code, name if _HOST_NAME.fullmatch(name) else ""
    if kind not in (_V4, _V6):
        raise SocksError(f"its answer holds an unknown kind of address ({kind})")
    packed = (yield (4 if kind == _V4 else 16) + 2)[:-2]
    return code, spell_address(ipaddress.ip_address(packed))
