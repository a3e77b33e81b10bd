"""Private keys that sign mail: read once, shared by signers, read anew when their file changes.

Place in flow: ``engine.base.dkim_signer`` finds keys here when a signer is made, in the event loop,
and signs with them in threads.

Invariants:
    * A changed file is noticed within ``CHECK_S`` of use, and at once by a new signer; it is judged
      by its content.
    * A key never changes its type: the signers that use it have announced an algorithm.
    * At most ``KEYS_MAX`` keys are kept.

Failure: a file that has become unreadable or wrong keeps the key in use and is reported once per
content; only the first load raises. A key is in no message, ``repr`` or log line.

Standard: RFC 6376 section 3.3, RFC 8301 (key sizes), RFC 8463 (Ed25519).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from engine.base.clock import Clock
from engine.base.os_reason import os_reason
from engine.model.errors import ConfigurationError

log = logging.getLogger("cirrus.dkim")

#: Seconds between looks at the file of a key in use.
CHECK_S = 5.0
#: Keys kept in memory; beyond, the one not asked for the longest is forgotten.
KEYS_MAX = 1024
#: Smaller RSA keys can be broken, and no receiver takes them (RFC 8301, 3.2).
RSA_BITS_MIN = 1024
#: No file of a key is larger: a wrong path must not fill the memory.
KEY_BYTES_MAX = 1 << 20
_SEED_BYTES = 32

#: Where a key comes from: a path, or ``{"key_data": PEM, DER or base64 of an Ed25519 seed}``.
KeySource = str | Path | Mapping[str, str | bytes]


class KeyType(Enum):
    """A type of key; the value is the algorithm as signatures name it."""

    RSA = "rsa-sha256"
    ED25519 = "ed25519-sha256"


@dataclass(frozen=True, slots=True)
class _Material:
    """One state of a key source."""

    digest: bytes
    kind: KeyType
    sign: Callable[[bytes], bytes] = field(repr=False)


def parse_key(octets: bytes) -> tuple[KeyType, Callable[[bytes], bytes]]:
    """Return the type of a private key and what signs with it.

    Args:
        octets: PEM or DER (PKCS#1 or PKCS#8), or an Ed25519 seed in base64.

    Raises:
        ConfigurationError: It is no key, or not one that can sign mail.
    """
    key = _load(octets)
    if isinstance(key, RSAPrivateKey):
        if key.key_size < RSA_BITS_MIN:
            raise ConfigurationError(
                f"an RSA key of {key.key_size} bits is too small: use 2048, at least {RSA_BITS_MIN}"
            )
        sign = _rsa(key)
        _prove(key, sign(b"proof"))
        return KeyType.RSA, sign
    if isinstance(key, Ed25519PrivateKey):
        return KeyType.ED25519, _ed25519(key)
    raise ConfigurationError("the key is neither RSA nor Ed25519")


def _load(octets: bytes) -> Any:
    text = octets.strip()
    if not text:
        raise ConfigurationError("the key is empty")
    try:
        if b"-----BEGIN" in text:
            # Validation takes 33 ms of the loop; one signature, proved, takes 0.3 and is the point.
            return serialization.load_pem_private_key(
                text, None, unsafe_skip_rsa_key_validation=True
            )
        seed = _decode_seed(text)
        if seed is not None:
            return Ed25519PrivateKey.from_private_bytes(seed)
        return serialization.load_der_private_key(octets, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise ConfigurationError("the key is encrypted: a signer has no password for it") from None
    except (ValueError, UnsupportedAlgorithm):
        # The cause is left out: it may quote the key.
        raise ConfigurationError(
            "no private key: PEM or DER is expected, or an Ed25519 seed in base64"
        ) from None


def _decode_seed(text: bytes) -> bytes | None:
    try:
        seed = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return seed if len(seed) == _SEED_BYTES else None


def _rsa(key: RSAPrivateKey) -> Callable[[bytes], bytes]:
    scheme, digest = PKCS1v15(), hashes.SHA256()
    return lambda octets: key.sign(octets, scheme, digest)


def _ed25519(key: Ed25519PrivateKey) -> Callable[[bytes], bytes]:
    # What is signed is the digest (RFC 8463, 3).
    return lambda octets: key.sign(hashlib.sha256(octets).digest())


def _prove(key: RSAPrivateKey, signature: bytes) -> None:
    try:
        key.public_key().verify(signature, b"proof", PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise ConfigurationError("the parts of the RSA key do not fit each other") from None


class SigningKey:
    """A key from its source, as it is now; may be used by many threads.

    Raises:
        ConfigurationError: The source cannot be read or holds no key that can sign mail.
    """

    def __init__(self, source: KeySource, mono: Callable[[], float]) -> None:
        self._source = source
        self._mono = mono
        self._lock = threading.Lock()
        self._refused_digest = b""
        self._seen = _look(source)
        self._material = _parse(_read(source))
        self._checked_mono = mono()

    @property
    def kind(self) -> KeyType:
        """Return the type; it never changes."""
        return self._material.kind

    def sign(self, octets: bytes, check_s: float = CHECK_S) -> bytes:
        """Return a signature of these octets.

        Args:
            octets: What is signed.
            check_s: How old the last look at the file may be.
        """
        if self._mono() - self._checked_mono >= min(check_s, CHECK_S):
            self.refresh()
        return self._material.sign(octets)

    def refresh(self) -> None:
        """Look at the file now; a new content counts from here on."""
        if not self._lock.acquire(blocking=False):
            return  # another thread is looking; the key in use is good until it is done
        try:
            self._checked_mono = self._mono()
            seen = _look(self._source)
            if seen != self._seen:
                self._reload()
                self._seen = seen
        finally:
            self._lock.release()

    def _reload(self) -> None:
        try:
            octets = _read(self._source)
            digest = hashlib.sha256(octets).digest()
            if digest in (self._material.digest, self._refused_digest):
                return
            # Remembered before it is parsed: a wrong key is reported once, not per message.
            self._refused_digest = digest
            material = _parse(octets)
            if material.kind is not self.kind:
                raise ConfigurationError(f"the key was for {self.kind.value}")
            self._material, self._refused_digest = material, b""
            log.info("the key in %s was read anew", self._source)
        except ConfigurationError as error:
            log.error("the key in %s stays as it was: %s", self._source, error)


def _parse(octets: bytes) -> _Material:
    kind, sign = parse_key(octets)
    return _Material(hashlib.sha256(octets).digest(), kind, sign)


def _look(source: KeySource) -> tuple[object, ...]:
    if isinstance(source, Mapping):
        return ()
    try:
        status = Path(source).stat()
    except OSError as error:
        return (error.errno,)
    return (status.st_ino, status.st_size, status.st_mtime_ns)


def _read(source: KeySource) -> bytes:
    if isinstance(source, Mapping):
        data = source["key_data"]
        return data.encode() if isinstance(data, str) else data
    try:
        with Path(source).open("rb") as file:
            octets = file.read(KEY_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{source}: {os_reason(error)}") from error
    if len(octets) > KEY_BYTES_MAX:
        raise ConfigurationError(f"{source} is too large for a key")
    return octets


class KeyRegistry:
    """The keys of a node, by source.

    Args:
        mono: Monotonic time in seconds.
    """

    def __init__(self, mono: Callable[[], float] | None = None) -> None:
        self._mono = mono if mono is not None else Clock().mono
        self._keys: OrderedDict[tuple[str, str | bytes], SigningKey] = OrderedDict()

    def find(self, source: KeySource) -> SigningKey:
        """Return the key of a source; the same for the same source.

        Raises:
            ConfigurationError: It is met for the first time and cannot be used.
        """
        name = _name_of(source)
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = SigningKey(source, self._mono)
            if len(self._keys) > KEYS_MAX:
                self._keys.popitem(last=False)
        else:
            self._keys.move_to_end(name)
            key.refresh()
        return key


def _name_of(source: KeySource) -> tuple[str, str | bytes]:
    if isinstance(source, Mapping):
        return "data", hashlib.sha256(_read(source)).digest()
    return "file", str(source)
