"""Options of listeners: what fits becomes settings, anything else is an error with its name."""

from __future__ import annotations

import socket

import pytest

from engine.model.cidr import CidrSet
from proxy.access import AccessRule, AccessRules, Who, parse_destination
from proxy.listener_options import read_http_options, read_socks_options
from proxy.settings import HttpOptions, KeepAlive, SocksOptions


@pytest.fixture
def read(tmp_path):
    return lambda **given: read_socks_options(given, tmp_path)


def test_without_a_word_everything_is_as_it_is_by_default(read):
    assert read() == SocksOptions(hostname=socket.gethostname())


def test_every_option_has_its_place(read, tmp_path):
    options = read(
        listen="[::1]:1081",
        hostname="proxy.example",
        timeout="30s",
        idle_timeout="20m",
        use_splice=False,
        reuse_port=True,
        resolve_names=True,
        users_file="users",
        require_auth=True,
        proxy_protocol_from=["192.0.2.1"],
        max_connections=100,
        max_connections_per_client=10,
        tcp_keepalive={"time": "2m", "interval": 10, "retries": 5},
        use_tls=True,
        tls_certificate="cert.pem",
        tls_private_key={"key_data": "PEM"},
        tls_required_client_ca="/etc/ca.pem",
    )

    assert options == SocksOptions(
        ("::1", 1081),
        "proxy.example",
        30.0,
        1200.0,
        AccessRules(),
        use_splice=False,
        reuse_port=True,
        resolve_names=True,
        users_file=tmp_path / "users",
        require_auth=True,
        proxy_protocol_from=CidrSet(["192.0.2.1"]),
        max_connections=100,
        max_connections_per_client=10,
        keep_alive=KeepAlive(True, 120, 10, 5),
        use_tls=True,
        tls_certificate=str(tmp_path / "cert.pem"),
        tls_private_key={"key_data": "PEM"},
        tls_required_client_ca="/etc/ca.pem",
    )


def test_what_is_allowed_without_rules_is_one_rule_for_everybody(read):
    access = read(
        allow_clients=["192.0.2.0/24"],
        allow_sources=["198.51.100.7"],
        allow_destinations=["203.0.113.0/24:25"],
    ).access

    assert not access.may_enter("127.0.0.1")
    who = Who("192.0.2.9")
    assert access.may_reach(who, "198.51.100.7", "203.0.113.9", 25)
    assert not access.may_reach(who, "198.51.100.7", "203.0.113.9", 587)
    assert not access.may_reach(who, "198.51.100.8", "203.0.113.9", 25)


def test_rules_say_who_may_what(read):
    access = read(
        rules=[
            {
                "clients": ["192.0.2.0/24"],
                "users": ["node"],
                "groups": ["nodes"],
                "sources": ["198.51.100.7"],
                "destinations": ["*:25"],
            },
            {},
        ]
    ).access

    assert access.rules == (
        AccessRule(
            CidrSet(["192.0.2.0/24"]),
            frozenset({"node"}),
            frozenset({"nodes"}),
            CidrSet(["198.51.100.7"]),
            (parse_destination("*:25"),),
        ),
        AccessRule(),
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"listen": "1080"}, "listen"),
        ({"timeout": 0}, "timeout: a duration above zero"),
        ({"idle_timeout": "soon"}, "idle_timeout"),
        ({"use_splice": "yes"}, "use_splice: True or False"),
        ({"users_file": ""}, "users_file: text"),
        ({"max_connections": 0}, "max_connections"),
        ({"max_connections_per_client": True}, "max_connections_per_client"),
        ({"allow_clients": "10.0.0.0/8"}, "allow_clients: a list"),
        ({"allow_clients": ["here"]}, "allow_clients: not a network"),
        ({"allow_destinations": ["mx.example:25"]}, "allow_destinations: not a network"),
        ({"allow_destinations": [25]}, "allow_destinations: a destination is text"),
        ({"allow_destinations": "*"}, "allow_destinations: a list"),
        ({"allow_sources": ["198.51.100.7/24"]}, "allow_sources"),
        ({"tcp_keepalive": 60}, "tcp_keepalive: a table"),
        ({"tcp_keepalive": {"retries": 0}}, "retries"),
        ({"rules": {"users": []}}, "rules: a list"),
        ({"rules": ["all"]}, "rules: a table"),
        ({"rules": [{"sources": ["x"]}]}, "sources"),
        ({"rules": [{"user": ["node"]}]}, "unknown option 'user'.*did you mean 'users'"),
        ({"rules": [], "allow_sources": []}, "rules say everything"),
        ({"tls_certificate": "cert.pem"}, "without use_tls"),
        ({"use_tls": True, "tls_private_key": "k.pem"}, "without tls_certificate"),
        ({"use_tls": True, "tls_certificate": 5}, "tls_certificate: a key source"),
    ],
)
def test_what_does_not_fit_is_named(read, given, said):
    with pytest.raises(ValueError, match=f"start_proxy_listener: .*{said}"):
        read(**given)


def test_an_unknown_option_is_named_with_the_one_that_is_meant(read):
    with pytest.raises(TypeError, match="unknown option 'allow_client'.*'allow_clients'"):
        read(allow_client=[])


def test_a_listener_for_operators_has_options_of_its_own(tmp_path):
    options = read_http_options(
        {"listen": "127.0.0.1:8010", "hostname": "x", "trusted_hosts": ["192.0.2.0/24"]}, tmp_path
    )

    assert options == HttpOptions(("127.0.0.1", 8010), "x", CidrSet(["192.0.2.0/24"]))
    with pytest.raises(TypeError, match="start_http_listener: unknown option 'timeout'"):
        read_http_options({"timeout": 5}, tmp_path)
