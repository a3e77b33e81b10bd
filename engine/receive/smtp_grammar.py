"""SMTP command lines as values: verb, path, parameters.

Place in flow: ``engine.receive.smtp_session`` hands each complete line here; nothing here knows a
socket or a session.

Invariants:
    * Every error is a ``CommandSyntaxError`` that carries the reply.
    * A command line never holds a bare CR, LF or NUL when it leaves here.

Standard: RFC 5321 sections 4.1 and 4.5.3; RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531
(SMTPUTF8).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.model.address import AddressError, EnvelopeAddress, parse_address
from engine.model.reply import SmtpReply, make_reply

_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\x00-\x20=\x7f]+))?\Z")
_ROUTE = re.compile(r"@[^<>:\s]+:")


class CommandSyntaxError(ValueError):
    """A command line that is no command; ``reply`` is the answer."""

    def __init__(self, reply: SmtpReply) -> None:
        super().__init__(reply.one_line())
        self.reply = reply


class PathArgument(NamedTuple):
    """The argument of MAIL or RCPT: an address and its ESMTP parameters (names in upper case)."""

    address: EnvelopeAddress
    parameters: dict[str, str]


def decode_line(line: bytes) -> str:
    """Return a command line as text.

    Raises:
        CommandSyntaxError: It holds a NUL, a bare CR or is not UTF-8.
    """
    if b"\r" in line or b"\x00" in line:
        raise CommandSyntaxError(make_reply(500, "5.5.2 control characters in the command line"))
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise CommandSyntaxError(make_reply(500, "5.5.2 the command is not UTF-8")) from None


def split_verb(line: str) -> tuple[str, str]:
    """Return the verb in upper case and its argument, without surrounding blanks."""
    verb, _, argument = line.strip(" \t").partition(" ")
    return verb.upper(), argument.strip(" \t")


def parse_path_argument(argument: str, keyword: str, *, status: str) -> PathArgument:
    """Return the address and parameters of ``FROM:<path> ...`` or ``TO:<path> ...``.

    Args:
        argument: What follows the verb. A blank after the colon is tolerated.
        keyword: ``FROM`` or ``TO``.
        status: Enhanced status of a bad address: 5.1.7 for senders, 5.1.3 for recipients.

    Raises:
        CommandSyntaxError: 501, or 555 for malformed parameters.
    """
    if (
        argument[: len(keyword)].upper() != keyword
        or argument[len(keyword) : len(keyword) + 1] != ":"
    ):
        verb = "MAIL" if keyword == "FROM" else "RCPT"
        raise CommandSyntaxError(make_reply(501, f"5.5.4 syntax: {verb} {keyword}:<address>"))
    rest = argument[len(keyword) + 1 :].lstrip(" \t")
    path, tail = _take_path(rest, status)
    path = _ROUTE.sub("", path, count=1) if path.startswith("@") else path
    if not path and keyword == "TO":
        raise CommandSyntaxError(make_reply(501, f"{status} a recipient cannot be empty"))
    try:
        address = parse_address(path)
    except AddressError as error:
        raise CommandSyntaxError(make_reply(501, f"{status} bad address: {error}")) from None
    if not address.domain and path and (keyword == "FROM" or path.lower() != "postmaster"):
        raise CommandSyntaxError(make_reply(501, f"{status} the address has no domain"))
    return PathArgument(address, _parameters(tail) if tail else {})


def _take_path(rest: str, status: str) -> tuple[str, str]:
    if not rest.startswith("<"):
        raise CommandSyntaxError(make_reply(501, f"{status} the address must stand in <>"))
    quoted = False
    index = 1
    while index < len(rest):
        char = rest[index]
        if char == "\\" and quoted:
            index += 1
        elif char == '"':
            quoted = not quoted
        elif char == ">" and not quoted:
            tail = rest[index + 1 :]
            if tail and tail[0] not in " \t":
                break
            return rest[1:index], tail.strip(" \t")
        index += 1
    raise CommandSyntaxError(make_reply(501, f"{status} the address must stand in <>"))


def _parameters(tail: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for word in tail.split():
        match = _PARAMETER.match(word)
        if match is None:
            raise CommandSyntaxError(make_reply(501, "5.5.4 malformed parameter"))
        name = match[1].upper()
        if name in parameters:
            raise CommandSyntaxError(make_reply(501, f"5.5.4 parameter {name} given twice"))
        parameters[name] = match[2] or ""
    return parameters


def check_mail_parameters(
    parameters: dict[str, str], *, max_message_size_bytes: int
) -> SmtpReply | None:
    """Return the refusal of MAIL's parameters, or None when they are fine."""
    for name, value in parameters.items():
        match name:
            case "SIZE":
                if not value.isascii() or not value.isdigit() or len(value) > 20:
                    return make_reply(501, "5.5.4 SIZE wants a number")
                if int(value) > max_message_size_bytes:
                    return make_reply(552, "5.3.4 message too big")
            case "BODY":
                if value.upper() not in ("7BIT", "8BITMIME"):
                    return make_reply(501, "5.5.4 BODY wants 7BIT or 8BITMIME")
            case "SMTPUTF8":
                if value:
                    return make_reply(501, "5.5.4 SMTPUTF8 takes no value")
            case "AUTH" | "RET" | "ENVID":
                # Sent by relays that saw other servers offer them: harmless, and not acted on.
                continue
            case _:
                return make_reply(555, f"5.5.4 unsupported parameter {name}")
    return None


def check_rcpt_parameters(parameters: dict[str, str]) -> SmtpReply | None:
    """Return the refusal of RCPT's parameters, or None when they are fine."""
    for name in parameters:
        if name not in ("NOTIFY", "ORCPT"):
            return make_reply(555, f"5.5.4 unsupported parameter {name}")
    return None


def parse_bdat_argument(argument: str) -> tuple[int, bool]:
    """Return the octets of a BDAT chunk and whether it is the last one (RFC 3030, section 2).

    Raises:
        CommandSyntaxError: 501.
    """
    size, _, last = argument.partition(" ")
    if (
        not size.isascii()
        or not size.isdigit()
        or len(size) > 15
        or last.upper() not in ("", "LAST")
    ):
        raise CommandSyntaxError(make_reply(501, "5.5.4 syntax: BDAT octets [LAST]"))
    return int(size), bool(last)
