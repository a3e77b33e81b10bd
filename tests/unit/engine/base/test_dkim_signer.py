"""Options of signers, and signatures that another implementation takes."""

from __future__ import annotations

import time

import pytest

from engine.base import dkim_signer
from engine.base.dkim_signer import SharedContent, SignerRegistry, sign_message
from engine.model.dkim_canonical import Canonicalization
from engine.model.errors import ConfigurationError
from tests.fakes.dkim_oracle import DOMAIN, SELECTOR, ed25519_pair, is_verified, rsa_pair, tags_of

RSA_KEY = {"key_data": rsa_pair().pem}
DATA = b"From: a@example.com\r\nTo: x\r\nSubject: s\r\nTo: y\r\n\r\nbody \t text\r\n\r\n"
NOW = time.time()


@pytest.fixture
def registry() -> SignerRegistry:
    return SignerRegistry()


def options(**changes) -> dict:
    given = {"domain": DOMAIN, "selector": SELECTOR, "headers": ["From", "To"], "key": RSA_KEY}
    given.update(changes)
    return {name: value for name, value in given.items() if value is not ...}


def signed(signers, data: bytes = DATA, prefix: bytes = b"") -> bytes:
    return sign_message(prefix, SharedContent(data), signers, NOW) + data


# -- options


