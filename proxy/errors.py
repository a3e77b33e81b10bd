"""What can go wrong in the proxy: one class per situation, each with what the client is told.

Place in flow: raised by the stages of a session and turned into a reply at its edge;
``ConfigurationError`` ends a start or keeps a reload out.

Standard: RFC 1928, section 6 (reply codes).
"""

from __future__ import annotations

import enum
import errno
import socket


class ReplyCode(enum.IntEnum):
    """The second octet of a reply."""

    SUCCEEDED = 0
    GENERAL_FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    TIMED_OUT = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8


class ProxyError(Exception):
    """The root: a session cannot go on, or the daemon cannot.

    Attributes:
        temporary: Whether the same may work later.
        reply: What the client is told; None where no reply can be understood.
        is_for_operator: Whether it speaks of something that is set up wrongly, here or there.
    """

    temporary = True
    is_for_operator = True
    reply: ReplyCode | None = ReplyCode.GENERAL_FAILURE


class ProtocolError(ProxyError):
    """What the client said is no SOCKS5; there is no reply it would understand."""

    temporary = False
    reply = None


class UnsupportedCommandError(ProxyError):
    """The client asked for something other than BIND and CONNECT."""

    temporary = False
    reply = ReplyCode.COMMAND_NOT_SUPPORTED


class UnsupportedAddressError(ProxyError):
    """The client named its destination in a way that is not served, such as by a host name."""

    temporary = False
    reply = ReplyCode.ADDRESS_TYPE_NOT_SUPPORTED


class AccessDeniedError(ProxyError):
    """No rule allows what the client asked for."""

    temporary = False
    reply = ReplyCode.NOT_ALLOWED


class AuthenticationFailedError(ProxyError):
    """The client did not show who it is; what it is told depends on how it tried."""

    temporary = False
    reply = None


class SourceUnavailableError(ProxyError):
    """The address asked for as source cannot be bound."""


class ConnectFailedError(ProxyError):
    """The destination cannot be reached.

    Args:
        text: Why, for the operator.
        reply: Why, for the client.
    """

    is_for_operator = False

    def __init__(self, text: str, reply: ReplyCode) -> None:
        super().__init__(text)
        self.reply = reply


class StalledError(ProxyError):
    """The client did not say what was its turn to say in time."""

    reply = None
    is_for_operator = False


class TurnedAwayError(ProxyError):
    """A client behind a balancer may not enter; that was said when it was found out."""

    temporary = False
    reply = None
    is_for_operator = False


class HandshakeFailedError(ProxyError):
    """TLS could not be agreed on with the client."""

    reply = None


class ConfigurationError(ProxyError):
    """What the operator asked for cannot be had."""

    temporary = False


_CODES = {
    errno.ENETUNREACH: ReplyCode.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: ReplyCode.HOST_UNREACHABLE,
    errno.ECONNREFUSED: ReplyCode.CONNECTION_REFUSED,
    errno.ETIMEDOUT: ReplyCode.TIMED_OUT,
}


def judge_connect_error(error: OSError) -> ReplyCode:
    """Return what a client is told about a connection that could not be made."""
    if isinstance(error, socket.gaierror):
        return ReplyCode.HOST_UNREACHABLE
    if isinstance(error, TimeoutError):
        return ReplyCode.TIMED_OUT
    return _CODES.get(error.errno or 0, ReplyCode.GENERAL_FAILURE)
