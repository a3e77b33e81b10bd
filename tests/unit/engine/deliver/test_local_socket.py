"""Sockets of this machine: families, and which errors are whose."""

from __future__ import annotations

import errno
import socket

import pytest

from engine.deliver.local_socket import (
    LocalResourceError,
    SourceUnplumbedError,
    as_ours,
    bind_source,
    family_of,
)
from engine.model.errors import ConnectFailedError


def test_the_family_of_an_address_is_told_and_a_name_has_none():
    assert family_of("127.0.0.1") == socket.AF_INET
    assert family_of("::1") == socket.AF_INET6
    with pytest.raises(ValueError, match="host"):
        family_of("host.example")


def test_a_source_is_bound_without_a_port():
    with socket.socket() as link:
        bind_source(link, socket.AF_INET, "127.0.0.9")
        assert link.getsockname()[0] == "127.0.0.9"


def test_an_address_that_is_elsewhere_is_unplumbed():
    with socket.socket() as link, pytest.raises(SourceUnplumbedError, match=r"192\.0\.2\.1"):
        bind_source(link, socket.AF_INET, "192.0.2.1")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EMFILE, LocalResourceError),
        (errno.EADDRNOTAVAIL, LocalResourceError),
        (errno.ECONNREFUSED, ConnectFailedError),
        (errno.EHOSTUNREACH, ConnectFailedError),
    ],
)
def test_what_this_machine_lacks_is_told_apart_from_what_the_host_does(number, kind):
    found = as_ours(OSError(number, "x"))
    assert type(found) is kind
    assert errno.errorcode[number] in str(found)


def test_an_error_of_ours_stays_what_it_is():
    error = SourceUnplumbedError("x")
    assert as_ours(error) is error
