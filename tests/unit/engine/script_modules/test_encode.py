"""Encodings there and back, strict decoding, character sets."""

from __future__ import annotations

import pytest

from policy.errors import PolicyLoadError

KINDS = [
    f"{kind}{pad}"
    for kind in ("base32", "base32hex", "base64", "base64url")
    for pad in ("", "_nopad")
]


@pytest.mark.parametrize("kind", [*KINDS, "hex"])
@pytest.mark.parametrize("size", range(6))
def test_what_is_encoded_comes_back(host, kind, size):
    data = bytes([251, 255, 0, 62, 63, 7])[:size]

    encoded = f"mta.encode.{kind}_encode({data!r})"

    assert host.value(f"mta.encode.{kind}_decode({encoded}) == {data!r}") == "True"
    assert host.value(f"'=' in {encoded} and 'nopad' in '{kind}'") == "False"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("base64_decode('a*==')", "not base64"),
        ("base64_decode('YQ')", "not base64"),
        ("base64_nopad_decode('YQ==')", "it has a ="),
        ("base64url_decode('+/8=')", "no . and no /"),
        ("base32_decode('a')", "not base32"),
        ("base32_decode('mzxw6===')", "not base32"),
        ("hex_decode('abc')", "not hexadecimal"),
        ("hex_decode('zz')", "not hexadecimal"),
        ("hex_encode(5)", "wants text or bytes"),
        ("charset_encode('idna', 'x')", "is no character set"),
        ("charset_encode('punycode', 'x')", "is no character set"),
        ("charset_encode('unicode_escape', 'x')", "is no character set"),
        ("charset_encode('rot13', 'x')", "is no character set"),
        ("charset_decode('zlib', b'x')", "is no character set"),
        ("charset_encode('klingon', 'x')", "unknown character set"),
        ("charset_encode('x' * 50, 'x')", "has a name like"),
        ("charset_encode('ascii', 'ä')", "ascii"),
        ("charset_encode('ascii', b'x')", "wants text"),
        ("charset_decode('ascii', 'x')", "wants bytes"),
        ("hex_encode('x' * 5_000_000)", "too many to encode"),
    ],
)
def test_a_mistake_is_an_error_with_its_line(host, call, reason):
    with pytest.raises(PolicyLoadError, match=reason) as caught:
        host.load(f"mta.encode.{call}")

    assert caught.value.line == 3


def test_white_space_within_is_skipped(host):
    assert host.value("mta.encode.base64_decode('Zm 8/\\r\\n Pg==')") == "b'fo?>'"


def test_unknown_octets_become_a_mark(host):
    assert host.value("mta.encode.charset_decode('ascii', b'a\\xff') == 'a\\ufffd'") == "True"


def test_a_set_of_many_octets_a_character(host):
    assert host.value("mta.encode.charset_encode('gb18030', '中')") == repr("中".encode("gb18030"))
