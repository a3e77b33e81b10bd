"""Options of a resolver as scripts write them."""

from __future__ import annotations

import pytest

from engine.route.resolver_options import (
    ResolverOptions,
    ServerOrdering,
    read_name_servers,
    read_resolver_options,
)


def test_options_change_what_they_name_and_nothing_else():
    given = {
        "timeout": "3s",
        "cache_size": 10,
        "edns0": False,
        "negative_max_ttl": 60,
        "server_ordering_strategy": "RoundRobin",
    }

    options, idle = read_resolver_options(ResolverOptions(timeout_s=9.0), given)

    assert options == ResolverOptions(
        timeout_s=9.0,
        try_s=3.0,
        cache_size=10,
        edns0=False,
        negative_max_s=60.0,
        ordering=ServerOrdering.ROUND_ROBIN,
    )
    assert idle == ()


def test_what_is_known_and_not_in_force_is_named():
    options, idle = read_resolver_options(ResolverOptions(), {"ndots": 2, "validate": False})

    assert options == ResolverOptions()
    assert idle == ("options: ndots is known but not yet in force",)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"validate": True}, ValueError, "cannot be validated"),
        ({"timout": 1}, TypeError, "did you mean 'timeout'"),
        ({"timeout": 0}, ValueError, "above zero"),
        ({"cache_size": 0}, ValueError, "cache_size: a number from 1"),
        ({"ndots": "x"}, ValueError, "ndots"),
        (["timeout"], ValueError, "a table"),
    ],
)
def test_what_does_not_fit_is_an_error(given, error, message):
    with pytest.raises(error, match=message):
        read_resolver_options(ResolverOptions(), given)


def test_name_servers_are_texts_or_tables():
    servers, idle = read_name_servers(["127.0.0.1", {"socket_addr": "127.0.0.2:53"}])

    assert (servers, idle) == (("127.0.0.1", "127.0.0.2:53"), ())


def test_how_a_server_is_spoken_to_is_not_in_force():
    _, idle = read_name_servers([{"socket_addr": "127.0.0.2", "protocol": "tcp"}])

    assert idle == ("name_servers: protocol 'tcp' is not yet in force",)


@pytest.mark.parametrize("given", [[], "127.0.0.1", [5], [{"protocol": "tcp"}], [{"addr": "x"}]])
def test_what_is_no_list_of_servers_is_an_error(given):
    with pytest.raises((ValueError, TypeError)):
        read_name_servers(given)
