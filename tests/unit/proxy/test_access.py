"""Who may do what: the default is narrow, and what is allowed is allowed as a whole."""

from __future__ import annotations

import pytest

from engine.model.cidr import CidrSet
from proxy.access import (
    ALL_PORTS,
    MAIL_PORTS,
    AccessRule,
    AccessRules,
    Destination,
    Who,
    parse_destination,
    parse_ports,
)

ANYBODY = Who("127.0.0.1")
NODE = Who("192.0.2.9", frozenset({"node-1"}), frozenset({"nodes"}))


def rules(*destinations, **fields):
    found = tuple(map(parse_destination, destinations)) or (Destination(),)
    return AccessRules(rules=(AccessRule(destinations=found, **fields),))


# -- by default


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_may_enter(client):
    assert AccessRules().may_enter(client)


@pytest.mark.parametrize("client", ["192.0.2.9", "10.0.0.1", "2001:db8::1", "fe80::1", "nonsense"])
def test_nobody_else_may_enter(client):
    assert not AccessRules().may_enter(client)


@pytest.mark.parametrize("host", ["198.51.100.9", "10.0.0.1", "2001:db8::9"])
@pytest.mark.parametrize("port", [25, 465, 587, 2525])
def test_mail_may_go_anywhere(host, port):
    assert AccessRules().may_reach(ANYBODY, None, host, port)


@pytest.mark.parametrize("port", [0, 1, 24, 26, 80, 443, 1080, 65535])
def test_nothing_else_may(port):
    assert not AccessRules().may_reach(ANYBODY, None, "198.51.100.9", port)


SPECIAL = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "fe80::1",
    "ff02::1",
]


@pytest.mark.parametrize("host", SPECIAL)
@pytest.mark.parametrize("destination", ["*", "0.0.0.0/0", "[::/0]:*", "*:*", "126.0.0.0/7"])
def test_this_host_and_this_link_are_not_anywhere(host, destination):
    assert not AccessRules().may_reach(ANYBODY, None, host, 25)
    assert not rules(destination).may_reach(ANYBODY, None, host, 25)


@pytest.mark.parametrize(
    ("host", "destination"),
    [
        ("127.0.0.1", "127.0.0.0/8"),
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "::ffff:127.0.0.1"),
        ("::1", "::1"),
        ("fe80::9", "[fe80::/64]:25"),
        ("169.254.1.1", "169.254.0.0/16"),
    ],
)
def test_they_can_be_allowed_by_their_own_names(host, destination):
    assert rules(destination).may_reach(ANYBODY, None, host, 25)


# -- destinations


@pytest.mark.parametrize(
    ("text", "network", "ports"),
    [
        ("*", None, MAIL_PORTS),
        ("*:*", None, ALL_PORTS),
        ("*:25", None, ((25, 25),)),
        ("192.0.2.0/24", "192.0.2.0/24", MAIL_PORTS),
        ("192.0.2.7:25,1000-1010", "192.0.2.7/32", ((25, 25), (1000, 1010))),
        ("192.0.2.0/24:*", "192.0.2.0/24", ALL_PORTS),
        ("2001:db8::/32", "2001:db8::/32", MAIL_PORTS),
        ("[2001:db8::/32]:25", "2001:db8::/32", ((25, 25),)),
        ("[2001:db8::]/32:25", "2001:db8::/32", ((25, 25),)),
        ("[2001:db8::1]:25", "2001:db8::1/128", ((25, 25),)),
        ("[2001:db8::1]", "2001:db8::1/128", MAIL_PORTS),
        (" 192.0.2.7:25 ", "192.0.2.7/32", ((25, 25),)),
    ],
)
def test_a_destination_is_a_network_and_ports(text, network, ports):
    found = parse_destination(text)

    assert (found.network and str(found.network), found.ports) == (network, ports)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mx.example",
        "mx.example:25",
        "192.0.2.1/24",
        "192.0.2.0/33",
        "192.0.2.0/24:",
        "192.0.2.0/24:0",
        "192.0.2.0/24:65536",
        "192.0.2.0/24:30-20",
        "192.0.2.0/24:25-",
        "192.0.2.0/24:smtp",
        "192.0.2.0/24:+25",
        "[2001:db8::/32",
        "[2001:db8::/32]25",
        "[2001:db8::/32]:",
        "2001:db8::/32:25",
        "**",
    ],
)
def test_what_is_no_destination_is_refused(text):
    with pytest.raises(ValueError, match="."):
        parse_destination(text)