def test_what_is_not_given_is_relaxed_and_does_not_end(registry):
    signer = registry.rsa_sha256_signer(**options())

    assert signer.header_canonicalization is Canonicalization.RELAXED
    assert signer.body_canonicalization is Canonicalization.RELAXED
    assert (signer.over_sign, signer.expiration_s, signer.ttl_s) == (False, None, 300.0)
    assert signer.headers == ("from", "to")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"headers": ["To"]}, "From must be among"),
        ({"headers": "From"}, "list of names"),
        ({"headers": ["From", "a;b"]}, "name of a header field"),
        ({"headers": ["From", "a b"]}, "name of a header field"),
        ({"headers": ["From", ""]}, "name of a header field"),
        ({"headers": ["From", 5]}, "name of a header field"),
        ({"headers": {"From"}}, "list of names"),
        ({"domain": "not a domain"}, "domain: not a domain"),
        ({"domain": "[127.0.0.1]"}, "domain: a domain"),
        ({"domain": 5}, "domain: a domain"),
        ({"selector": "a;b"}, "selector: not a domain"),
        ({"key": ["x"]}, "key: the path"),
        ({"key": {"key_date": "x"}}, "key: the path"),
        ({"key": {"key_data": ""}}, "key: the path"),
        ({"key": {"key_data": "x", "vault": "y"}}, "key: the path"),
        ({"header_canonicalization": "relaxed"}, "one of Relaxed, Simple"),
        ({"over_sign": 1}, "over_sign: True or False"),
        ({"expiration": 0}, "above zero"),
        ({"expiration": "5"}, "unit"),
        ({"ttl": "soon"}, "not a duration"),
        ({"atps": "example.org"}, "atps: not supported"),
        ({"atpsh": "none"}, "atpsh: not supported"),
        ({"agent_user_identifier": "@example.com"}, "agent_user_identifier: not supported"),
        ({"body_length": True}, "body_length: not supported"),
        ({"reporting": True}, "reporting: not supported"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_that_names_the_option(registry, changes, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        registry.rsa_sha256_signer(**options(**changes))

    assert str(caught.value).startswith("rsa_sha256_signer: ")


def test_an_unknown_option_is_an_error_with_a_hint(registry):
    with pytest.raises(TypeError, match="did you mean 'selector'"):
        registry.rsa_sha256_signer(**options(selektor="x"))


@pytest.mark.parametrize("name", ["domain", "selector", "headers", "key"])
def test_what_must_be_given_is_asked_for(registry, name):
    with pytest.raises(TypeError, match=f"ed25519_signer: {name} must be given"):
        registry.ed25519_signer(**options(**{name: ...}))


def test_a_key_of_the_other_type_is_an_error_that_says_so(registry):
    with pytest.raises(ConfigurationError, match="this key is for rsa-sha256, not for ed25519"):
        registry.ed25519_signer(**options())
    with pytest.raises(ConfigurationError, match="this key is for ed25519-sha256, not for rsa"):
        registry.rsa_sha256_signer(**options(key={"key_data": ed25519_pair().pem}))


def test_an_error_about_a_key_does_not_show_it(registry):
    with pytest.raises(
        ConfigurationError, match="rsa_sha256_signer: key: no private key"
    ) as caught:
        registry.rsa_sha256_signer(**options(key={"key_data": "secret"}))

    assert "secret" not in str(caught.value)
    assert "BEGIN" not in repr(registry.rsa_sha256_signer(**options()))


def test_what_asks_for_nothing_unsupported_is_taken(registry):
    assert registry.rsa_sha256_signer(**options(body_length=False, atps=None))


def test_a_domain_beyond_ascii_is_named_by_its_a_labels(registry):
    signer = registry.rsa_sha256_signer(**options(domain="B\u00fccher.example."))

    assert tags_of(signed([signer]))["d"] == "xn--bcher-kva.example"


# -- the registry


def test_the_same_options_give_the_same_signer(registry):
    first = registry.rsa_sha256_signer(**options())

    assert registry.rsa_sha256_signer(**options(headers=["From", "To"])) is first
    assert registry.rsa_sha256_signer(**options(over_sign=True)) is not first


def test_numbers_and_truth_are_not_taken_for_each_other(registry):
    registry.rsa_sha256_signer(**options(over_sign=True))

    with pytest.raises(ValueError, match="over_sign"):
        registry.rsa_sha256_signer(**options(over_sign=1))


def test_the_signers_kept_are_bounded(registry, monkeypatch):
    monkeypatch.setattr(dkim_signer, "SIGNERS_MAX", 2)
    first = registry.rsa_sha256_signer(**options(selector="a"))
    for selector in "bac":
        registry.rsa_sha256_signer(**options(selector=selector))

    assert len(registry._signers) == 2
    assert registry.rsa_sha256_signer(**options(selector="a")) is first


# -- signatures


@pytest.mark.parametrize("header_kind", ["Relaxed", "Simple"])
@pytest.mark.parametrize("body_kind", ["Relaxed", "Simple"])
@pytest.mark.parametrize("algorithm", ["rsa-sha256", "ed25519-sha256"])
def test_a_signature_verifies_and_says_how_it_was_made(registry, header_kind, body_kind, algorithm):
    is_rsa = algorithm == "rsa-sha256"
    pair = rsa_pair() if is_rsa else ed25519_pair()
    make = registry.rsa_sha256_signer if is_rsa else registry.ed25519_signer
    signer = make(
        **options(
            key={"key_data": pair.pem},
            header_canonicalization=header_kind,
            body_canonicalization=body_kind,
        )
    )

    message = signed([signer])

    assert is_verified(message, pair)
    tags = tags_of(message)
    assert list(tags) == ["v", "a", "d", "s", "c", "bh", "h", "t", "b"]
    assert (tags["a"], tags["d"], tags["s"]) == (algorithm, DOMAIN, SELECTOR)
    assert tags["c"] == f"{header_kind}/{body_kind}".lower()
    assert tags["h"] == "from:to"
    assert tags["t"] == str(int(NOW))


def test_an_expiration_counts_from_now(registry):
    tags = tags_of(signed([registry.rsa_sha256_signer(**options(expiration="1h"))]))

    assert int(tags["x"]) == int(tags["t"]) + 3600


def test_a_moment_of_expiration_is_a_second(registry):
    tags = tags_of(signed([registry.rsa_sha256_signer(**options(expiration="1ms"))]))

    assert int(tags["x"]) == int(tags["t"]) + 1


def test_what_stands_in_front_is_signed_with_the_rest(registry):
    signer = registry.rsa_sha256_signer(**options(headers=["From", "X-New"]))

    message = signed([signer], prefix=b"X-New: 1\r\n")

    assert is_verified(message, rsa_pair())
    assert not is_verified(message.replace(b"X-New: 1", b"X-New: 2"), rsa_pair())


def test_the_lowest_of_several_fields_is_signed(registry):
    message = signed([registry.rsa_sha256_signer(**options())])

    assert is_verified(message.replace(b"To: x", b"To: z"), rsa_pair())
    assert not is_verified(message.replace(b"To: y", b"To: z"), rsa_pair())


def test_several_signers_sign_one_after_the_other(registry):
    rsa = registry.rsa_sha256_signer(**options())
    ed = registry.ed25519_signer(**options(selector="e1", key={"key_data": ed25519_pair().pem}))

    message = signed([rsa, ed])

    assert [tags_of(message, index)["a"] for index in (0, 1)] == ["ed25519-sha256", "rsa-sha256"]
    assert is_verified(message, ed25519_pair(), 0)
    assert is_verified(message, rsa_pair(), 1)


def test_a_second_signature_covers_the_first_if_it_lists_it(registry):
    first = registry.rsa_sha256_signer(**options())
    second = registry.rsa_sha256_signer(**options(headers=["From", "DKIM-Signature"]))

    message = signed([first, second])

    assert tags_of(message)["h"] == "from:dkim-signature"
    assert is_verified(message, rsa_pair(), 0)
    assert is_verified(message, rsa_pair(), 1)
    assert not is_verified(message.replace(b"h=from:to;", b"h=from:tO;"), rsa_pair(), 0)


@pytest.mark.parametrize(
    "data",
    [
        b"From: a\r\n",
        b"From: a\r\n\r\n",
        b"From: a\nTo: b\n\nbare\nends\n",
        b"From: a\r\n\r\nno end",
    ],
)
@pytest.mark.parametrize("kind", ["Relaxed", "Simple"])
def test_content_is_signed_as_it_is_sent(registry, data, kind):
    signer = registry.rsa_sha256_signer(**options(body_canonicalization=kind))

    field = sign_message(b"", SharedContent(data), [signer], NOW)

    sent = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    sent = sent if sent.endswith(b"\r\n") else sent + b"\r\n"
    if b"\r\n\r\n" not in sent:
        sent += b"\r\n"
    assert is_verified(field + sent, rsa_pair())


def test_a_body_without_a_header_is_signed_with_the_fields_in_front(registry):
    signer = registry.rsa_sha256_signer(**options())
    data = b"\r\nbody only\r\n"

    message = signed([signer], data, b"From: a@example.com\r\n")

    assert is_verified(message, rsa_pair())


def test_messages_that_share_a_body_hash_it_once():
    content = SharedContent(DATA)

    hashes = [content.body_hash(kind) for kind in [*Canonicalization] * 2]

    assert hashes[0] is hashes[2] and hashes[1] is hashes[3]
    assert hashes[0] != hashes[1]


def test_messages_that_differ_in_nothing_signed_share_the_signature(registry):
    content = SharedContent(DATA)
    signer = registry.rsa_sha256_signer(**options())

    fields = {
        sign_message(b"Received: %d\r\n" % number, content, [signer], NOW).partition(b"Received")[0]
        for number in range(3)
    }

    assert len(fields) == len(content.signed) == 1


def test_very_many_header_fields_are_signed_in_time(registry):
    signer = registry.rsa_sha256_signer(**options(over_sign=True))

    field = sign_message(b"", SharedContent(b"X: y\r\n" * 100_000 + DATA), [signer], NOW)

    assert field.startswith(b"DKIM-Signature: v=1;")
