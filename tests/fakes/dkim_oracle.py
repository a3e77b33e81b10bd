"""Keys to sign with, and another implementation (dkimpy) that judges what was signed."""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass
from typing import Any

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

DOMAIN, SELECTOR = "example.com", "s1"


@dataclass(frozen=True)
class KeyPair:
    """A key: its private half as an operator has it, and its record as the DNS has it."""

    private: Any
    record: bytes

    @property
    def pem(self) -> str:
        return self.encoded("PEM", "PKCS8").decode()

    def encoded(self, encoding: str, form: str, password: bytes | None = None) -> bytes:
        return self.private.private_bytes(
            getattr(serialization.Encoding, encoding),
            getattr(serialization.PrivateFormat, form),
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption(),
        )


def rsa_pair(number: int = 0, bits: int = 1024) -> KeyPair:
    """Return an RSA key pair, made once per process and number."""
    return _rsa_pair(number, bits)


@functools.cache
def _rsa_pair(_number: int, bits: int) -> KeyPair:
    private = rsa.generate_private_key(65537, bits)
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return KeyPair(private, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public))


@functools.cache
def ed25519_pair() -> KeyPair:
    """Return an Ed25519 key pair, made once per process."""
    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return KeyPair(private, b"v=DKIM1; k=ed25519; p=" + base64.b64encode(public))


def is_verified(message: bytes, pair: KeyPair, index: int = 0) -> bool:
    """Tell whether a signature of a message counts.

    Args:
        message: All of it.
        pair: Whose key the DNS holds.
        index: Which signature, from the top.
    """
    judge = dkim.DKIM(message, minkey=1024)
    try:
        return judge.verify(index, dnsfunc=lambda name, timeout=5: pair.record)
    except dkim.DKIMException:
        return False


def tags_of(message: bytes, index: int = 0) -> dict[str, str]:
    """Return the tags of a signature of a message, in their order, blanks removed."""
    values = [
        value for name, value in dkim.rfc822_parse(message)[0] if name.lower() == b"dkim-signature"
    ]
    pairs = (tag.partition(b"=") for tag in values[index].split(b";"))
    return {name.strip().decode(): b"".join(value.split()).decode() for name, _, value in pairs}