def test_every_form_of_ports_holds_what_it_says():
    assert parse_ports("*") == ((1, 65535),)
    assert parse_ports(" 25, 587-588") == ((25, 25), (587, 588))


def test_networks_that_are_given_are_all_there_is():
    only = rules("198.51.100.0/24", "[2001:db8::/32]:24")

    assert only.may_reach(ANYBODY, None, "198.51.100.9", 25)
    assert only.may_reach(ANYBODY, None, "::ffff:198.51.100.9", 25)
    assert only.may_reach(ANYBODY, None, "2001:db8::9", 24)
    assert not only.may_reach(ANYBODY, None, "198.51.101.9", 25)
    assert not only.may_reach(ANYBODY, None, "2001:db8::9", 25)


# -- sources


def test_any_source_may_be_asked_for_unless_they_are_named():
    assert AccessRules().may_leave_from(ANYBODY, "192.0.2.7")
    named = rules(sources=CidrSet(["192.0.2.7", "2001:db8::/64"]))

    assert named.may_leave_from(ANYBODY, "192.0.2.7")
    assert named.may_leave_from(ANYBODY, "2001:db8::5")
    assert not named.may_leave_from(ANYBODY, "192.0.2.8")
    assert not named.may_reach(ANYBODY, "192.0.2.8", "198.51.100.9", 25)


def test_who_asks_for_no_source_gets_the_first_address_of_the_family():
    named = rules(sources=CidrSet(["192.0.2.0/24", "192.0.2.7", "192.0.2.8", "2001:db8::5"]))

    assert named.default_source(ANYBODY, "198.51.100.9") == "192.0.2.7"
    assert named.default_source(ANYBODY, "2001:db8::9") == "2001:db8::5"


def test_the_system_chooses_where_any_source_will_do():
    assert AccessRules().default_source(ANYBODY, "198.51.100.9") is None


def test_who_asks_for_no_source_and_has_no_address_to_be_given_is_refused():
    named = rules(sources=CidrSet(["192.0.2.0/24"]))

    assert named.default_source(ANYBODY, "198.51.100.9") is None
    assert not named.may_reach(ANYBODY, None, "198.51.100.9", 25)


# -- clients and users


def test_a_rule_is_for_the_clients_and_the_users_it_names():
    named = {
        "clients": CidrSet(["192.0.2.0/24"]),
        "users": frozenset({"node-1", "node-2"}),
    }
    only = rules(**named)

    assert only.may_reach(NODE, None, "198.51.100.9", 25)
    assert not only.may_reach(Who("192.0.2.9"), None, "198.51.100.9", 25)
    assert not only.may_reach(Who("192.0.2.9", frozenset({"x"})), None, "198.51.100.9", 25)
    assert not only.may_reach(Who("10.0.0.1", NODE.identities), None, "198.51.100.9", 25)


def test_a_group_stands_for_its_members():
    assert rules(groups=frozenset({"nodes"})).may_reach(NODE, None, "198.51.100.9", 25)
    assert rules(groups=frozenset({"x"}), users=frozenset({"node-1"})).may_leave_from(NODE, "::1")
    assert not rules(groups=frozenset({"x"})).may_leave_from(NODE, "192.0.2.7")


def test_what_one_rule_allows_is_not_mixed_with_what_another_does():
    first = AccessRule(
        sources=CidrSet(["192.0.2.1"]), destinations=(parse_destination("10.0.0.0/8"),)
    )
    second = AccessRule(sources=CidrSet(["192.0.2.2"]))
    both = AccessRules(rules=(first, second))

    assert both.may_reach(ANYBODY, "192.0.2.1", "10.0.0.1", 25)
    assert both.may_reach(ANYBODY, "192.0.2.2", "198.51.100.9", 25)
    assert not both.may_reach(ANYBODY, "192.0.2.1", "198.51.100.9", 25)


def test_without_a_rule_nothing_is_allowed():
    nothing = AccessRules(rules=())

    assert not nothing.may_leave_from(ANYBODY, "192.0.2.7")
    assert not nothing.may_reach(ANYBODY, None, "198.51.100.9", 25)
