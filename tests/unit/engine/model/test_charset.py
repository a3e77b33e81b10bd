"""Charsets: known or not, decoding never fails, encoding keeps the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.charset import codec_of, decode_text, encode_text, guess_charset


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("UTF-8", "utf-8"),
        ("us-ascii", "ascii"),
        ("windows-1252", "cp1252"),
        ("x-nobody-knows", None),
        ("", None),
        ("zlib", None),
        ("rot13", None),
        ("idna", None),
        ("punycode", None),
        ("unicode_escape", None),
        ("\u00fctf", None),
        ("a" * 100, None),
        ("a\x00b", None),
    ],
)
def test_a_charset_is_known_or_not(name, codec):
    assert codec_of(name) == codec


@given(st.binary(), st.sampled_from(["utf-8", "us-ascii", "iso-2022-jp", "utf-16", "nope", None]))
def test_decoding_never_fails(octets, charset):
    assert isinstance(decode_text(octets, charset), str)


@given(
    st.text(st.characters(blacklist_categories=["Cs"])),
    st.sampled_from(["iso-8859-1", "utf-16", "nope", None]),
)
def test_encoded_text_reads_back(text, charset):
    octets, used = encode_text(text, charset)

    assert decode_text(octets, used) == text


def test_a_declared_charset_is_kept_where_the_text_fits_it():
    assert encode_text("\u00fc", "ISO-8859-1") == (b"\xfc", "ISO-8859-1")
    assert encode_text("\u20ac", "ISO-8859-1") == ("\u20ac".encode(), "utf-8")


@pytest.mark.parametrize(
    ("octets", "include", "exclude", "found"),
    [
        ("\u00fc".encode(), (), (), "utf-8"),
        (b"\xfc", (), (), "windows-1252"),
        (b"\xfc", (), ("cp1252",), "iso-8859-1"),
        (b"\xfc\x81", (), (), "iso-8859-1"),
        (b"\xe4\xbd\xa0", ("big5",), (), None),
        (b"\xfc", ("nope", "utf-8"), (), None),
    ],
)
def test_the_first_charset_that_fits_is_the_guess(octets, include, exclude, found):
    assert guess_charset(octets, include, exclude) == found


def test_half_of_a_surrogate_pair_becomes_the_replacement_character():
    assert decode_text(b"+2AA-", "utf-7") == "\ufffd"
    assert decode_text(b"+AOk-", "utf-7") == "\u00e9"
