"""Bodies as lines that any mail system carries."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.transfer_encoding import (
    base64_lines,
    decode_transfer,
    encode_transfer,
    is_fit,
    quoted_printable_lines,
)


@given(st.binary(max_size=500))
def test_octets_come_back_from_base64(data):
    lines = base64_lines(data)

    assert base64.b64decode(lines) == data
    assert all(len(line) <= 76 for line in lines.split(b"\r\n"))


@pytest.mark.parametrize(
    "text", [b"", b"a" * 500, b"a \r\nb\t\r\n", b"\xff\x00=", b"\r\n\r\n", b"\xc3\xbc" * 100]
)
def test_text_comes_back_from_quoted_printable(text):
    lines = quoted_printable_lines(text)

    assert quopri.decodestring(lines) == text
    assert lines.replace(b"\r\n", b"").count(b"\n") == 0
    assert all(len(line) <= 76 for line in lines.split(b"\r\n"))


@given(st.binary(max_size=300), st.booleans(), st.sampled_from(["", "base64", "quoted-printable"]))
def test_what_is_encoded_is_fit_and_comes_back(data, is_text, prefer):
    octets, encoding = encode_transfer(data, is_text=is_text, prefer=prefer)

    assert is_fit(octets)
    assert decode_transfer(octets, encoding) == data
    assert not any(line.startswith(b"--") for line in octets.split(b"\n"))


@pytest.mark.parametrize(
    ("data", "prefer", "encoding"),
    [
        (b"plain\r\n", "", "7bit"),
        (b"plain\r\n", "quoted-printable", "quoted-printable"),
        (b"plain\r\n", "base64", "base64"),
        (b"-- \r\nsignature", "", "quoted-printable"),
        (b"-" * 500, "", "base64"),
        (b"one long line " * 80, "", "quoted-printable"),
        ("mostly \u00fc".encode(), "", "quoted-printable"),
        ("\u4f60\u597d".encode(), "", "base64"),
        (b"bare\n", "", "base64"),
    ],
)
def test_text_is_encoded_as_little_as_can_be(data, prefer, encoding):
    assert encode_transfer(data, is_text=True, prefer=prefer)[1] == encoding


@pytest.mark.parametrize("octets", [b"", b"a", b"YQ", b"Y!Q=\r\n=", b"====", b"\xff"])
def test_broken_base64_never_fails(octets):
    assert isinstance(decode_transfer(octets, "base64"), bytes)
