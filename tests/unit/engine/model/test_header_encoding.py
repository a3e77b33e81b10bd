"""Headers survive the round trip, and nothing in a value makes a second one."""

from __future__ import annotations

import email
import email.header
import email.policy
import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.header_encoding import (
    clean_value,
    encode_header,
    encode_unstructured,
    fold_field,
    format_mailbox,
    format_parameter,
    is_field_name,
)

WORDS = st.text(
    st.characters(
        blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Cn", "Cf"], whitelist_characters=" "
    ),
    max_size=300,
)


def parse(field):
    return email.message_from_bytes(field + b"\r\n", policy=email.policy.default)


@given(WORDS)
def test_text_comes_back_as_it_was(text):
    field = encode_unstructured("Subject", text)

    assert str(parse(field)["Subject"]).strip() == clean_value(text)
    assert field.isascii()
    assert all(len(line) <= 998 for line in field.split(b"\r\n"))


@given(st.text(max_size=300))
def test_any_text_makes_exactly_one_field(text):
    field = encode_header("Subject", text)

    assert list(parse(field).keys()) == ["Subject"]
    assert field.endswith(b"\r\n")
    for line in field[:-2].split(b"\r\n")[1:]:
        assert line.startswith(b" ") and line.strip()


@given(WORDS)
def test_a_display_name_comes_back_as_it_was(name):
    field = fold_field("To", format_mailbox(name, "user@x.example"))

    # The newer parser puts blanks between encoded words of a phrase (against RFC 2047, 6.2).
    raw = email.message_from_bytes(field + b"\r\n")["To"]
    display, address = email.utils.parseaddr(raw.replace("\r\n", ""))
    assert address == "user@x.example"
    decoded = str(email.header.make_header(email.header.decode_header(display)))
    assert decoded.strip() == clean_value(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Jo Doe", "Jo Doe <u@x.example>"),
        ("Doe, Jo", '"Doe, Jo" <u@x.example>'),
        ('J "Q" \\ D', '"J \\"Q\\" \\\\ D" <u@x.example>'),
        ("me@home", '"me@home" <u@x.example>'),
        ("", "u@x.example"),
        (None, "u@x.example"),
        ("a\r\nBcc: b", '"a Bcc: b" <u@x.example>'),
    ],
)
def test_names_are_quoted_where_the_grammar_asks_for_it(name, expected):
    assert format_mailbox(name, "u@x.example") == expected


def test_a_mailbox_needs_an_address():
    for wrong in ("", "nobody", "a@b>, <c@d", "a@b\r\nBcc: c@d"):
        with pytest.raises(ValueError):
            format_mailbox("x", wrong)


def test_a_list_of_mailboxes_keeps_its_addresses_and_encodes_its_names():
    field = encode_header("Cc", 'Jörg <a@x.example>, b@x.example, "Ä, B" <c@x.example>')

    addresses = parse(field)["Cc"].addresses
    assert [a.addr_spec for a in addresses] == ["a@x.example", "b@x.example", "c@x.example"]
    assert [a.display_name for a in addresses] == ["Jörg", "", "Ä, B"]


@given(WORDS)
def test_a_file_name_comes_back_as_it_was(name):
    field = fold_field("Content-Disposition", "attachment; " + format_parameter("filename", name))

    assert (parse(field).get_filename() or "").strip() == clean_value(name)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "ü", "a" * 77])
def test_what_is_no_field_name(name):
    assert not is_field_name(name)
