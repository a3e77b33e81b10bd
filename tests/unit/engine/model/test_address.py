"""Mailboxes and domains."""

import pytest

from engine.model.address import (
    AddressError,
    EnvelopeAddress,
    domain_of,
    normal_domain,
    parse_address,
)


def test_splits_a_plain_mailbox():
    address = parse_address("User.Name+tag@Example.COM")

    assert address.user == "User.Name+tag"
    assert address.domain == "example.com"
    assert address.email == str(address) == "User.Name+tag@Example.COM"


def test_unquotes_the_user_and_quotes_again_only_where_needed():
    assert parse_address('"john"@example.com').email == "john@example.com"

    spaced = parse_address(r'"john \"q\" doe"@example.com')

    assert spaced.user == 'john "q" doe'
    assert spaced.email == r'"john \"q\" doe"@example.com'


def test_a_quoted_at_sign_belongs_to_the_user():
    address = parse_address('"a@b"@example.com')

    assert (address.user, address.domain) == ("a@b", "example.com")
    assert domain_of(address.email) == "example.com"


def test_the_null_sender_is_empty_all_over():
    address = parse_address("")

    assert (address.user, address.domain, address.email) == ("", "", "")
    assert not address
    assert domain_of(address.email) == ""


def test_postmaster_needs_no_domain():
    assert parse_address("Postmaster").email == "Postmaster"
    assert domain_of("postmaster") == ""


def test_takes_international_mailboxes():
    address = parse_address("jörg@Bücher.example")

    assert address.domain == "bücher.example"
    assert domain_of(address.email) == "xn--bcher-kva.example"


@pytest.mark.parametrize("literal", ["[192.0.2.1]", "[IPv6:2001:db8::1]"])
def test_keeps_address_literals_in_brackets(literal):
    assert domain_of(parse_address(f"a@{literal}").email) == literal


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "@example.com",
        "a@",
        "a b@example.com",
        "a..b@example.com",
        ".a@example.com",
        "a@example..com",
        "a@-example.com",
        "a@example.com.",
        "a@exa mple.com",
        "<a@example.com>",
        "a@[::1]",
        "a@[300.1.1.1]",
        "a@[192.0.2.1",
        "a@b\r\nRCPT TO:<c@d>",
        "a\x00@example.com",
        '"a\nb"@example.com',
        '"unclosed@example.com',
        "a@☃.example..",
        "a@" + "x" * 64 + ".example",
        "a" * 400 + "@example.com",
        "a\ud800@example.com",
    ],
)
def test_refuses_what_smtp_could_not_carry(text):
    with pytest.raises(AddressError):
        parse_address(text)


def test_equal_addresses_are_one_key():
    assert (
        len({parse_address("a@example.com"), EnvelopeAddress("a", "example.com", "a@example.com")})
        == 1
    )


def test_an_address_cannot_be_changed():
    with pytest.raises(AttributeError):
        parse_address("a@example.com").user = "b"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("EXAMPLE.com.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("example。com", "example.com"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("[IPv6:2001:DB8:0::1]", "[IPv6:2001:db8::1]"),
    ],
)
def test_a_domain_has_one_normal_form(text, normal):
    assert normal_domain(text) == normal


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "a b", "x" * 64, "a." * 130, "é" * 300, "[x]", "[::1%lo]"]
)
def test_refuses_what_is_no_domain(text):
    with pytest.raises(ValueError):
        normal_domain(text)
