"""What an XCLIENT command says, attribute by attribute."""

from __future__ import annotations

import pytest

from engine.receive.smtp_session_client import read_attributes

PEER, OWN = ("127.0.0.1", 40_000), ("127.0.0.1", 25)


def read(argument):
    return read_attributes(argument, PEER, OWN)


def test_what_is_not_named_stays():
    assert read("ADDR=10.0.0.9") == (("10.0.0.9", 40_000), OWN)
    assert read("DESTPORT=2525") == (PEER, ("127.0.0.1", 2525))


def test_all_four_may_be_named_in_any_order():
    argument = "DESTPORT=26 DESTADDR=192.0.2.1 PORT=1 ADDR=10.0.0.9"
    assert read(argument) == (("10.0.0.9", 1), ("192.0.2.1", 26))


@pytest.mark.parametrize("text", ["IPV6:2001:db8::1", "ipv6:2001:DB8:0::1", "2001:db8::1"])
def test_an_ipv6_address_is_read_with_and_without_its_prefix(text):
    assert read(f"ADDR={text}")[0][0] == "2001:db8::1"


def test_an_address_has_the_spelling_that_rules_and_logs_use():
    assert read("ADDR=::ffff:10.0.0.9 DESTADDR=2001:DB8:0::1") == (
        ("10.0.0.9", 40_000),
        ("2001:db8::1", 25),
    )


@pytest.mark.parametrize("text", ["[UNAVAILABLE]", "[TEMPUNAVAIL]", "[unavailable]"])
def test_what_the_filter_does_not_know_stays(text):
    assert read(f"ADDR={text} PORT={text}") == (PEER, OWN)


def test_xtext_is_decoded():
    assert read("ADDR=10+2E0+2e0.9")[0][0] == "10.0.0.9"


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "ADDR",
        "=10.0.0.9",
        "NAME=x",
        "ADDR=",
        "ADDR=x",
        "ADDR=fe80::1%eth0",
        "ADDR=fe80::1+25a+0D+0AX-Trusted:+20yes",
        "PORT=-1",
        "PORT=65536",
        "PORT=000000099999",
        f"PORT={'0' * 5000}1",
        "PORT=١",
        "DEſTADDR=10.0.0.9",
        "ADDR=[unavaılable]",
    ],
)
def test_what_cannot_be_read_is_refused(argument):
    with pytest.raises(ValueError, match=r"syntax|attributes|address|port"):
        read(argument)
