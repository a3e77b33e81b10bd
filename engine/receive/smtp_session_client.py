"""Who the client really is, where a balancer or a filter stands in front: PROXY protocol, XCLIENT.

Place in flow: ``engine.receive.smtp_session`` reads the header before it greets; XCLIENT is one of
its commands.

Invariants:
    * Where a header is required nothing is said, and no script is asked, before it was read; a
      connection without one, or with a bad one, is dropped without a word.
    * What the addresses decide (options by peer, relaying, what scripts see) is decided anew.
    * The addresses of the socket stay in the metadata, as ``orig_received_from`` and
      ``orig_received_via``.

Standard: the PROXY protocol, versions 1 and 2; XCLIENT as Postfix speaks it, of its attributes
those of addresses and ports.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from typing import TYPE_CHECKING, Any

from engine.model.proxy_header import ProxyHeaderError, parse_proxy_header, spell_address
from engine.model.reply import make_reply
from engine.receive.incoming import ConnectionEndedError

if TYPE_CHECKING:
    from engine.receive.smtp_session import SmtpSession

log = logging.getLogger("cirrus.receive")

NOT_ALLOWED = make_reply(550, "5.7.0 XCLIENT is not allowed here")
IN_TRANSACTION = make_reply(503, "5.5.1 XCLIENT is not allowed within a transaction")
NEED_ATTRIBUTES = make_reply(501, "5.5.4 syntax: XCLIENT NAME=value ...")
ATTRIBUTES = ("ADDR", "PORT", "DESTADDR", "DESTPORT")
#: Values by which a client says that it does not know.
_UNKNOWN = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
#: Leading zeros are harmless, but not without end.
_PORT_DIGITS_MAX = 16
_XTEXT = re.compile(r"\+([0-9A-Fa-f]{2})")

Endpoint = tuple[str, int]


async def take_proxy_header(session: SmtpSession) -> None:
    """Read the header that a balancer sends first, and take the addresses in it.

    Raises:
        ConnectionEndedError: There is none, or none that can be read.
    """
    while True:
        try:
            found = parse_proxy_header(session.peek_input())
        except ProxyHeaderError as error:
            log.info("%s sent no PROXY header: %s", session.peer_ip, error)
            raise ConnectionEndedError from error
        if found is not None:
            break
        # One deadline for all of it, since the connection began.
        await session.more_input(goes_on=True)
    header, length = found
    session.take_octets(length)
    if header.source is not None and header.destination is not None:
        session.set_addresses(header.source, header.destination)


async def obey_xclient(session: SmtpSession, argument: str, line: str) -> None:
    """Take the client's addresses from one that may say them, and greet anew."""
    if not session.options.allow_xclient:
        await session.complain(NOT_ALLOWED, line)
        return
    if session.sender is not None:
        await session.complain(IN_TRANSACTION, line)
        return
    try:
        source, destination = read_attributes(argument, session.peer, session.own)
    except ValueError as error:
        await session.complain(make_reply(501, f"5.5.4 {error}"), line)
        return
    session.set_addresses(source, destination)
    await session.greet_anew()


def read_attributes(argument: str, peer: Endpoint, own: Endpoint) -> tuple[Endpoint, Endpoint]:
    """Return the client's address and port, and ours, as an XCLIENT command says.

    Args:
        argument: What follows the verb.
        peer: What is known of the client; stays where the command is silent.
        own: The same of our side.

    Raises:
        ValueError: An attribute is unknown, or a value does not fit; the text is for the client.
    """
    words = argument.split()
    if not words or not argument.isascii():
        raise ValueError("syntax: XCLIENT NAME=value ...")
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.upper()
        if not equals or name not in ATTRIBUTES:
            raise ValueError(f"the attributes are {', '.join(ATTRIBUTES)}")
        text = _XTEXT.sub(lambda found: chr(int(found[1], 16)), value)
        if text.upper() not in _UNKNOWN:
            given[name] = _port(name, text) if name.endswith("PORT") else _address(name, text)
    return (
        (given.get("ADDR", peer[0]), given.get("PORT", peer[1])),
        (given.get("DESTADDR", own[0]), given.get("DESTPORT", own[1])),
    )


def _address(name: str, text: str) -> str:
    # Postfix writes IPV6: before such an address, as in an address literal.
    bare = text[5:] if text[:5].upper() == "IPV6:" else text
    try:
        # A percent sign would bring the name of an interface along, which may be any text: xtext
        # can hold the end of a line, and addresses stand in header fields.
        if "%" in bare:
            raise ValueError(bare)
        return spell_address(ipaddress.ip_address(bare))
    except ValueError:
        raise ValueError(f"{name} is no address") from None


def _port(name: str, text: str) -> int:
    # The length first: int() is not given digits without end.
    is_port = text.isascii() and text.isdigit() and len(text) <= _PORT_DIGITS_MAX
    if not is_port or int(text) > 0xFFFF:
        raise ValueError(f"{name} is no port")
    return int(text)
