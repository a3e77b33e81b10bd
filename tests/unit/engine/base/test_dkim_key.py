"""Keys in every form operators have them; what cannot sign is refused without showing it."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from engine.base import dkim_key
from engine.base.dkim_key import CHECK_S, KeyRegistry, KeyType, SigningKey, parse_key
from engine.model.errors import ConfigurationError
from tests.fakes.dkim_oracle import ed25519_pair, rsa_pair

#: RFC 8463, A.2.
SEED = b"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
PUBLIC = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#: 768 bits; the library makes none that small.
SMALL = b"""\
-----BEGIN PRIVATE KEY-----
MIIB5QIBADANBgkqhkiG9w0BAQEFAASCAc8wggHLAgEAAmEA+HGEXDq+w194/MaW
4zdbZQXWP6ApZnlURTWq/dINypocLGYgR1FY+jT+hT8HSx/FeAZ5ZC6OZR8BZoei
VrKygaHhXdgiQ+UEnkYtME+Yvc87D9FHY682RW5XA0YXs83jAgMBAAECYFNnQGj5
66qI9YPeYy8aGVt7ryYi7WMSXiDx2FpnVuvp+oVJL5Lhkz5D5iHzO86Tdjz17+No
WbtXMMyhDEauP9eP4Yqjei7kVYwef5mvVoBXlzsMZDQmYELdrGRSgoX50QIxAP0O
7sYaTb6xmJdWaMlgfn6FDHFsvnnFYWtHaWUgmf6U8gzJJl4j4GyGLicA0F23ywIx
APtU2dqAUBsosrvg6lajYVv0mAP4XyR+O1Ih06yp2xBIJgD6AwSnOL5F8QIrb/CP
SQIwQa9FlRAwy+WnOOkJ6/NrAgYg87QJQOxV3BW+KqyqrCUXKvBvUBI555Fwm1kf
vKO/AjEAjB4lCn0Iq+uHodjlrIGPkM2PRn9cw6KgfcygDx3vJGek0FyR/DEiIGor
0DLZSHsJAjEAlBLh5BHdtj9dT4mJFygH/ojq0zO/JhEBG30FUVbjua3MzjhoZDlh
IEwBexcSGM54
-----END PRIVATE KEY-----
"""


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hand:
    return Hand()


def is_of(signature: bytes, pair, octets: bytes = b"x") -> bool:
    try:
        pair.private.public_key().verify(signature, octets, padding.PKCS1v15(), hashes.SHA256())
    except Exception:
        return False
    return True


@pytest.mark.parametrize("encoding", ["PEM", "DER"])
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_an_rsa_key_is_read_in_each_form(encoding, form):
    kind, sign = parse_key(rsa_pair().encoded(encoding, form))

    assert kind is KeyType.RSA
    assert is_of(sign(b"x"), rsa_pair())


@pytest.mark.parametrize("encoding", ["PEM", "DER"])
def test_an_ed25519_key_is_read_in_each_form(encoding):
    kind, sign = parse_key(ed25519_pair().encoded(encoding, "PKCS8"))

    assert kind is KeyType.ED25519
    public = ed25519_pair().private.public_key()
    public.verify(sign(b"x"), hashlib.sha256(b"x").digest())


@pytest.mark.parametrize("text", [SEED, b"  " + SEED + b"\n"])
def test_the_seed_of_the_standard_has_the_public_key_it_says(text):
    public = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(PUBLIC))

    _, sign = parse_key(text)

    public.verify(sign(b""), hashlib.sha256(b"").digest())


def test_a_key_behind_remarks_is_found():
    assert parse_key(b"Bag Attributes\n  name: x\n" + rsa_pair().pem.encode())[0] is KeyType.RSA


def mismatched() -> bytes:
    """Return an RSA key whose exponents are not those of its modulus."""
    n = rsa_pair().private.private_numbers()
    numbers = rsa.RSAPrivateNumbers(n.p, n.q, n.d + 2, n.dmp1 + 2, n.dmq1, n.iqmp, n.public_numbers)
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def of_another_kind() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: SMALL, "768 bits is too small"),
        (lambda: rsa_pair().encoded("PEM", "PKCS8", b"secret"), "encrypted"),
        (lambda: rsa_pair().encoded("PEM", "TraditionalOpenSSL", b"secret"), "encrypted"),
        (of_another_kind, "neither RSA nor Ed25519"),
        (mismatched, "do not fit each other"),
        (lambda: b" \n", "empty"),
        (lambda: base64.b64encode(b"x" * 31), "no private key"),
        (lambda: b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----", "no private"),
        (lambda: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "no private key"),
        (lambda: b"\xff\x00secret", "no private key"),
    ],
)
def test_what_cannot_sign_is_refused_with_its_reason(make, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        parse_key(make())

    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_is_not_shown(clock):
    key = SigningKey({"key_data": rsa_pair().pem}, clock)

    assert "BEGIN" not in repr(key) + repr(key._material)
    assert "function" not in repr(key._material)


# -- files


def write(path, octets: bytes) -> None:
    """Replace a file, as a deployment does."""
    new = path.with_suffix(".new")
    new.write_bytes(octets)
    new.rename(path)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "s1.key"
    path.write_bytes(rsa_pair().pem.encode())
    return path


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path, clock):
    with pytest.raises(ConfigurationError, match=r"none\.key"):
        SigningKey(str(tmp_path / "none.key"), clock)


def test_a_file_too_large_for_a_key_is_not_read(file, clock):
    os.truncate(file, dkim_key.KEY_BYTES_MAX + 1)

    with pytest.raises(ConfigurationError, match="too large"):
        SigningKey(str(file), clock)


@pytest.mark.parametrize(("later_s", "number"), [(CHECK_S - 1, 0), (CHECK_S, 1)])
def test_a_new_key_in_the_file_counts_within_seconds(file, clock, later_s, number):
    key = SigningKey(str(file), clock)
    write(file, rsa_pair(1).pem.encode())

    clock.now += later_s

    assert is_of(key.sign(b"x"), rsa_pair(number))


def test_a_shorter_ttl_looks_sooner(file, clock):
    key = SigningKey(str(file), clock)
    write(file, rsa_pair(1).pem.encode())

    clock.now += 1

    assert is_of(key.sign(b"x", 1.0), rsa_pair(1))


@pytest.mark.parametrize("change", [b"rubbish", b"", None, "ed25519"])
def test_a_file_that_became_wrong_leaves_the_key_and_is_reported_once(file, clock, caplog, change):
    key = SigningKey(str(file), clock)
    if change is None:
        file.unlink()
    else:
        write(file, ed25519_pair().pem.encode() if change == "ed25519" else change)

    with caplog.at_level(logging.INFO, "cirrus.dkim"):
        for _ in range(3):
            clock.now += CHECK_S
            assert is_of(key.sign(b"x"), rsa_pair())

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert key.kind is KeyType.RSA


def test_a_file_that_became_right_again_counts_again(file, clock):
    key = SigningKey(str(file), clock)
    for octets in (b"rubbish", rsa_pair(1).pem.encode()):
        write(file, octets)
        clock.now += CHECK_S
        signature = key.sign(b"x")

    assert is_of(signature, rsa_pair(1))


def test_the_same_content_under_a_new_date_is_no_news(file, clock, caplog):
    key = SigningKey(str(file), clock)
    write(file, file.read_bytes() + b"")
    clock.now += CHECK_S

    with caplog.at_level(logging.INFO, "cirrus.dkim"):
        key.sign(b"x")

    assert caplog.records == []


@pytest.mark.real_time
def test_threads_that_sign_while_the_file_changes_get_good_signatures(file, clock):
    key = SigningKey(str(file), clock)

    def work(number: int) -> bytes:
        clock.now += CHECK_S
        if number % 10 == 5:
            file.write_bytes(rsa_pair(number // 10 % 2).pem.encode())
        return key.sign(b"x")

    with ThreadPoolExecutor(4) as threads:
        signatures = list(threads.map(work, range(100)))

    assert all(is_of(one, rsa_pair(0)) or is_of(one, rsa_pair(1)) for one in signatures)


# -- the registry


def test_signers_share_the_key_of_a_source(file):
    registry = KeyRegistry()

    assert registry.find(str(file)) is registry.find(file)
    assert registry.find({"key_data": rsa_pair().pem}) is registry.find(
        {"key_data": rsa_pair().pem.encode()}
    )


def test_a_new_signer_sees_a_new_key_at_once(file, clock):
    registry = KeyRegistry(clock)
    registry.find(str(file))
    write(file, rsa_pair(1).pem.encode())

    key = registry.find(str(file))

    assert is_of(key.sign(b"x"), rsa_pair(1))


def test_the_keys_kept_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(dkim_key, "KEYS_MAX", 2)
    registry = KeyRegistry()
    for name in "abc":
        (tmp_path / name).write_bytes(SEED)
    first = registry.find(str(tmp_path / "a"))
    registry.find(str(tmp_path / "b"))
    registry.find(str(tmp_path / "a"))
    registry.find(str(tmp_path / "c"))

    assert len(registry._keys) == 2
    assert registry.find(str(tmp_path / "a")) is first
