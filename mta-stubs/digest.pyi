"""Checksums, hashes and keyed hashes. Text counts as its UTF-8."""

from typing import final, type_check_only

@final
@type_check_only
class Digest:
    r"""The octets of a hash, and their spellings; ``str()`` gives hexadecimal.

    >>> made = mta.digest.crc32("abc")
    >>> str(made), made.base64, made.base32_nopad, made.bytes
    ('352441c2', 'NSRBwg==', 'GUSEDQQ', b'5$A\xc2')
    """

    @property
    def bytes(self) -> bytes:
        """The octets."""
    @property
    def hex(self) -> str:
        """Hexadecimal, lower case."""
    @property
    def base32(self) -> str:
        """Base32, upper case."""
    @property
    def base32_nopad(self) -> str:
        """Base32 without padding."""
    @property
    def base32hex(self) -> str:
        """Base32 with the alphabet that sorts."""
    @property
    def base32hex_nopad(self) -> str:
        """The same without padding."""
    @property
    def base64(self) -> str:
        """Base64."""
    @property
    def base64_nopad(self) -> str:
        """Base64 without padding."""
    @property
    def base64url(self) -> str:
        """Base64 for URLs."""
    @property
    def base64url_nopad(self) -> str:
        """Base64 for URLs, without padding."""

def equal(left: str | bytes, right: str | bytes) -> bool:
    """Whether two secrets are the same, in a time that does not tell how much of them is.

    >>> mta.digest.equal("secret", b"secret")
    True
    """

def crc32(*parts: str | bytes) -> Digest:
    """The CRC-32 of the parts in a row.

    >>> mta.digest.crc32("a", "bc").hex[:16]
    '352441c2'
    """

def sha1(*parts: str | bytes) -> Digest:
    """The SHA-1 of the parts in a row.

    >>> mta.digest.sha1("a", "bc").hex[:16]
    'a9993e364706816a'
    """

def sha224(*parts: str | bytes) -> Digest:
    """The SHA-224 of the parts in a row.

    >>> mta.digest.sha224("a", "bc").hex[:16]
    '23097d223405d822'
    """

def sha256(*parts: str | bytes) -> Digest:
    """The SHA-256 of the parts in a row.

    >>> mta.digest.sha256("a", "bc").hex[:16]
    'ba7816bf8f01cfea'
    """

def sha384(*parts: str | bytes) -> Digest:
    """The SHA-384 of the parts in a row.

    >>> mta.digest.sha384("a", "bc").hex[:16]
    'cb00753f45a35e8b'
    """

def sha512(*parts: str | bytes) -> Digest:
    """The SHA-512 of the parts in a row.

    >>> mta.digest.sha512("a", "bc").hex[:16]
    'ddaf35a193617aba'
    """

def sha512_256(*parts: str | bytes) -> Digest:
    """The SHA-512/256 of the parts in a row.

    >>> mta.digest.sha512_256("a", "bc").hex[:16]
    '53048e2681941ef9'
    """

def sha3_256(*parts: str | bytes) -> Digest:
    """The SHA3-256 of the parts in a row.

    >>> mta.digest.sha3_256("a", "bc").hex[:16]
    '3a985da74fe225b2'
    """

def sha3_384(*parts: str | bytes) -> Digest:
    """The SHA3-384 of the parts in a row.

    >>> mta.digest.sha3_384("a", "bc").hex[:16]
    'ec01498288516fc9'
    """

def sha3_512(*parts: str | bytes) -> Digest:
    """The SHA3-512 of the parts in a row.

    >>> mta.digest.sha3_512("a", "bc").hex[:16]
    'b751850b1a57168a'
    """

def hmac_sha1(key: str | bytes, data: str | bytes) -> Digest:
    """The HMAC with SHA-1; the key is the key itself, read one with ``mta.secrets``.

    >>> mta.digest.hmac_sha1("key", "data").hex[:16]
    '104152c5bfdca07b'
    """

def hmac_sha224(key: str | bytes, data: str | bytes) -> Digest:
    """The HMAC with SHA-224; the key is the key itself, read one with ``mta.secrets``.

    >>> mta.digest.hmac_sha224("key", "data").hex[:16]
    '19424d4210e50d7a'
    """

def hmac_sha256(key: str | bytes, data: str | bytes) -> Digest:
    """The HMAC with SHA-256; the key is the key itself, read one with ``mta.secrets``.

    >>> mta.digest.hmac_sha256("key", "data").hex[:16]
    '5031fe3d989c6d15'
    """

def hmac_sha384(key: str | bytes, data: str | bytes) -> Digest:
    """The HMAC with SHA-384; the key is the key itself, read one with ``mta.secrets``.

    >>> mta.digest.hmac_sha384("key", "data").hex[:16]
    'c5f97ad9fd1020c1'
    """

def hmac_sha512(key: str | bytes, data: str | bytes) -> Digest:
    """The HMAC with SHA-512; the key is the key itself, read one with ``mta.secrets``.

    >>> mta.digest.hmac_sha512("key", "data").hex[:16]
    '3c5953a18f7303ec'
    """
