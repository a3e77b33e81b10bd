"""The proxy of a source: where it is, and which options need each other."""

from __future__ import annotations

import pytest

from engine.model.egress import make_egress_source
from engine.model.egress_proxy import ProxyServer, proxy_server

HA = {"ha_proxy_server": "p.example:5000", "ha_proxy_source_address": "10.0.0.1"}
SOCKS = {"socks5_proxy_server": "[fd00::1]:1080", "socks5_proxy_source_address": "fd00::2"}


def source(**options):
    return make_egress_source(name="s", **options)


def test_a_server_is_a_name_or_an_address_with_a_port():
    assert proxy_server("p.example:1080") == ProxyServer("p.example", 1080)
    assert proxy_server("10.0.0.1:1080") == ProxyServer("10.0.0.1", 1080)
    assert str(proxy_server("[fd00::1]:1080")) == "[fd00::1]:1080"


@pytest.mark.parametrize(
    "text", ["p.example", "p.example:", ":1080", "p:0", "p:65536", "fd00::1:1080", "a b:1", 1080]
)
def test_what_is_no_server_is_refused(text):
    with pytest.raises(ValueError, match=r"expected|brackets"):
        proxy_server(text)


def test_a_source_without_a_proxy_leaves_from_this_machine():
    assert source(source_address="10.0.0.1").proxy is None
    assert source(source_address="10.0.0.1").outer_address == "10.0.0.1"


def test_the_address_that_hosts_see_is_that_of_the_proxy():
    made = source(source_address="10.9.9.9", **SOCKS)
    assert made.proxy.protocol == "socks5"
    assert made.outer_address == "fd00::2"
    assert source(socks5_proxy_server="p.example:1").outer_address is None


def test_the_proxy_protocol_goes_before_socks():
    assert source(**HA, **SOCKS).proxy.protocol == "haproxy"


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"ha_proxy_server": "p:1"}, "ha_proxy_source_address"),
        ({"ha_proxy_source_address": "10.0.0.1"}, "ha_proxy_server"),
        ({"socks5_proxy_source_address": "10.0.0.1"}, "socks5_proxy_server"),
        ({**SOCKS, "socks5_proxy_username": "u"}, "socks5_proxy_password"),
        ({**SOCKS, "socks5_proxy_password": "/file"}, "socks5_proxy_username"),
    ],
)
def test_an_option_that_needs_another_says_which(options, missing):
    with pytest.raises(ValueError, match=f"{missing} has to be given too"):
        source(**options)
