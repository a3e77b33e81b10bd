"""Makers of DKIM signers, for ``msg.dkim_sign``. Cheap to call again with the same options.

A key that cannot be read, or is none, is an error that ``except Exception`` catches.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, final, type_check_only

_Duration: TypeAlias = int | float | str
_KeySource: TypeAlias = str | Mapping[str, str | bytes]
_Canonicalization: TypeAlias = Literal["Relaxed", "Simple"]

@final
@type_check_only
class Signer:
    """How a domain signs mail.

    >>> signer = mta.dkim.ed25519_signer(
    ...     domain="Example.com",
    ...     selector="s1",
    ...     headers=["From"],
    ...     key="/etc/cirrus/dkim/ed25519.key",
    ... )
    >>> signer.domain, signer.selector, signer.headers
    ('example.com', 's1', ('from',))
    """

    @property
    def domain(self) -> str:
        """The domain that takes responsibility, in A-labels."""
    @property
    def selector(self) -> str:
        """Where below the domain the public key is found."""
    @property
    def headers(self) -> tuple[str, ...]:
        """The names of the header fields to sign, in lower case."""
    @property
    def algorithm(self) -> Literal["rsa-sha256", "ed25519-sha256"]:
        """The name of the algorithm in signatures."""

def rsa_sha256_signer(
    *,
    domain: str,
    selector: str,
    headers: Sequence[str],
    key: _KeySource,
    header_canonicalization: _Canonicalization = "Relaxed",
    body_canonicalization: _Canonicalization = "Relaxed",
    over_sign: bool = False,
    expiration: _Duration | None = None,
    ttl: _Duration = 300,
) -> Signer:
    """A signer with an RSA key of at least 1024 bits; From must be among the headers.

    >>> signer = mta.dkim.rsa_sha256_signer(
    ...     domain="example.com",
    ...     selector="s1",
    ...     headers=["From", "To", "Subject"],
    ...     key="/etc/cirrus/dkim/rsa.key",
    ... )
    >>> signer.algorithm
    'rsa-sha256'
    """

def ed25519_signer(
    *,
    domain: str,
    selector: str,
    headers: Sequence[str],
    key: _KeySource,
    header_canonicalization: _Canonicalization = "Relaxed",
    body_canonicalization: _Canonicalization = "Relaxed",
    over_sign: bool = False,
    expiration: _Duration | None = None,
    ttl: _Duration = 300,
) -> Signer:
    """A signer with an Ed25519 key (RFC 8463); sign with RSA too, not all receivers know it.

    >>> signer = mta.dkim.ed25519_signer(
    ...     domain="example.com",
    ...     selector="s1",
    ...     headers=["From", "To", "Subject"],
    ...     key="/etc/cirrus/dkim/ed25519.key",
    ... )
    >>> signer.algorithm
    'ed25519-sha256'
    """
