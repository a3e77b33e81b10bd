"""``mta.digest``: checksums, hashes and keyed hashes.

Place in flow: exposed by ``all_modules``; what scripts get is a ``Digest`` with its spellings.

Invariants:
    * Text counts as its UTF-8.
    * The time of a hash is asked for in advance, by the size of what is hashed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Callable
from typing import Any

from engine.script_modules.script_call import caller_budget
from policy.script_api import ScriptNamespace

MODULE = "mta.digest"
NS_PER_BYTE = 4
_HASHES = {
    "sha1": "sha1",
    "sha224": "sha224",
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
    "sha512_256": "sha512_256",
    "sha3_256": "sha3_256",
    "sha3_384": "sha3_384",
    "sha3_512": "sha3_512",
}
_KEYED = ("sha1", "sha224", "sha256", "sha384", "sha512")


class Digest:
    """The octets of a hash, and their spellings."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    @property
    def bytes(self) -> bytes:
        """Return the octets."""
        return self._raw

    @property
    def hex(self) -> str:
        """Return them in hexadecimal, lower case."""
        return self._raw.hex()

    @property
    def base32(self) -> str:
        """Return them in base32."""
        return base64.b32encode(self._raw).decode()

    @property
    def base32_nopad(self) -> str:
        """Return them in base32 without padding."""
        return self.base32.rstrip("=")

    @property
    def base32hex(self) -> str:
        """Return them in base32 with the alphabet that sorts."""
        return base64.b32hexencode(self._raw).decode()

    @property
    def base32hex_nopad(self) -> str:
        """Return them in that without padding."""
        return self.base32hex.rstrip("=")

    @property
    def base64(self) -> str:
        """Return them in base64."""
        return base64.b64encode(self._raw).decode()

    @property
    def base64_nopad(self) -> str:
        """Return them in base64 without padding."""
        return self.base64.rstrip("=")

    @property
    def base64url(self) -> str:
        """Return them in base64 for URLs."""
        return base64.urlsafe_b64encode(self._raw).decode()

    @property
    def base64url_nopad(self) -> str:
        """Return them in that without padding."""
        return self.base64url.rstrip("=")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and hmac.compare_digest(self._raw, other._raw)

    def __hash__(self) -> int:
        return hash(self._raw)

    def __str__(self) -> str:
        return self.hex


def octets(value: Any) -> bytes:
    """Return text or bytes as octets.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    raise TypeError(f"wants text or bytes, not {type(value).__name__[:100]}")


def _gather(parts: tuple[Any, ...]) -> list[bytes]:
    budget = caller_budget()
    # Before text becomes octets, which takes as much once more.
    budget.account_text(sum(len(part) for part in parts if isinstance(part, str | bytes)))
    pieces = [octets(part) for part in parts]
    budget.afford(sum(map(len, pieces)) * NS_PER_BYTE)
    return pieces


def crc32(*parts: str | bytes) -> Digest:
    """Return the CRC-32 of the parts in a row."""
    value = 0
    for piece in _gather(parts):
        value = zlib.crc32(piece, value)
    return Digest(value.to_bytes(4, "big"))


def _hash(name: str, algorithm: str) -> Callable[..., Digest]:
    def make(*parts: str | bytes) -> Digest:
        found = hashlib.new(algorithm)
        for piece in _gather(parts):
            found.update(piece)
        return Digest(found.digest())

    make.__name__ = name
    return make


def _keyed_hash(algorithm: str) -> Callable[[Any, Any], Digest]:
    def make(key: str | bytes, data: str | bytes) -> Digest:
        secret, content = _gather((key, data))
        return Digest(hmac.digest(secret, content, algorithm))

    make.__name__ = f"hmac_{algorithm}"
    return make


def equal(left: str | bytes, right: str | bytes) -> bool:
    """Return whether two secrets are the same, in a time that does not tell how much of them is."""
    one, other = _gather((left, right))
    return hmac.compare_digest(one, other)


def expose_digest(namespace: ScriptNamespace) -> None:
    """Make ``mta.digest`` importable by scripts."""
    namespace.expose("crc32", crc32, module=MODULE)
    namespace.expose("equal", equal, module=MODULE)
    for name, algorithm in _HASHES.items():
        namespace.expose(name, _hash(name, algorithm), module=MODULE)
    for algorithm in _KEYED:
        namespace.expose(f"hmac_{algorithm}", _keyed_hash(algorithm), module=MODULE)
