"""What we sign another implementation verifies, and refuses once it is changed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.base.dkim_signer import SharedContent, SignerRegistry, sign_message
from tests.fakes.dkim_oracle import DOMAIN, SELECTOR, ed25519_pair, is_verified, rsa_pair

QUICK = settings(max_examples=150, deadline=None)
NAMES = ["From", "to", "Subject", "Received", "X-Two", "DKIM-Signature", "Content-Type"]
OCTET = st.sampled_from([b" ", b"\t", b"a", b":", b";", b"=", b"\xe9", b"\xc3\xa4", b".", b"Z"])
TEXT = st.lists(OCTET, max_size=12).map(b"".join)
FOLD = st.sampled_from([b"\r\n ", b"\r\n\t ", b"\r\n  x"])
VALUE = st.lists(st.one_of(TEXT, FOLD), max_size=5).map(b"".join)
# A signature that is already there has to be one, and a second From that is not signed is forgery
# to the other side.
OTHERS = [name for name in NAMES if name not in ("From", "DKIM-Signature")]
FIELD = st.tuples(st.sampled_from(OTHERS), VALUE).map(
    lambda pair: pair[0].encode() + b":" + pair[1] + b"\r\n"
)
LINE = st.one_of(TEXT, st.just(b""), st.sampled_from([b" ", b"\t \t", b"..", b"\r\n\r\n \r\n"]))
BODY = st.lists(LINE.map(lambda line: line + b"\r\n"), max_size=8).map(b"".join)


@st.composite
def messages(draw) -> tuple[bytes, bytes]:
    """Return header fields in front of a message, and the message."""
    prefix = b"".join(draw(st.lists(FIELD, max_size=3)))
    fields = draw(st.lists(FIELD, max_size=6))
    fields.insert(draw(st.integers(0, len(fields))), b"From: a@example.com\r\n")
    return prefix, b"".join(fields) + b"\r\n" + draw(BODY)


KINDS = st.sampled_from(["Relaxed", "Simple"])
REGISTRY = SignerRegistry()


@pytest.mark.slow
@pytest.mark.real_time
@QUICK
@given(
    messages(),
    st.lists(st.sampled_from(NAMES), max_size=6),
    KINDS,
    KINDS,
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "1h"]),
)
def test_every_message_verifies(message, names, header_kind, body_kind, over, is_rsa, expiration):
    prefix, data = message
    pair = rsa_pair() if is_rsa else ed25519_pair()
    make = REGISTRY.rsa_sha256_signer if is_rsa else REGISTRY.ed25519_signer
    signer = make(
        domain=DOMAIN,
        selector=SELECTOR,
        headers=[*names, "From"],
        key={"key_data": pair.pem},
        header_canonicalization=header_kind,
        body_canonicalization=body_kind,
        over_sign=over,
        expiration=expiration,
    )

    once = sign_message(prefix, SharedContent(data), [signer], time.time())
    twice = sign_message(prefix, SharedContent(data), [signer, signer], time.time())

    assert is_verified(once + data, pair)
    assert is_verified(twice + data, pair, 0)
    assert is_verified(twice + data, pair, 1)
    assert not is_verified(once + data + b"more\r\n", pair)
    assert not is_verified(once + data.replace(b"From: a", b"From: b"), pair)


@pytest.mark.slow
@pytest.mark.real_time
@QUICK
@given(messages(), KINDS, st.sampled_from(["From", "to", "Subject", "X-Two"]))
def test_a_field_that_is_oversigned_cannot_be_added(message, kind, name):
    prefix, data = message
    signer = REGISTRY.rsa_sha256_signer(
        domain=DOMAIN,
        selector=SELECTOR,
        headers=["From", "to", "Subject", "X-Two"],
        key={"key_data": rsa_pair().pem},
        header_canonicalization=kind,
        over_sign=True,
    )
    signed = sign_message(prefix, SharedContent(data), [signer], time.time()) + data

    assert is_verified(signed, rsa_pair())
    assert not is_verified(name.encode() + b": forged\r\n" + signed, rsa_pair())
