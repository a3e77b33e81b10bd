"""Hashes against the standard library, spellings, bounds."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from engine.script_modules import digest
from engine.script_modules.digest import Digest, crc32, equal, octets
from policy.errors import PolicyLoadError


@pytest.mark.parametrize(
    "name",
    "sha1 sha224 sha256 sha384 sha512 sha512_256 sha3_256 sha3_384 sha3_512".split(),
)
def test_a_hash_is_that_of_the_library(host, name):
    expected = hashlib.new(name, "grüße".encode()).hexdigest()

    assert host.value(f"mta.digest.{name}('gr', b'\\xc3\\xbc', 'ße').hex") == repr(expected)


@pytest.mark.parametrize("name", ["sha1", "sha224", "sha256", "sha384", "sha512"])
def test_a_keyed_hash_is_that_of_the_library(host, name):
    expected = hmac.new(b"key", b"data", name).hexdigest()

    assert host.value(f"mta.digest.hmac_{name}(b'key', 'data').hex") == repr(expected)


def test_a_checksum_goes_over_all_parts():
    assert crc32("a", "bc").hex == crc32("abc").hex == "352441c2"


def test_spellings():
    raw = bytes(range(250, 256)) + b"x"
    made = Digest(raw)

    assert made.bytes == raw and str(made) == made.hex == raw.hex()
    assert made.base64 == base64.b64encode(raw).decode()
    assert made.base64_nopad == made.base64.rstrip("=")
    assert made.base64url == base64.urlsafe_b64encode(raw).decode()
    assert made.base64url_nopad == made.base64url.rstrip("=")
    assert made.base32 == base64.b32encode(raw).decode()
    assert made.base32_nopad == made.base32.rstrip("=")
    assert made.base32hex == base64.b32hexencode(raw).decode()
    assert made.base32hex_nopad == made.base32hex.rstrip("=")
    assert made == Digest(raw) != Digest(b"") and len({made, Digest(raw)}) == 1


def test_secrets_are_compared_as_octets():
    assert equal("a", b"a") and not equal("a", "b")
    assert octets(bytearray(b"x")) == b"x"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("mta.digest.sha256(5)", "wants text or bytes, not int"),
        ("mta.digest.sha256('x')._raw", "_raw"),
        ("mta.digest.hmac_sha256('k')", "data"),
        ("mta.digest.sha256('x').hex = 'y'", "cannot be set"),
    ],
)
def test_a_mistake_is_a_load_error(host, script, reason):
    with pytest.raises(PolicyLoadError, match=reason):
        host.load(script)


async def test_hashing_much_ends_within_the_budget_of_the_handler(host):
    host.load(
        "DATA = 'x' * 8_000_000\n@on('get_queue_config')\ndef ask(*args):\n"
        "    for _ in range(1000):\n        mta.digest.sha3_512(DATA, DATA)"
    )

    with pytest.raises(Exception, match="CPU|MiB"):
        await host.fire("a")


def test_the_module_offers_no_more_than_these():
    assert set(digest._KEYED) <= set(digest._HASHES)
