"""Each situation has an error of its own, and each says what the client is told."""

from __future__ import annotations

import errno
import socket

import pytest

from proxy import errors
from proxy.errors import ReplyCode, judge_connect_error

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__base__]


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        (errors.ProtocolError, None),
        (errors.StalledError, None),
        (errors.AuthenticationFailedError, None),
        (errors.AccessDeniedError, ReplyCode.NOT_ALLOWED),
        (errors.UnsupportedCommandError, ReplyCode.COMMAND_NOT_SUPPORTED),
        (errors.UnsupportedAddressError, ReplyCode.ADDRESS_TYPE_NOT_SUPPORTED),
        (errors.SourceUnavailableError, ReplyCode.GENERAL_FAILURE),
    ],
)
def test_an_error_knows_its_reply(kind, reply):
    error = kind("reason")

    assert isinstance(error, errors.ProxyError)
    assert (error.reply, str(error)) == (reply, "reason")


@pytest.mark.parametrize(
    ("kind", "is_temporary"),
    [
        (errors.SourceUnavailableError, True),
        (errors.StalledError, True),
        (errors.AccessDeniedError, False),
        (errors.ConfigurationError, False),
    ],
)
def test_an_error_says_whether_waiting_helps(kind, is_temporary):
    assert kind("reason").temporary is is_temporary


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (OSError(errno.ENETUNREACH, ""), 3),
        (OSError(errno.EHOSTUNREACH, ""), 4),
        (socket.gaierror(socket.EAI_NONAME, ""), 4),
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), 5),
        (TimeoutError(errno.ETIMEDOUT, ""), 6),
        (TimeoutError(), 6),
        (OSError(errno.EADDRNOTAVAIL, ""), 1),
        (OSError(errno.EACCES, ""), 1),
        (OSError("several"), 1),
    ],
)
def test_a_connection_that_cannot_be_made_is_told_by_its_cause(error, reply):
    assert judge_connect_error(error) == reply
