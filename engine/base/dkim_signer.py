"""DKIM signers: how a domain signs mail, and signing a message with them.

Place in flow: scripts make signers (``engine.script_dkim``) and note them on a message;
``engine.receive.message_signing`` applies them in a thread.

Invariants:
    * A signer never changes. Making one again with the same options costs a look-up, so a handler
      may do so for each message.
    * A body is hashed once per canonicalisation however many messages share it, and one header is
      signed once by a key.
    * A message is signed as it will be sent, or an error is raised; there is nothing in between.

Standard: RFC 6376 section 5; RFC 8301; RFC 8463. ``l=``, ``i=``, ``r=`` and ATPS (RFC 6541) are not
supported: what asks for them is an error, never ignored.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.base.dkim_key import KeyRegistry, KeySource, KeyType, SigningKey
from engine.model.address import normal_domain
from engine.model.dkim_canonical import (
    Canonicalization,
    canonical_field,
    format_signed,
    format_unsigned,
    iter_canonical_body,
    list_names,
    select_fields,
    split_fields,
    wire_form,
)
from engine.model.duration import parse_duration
from engine.model.errors import ConfigurationError
from engine.model.header_block import header_end
from engine.model.keyword_options import Option, choice, flag, read_options
from engine.model.option_error import OptionError

#: Signers kept for being asked for again.
SIGNERS_MAX = 1024
#: How long a key is used before its file is looked at again, at most, seconds.
DEFAULT_TTL_S = 300.0
#: A name of a header field (RFC 5322, 3.6.8); a semicolon would end the tag that lists it.
_FIELD_NAME = re.compile(r"[!-9<-~]{1,76}\Z")
_REQUIRED = ("domain", "selector", "headers", "key")


class SharedContent:
    """What messages of one transaction have in common: a body, and the header that came with it.

    Args:
        data: The content behind the header fields put in front.
        is_wire_ready: It is known to be in wire form.
    """

    def __init__(self, data: bytes, *, is_wire_ready: bool = False) -> None:
        self._data = data if is_wire_ready else wire_form(data)
        self._header_end = header_end(self._data)
        self.header = self._data[: self._header_end]
        self._hashes: dict[Canonicalization, str] = {}
        #: Signatures made, by signer and what was signed: recipients often differ in nothing else.
        self.signed: dict[tuple[DkimSigner, bytes], bytes] = {}

    def body_hash(self, kind: Canonicalization) -> str:
        """Return the hash of the body, in base64."""
        known = self._hashes.get(kind)
        if known is None:
            digest = hashlib.sha256()
            for piece in iter_canonical_body(self._data, self._header_end + 2, kind):
                digest.update(piece)
            known = self._hashes[kind] = base64.b64encode(digest.digest()).decode()
        return known


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DkimSigner:
    """How a domain signs mail.

    Attributes:
        domain: The domain that takes responsibility, in A-labels.
        selector: Where below the domain the public key is found.
        headers: Names of the header fields to sign, in lower case and order.
        over_sign: Whether each name is listed once more than the message has fields of it.
        expiration_s: How long the signature counts; None for ever.
        ttl_s: How long the key is used before its file is looked at again, at most.
    """

    domain: str
    selector: str
    headers: tuple[str, ...]
    header_canonicalization: Canonicalization = Canonicalization.RELAXED
    body_canonicalization: Canonicalization = Canonicalization.RELAXED
    over_sign: bool = False
    expiration_s: float | None = None
    ttl_s: float = DEFAULT_TTL_S
    _key: SigningKey = field(repr=False)
    _names: tuple[bytes, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", tuple(name.encode("ascii") for name in self.headers))

    @property
    def algorithm(self) -> str:
        """Return the algorithm as the signature names it."""
        return self._key.kind.value

    def make_field(self, prefix: bytes, content: SharedContent, wall_s: float) -> bytes:
        """Return the signature of a message, a header field with its CRLF.

        Args:
            prefix: Header fields in front of the content.
            content: The rest of the message.
            wall_s: The present, in seconds since the Unix epoch.
        """
        header, kind = prefix + content.header, self.header_canonicalization
        fields = split_fields(header)
        names = list_names(fields, self._names, over_sign=self.over_sign)
        unsigned = format_unsigned(self._tags(content, int(wall_s)), names)
        covered = [canonical_field(raw, kind) for raw in select_fields(fields, names)]
        covered.append(canonical_field(unsigned, kind))
        octets = b"\r\n".join(covered)
        known = content.signed.get((self, octets))
        if known is None:
            signature = base64.b64encode(self._key.sign(octets, self.ttl_s)).decode()
            known = content.signed[self, octets] = format_signed(unsigned, signature)
        return known

    def _tags(self, content: SharedContent, now_s: int) -> dict[str, str]:
        kinds = (self.header_canonicalization, self.body_canonicalization)
        tags = {
            "v": "1",
            "a": self.algorithm,
            "d": self.domain,
            "s": self.selector,
            "c": "/".join(kind.value.lower() for kind in kinds),
            "bh": content.body_hash(self.body_canonicalization),
            "h": "",
            "t": str(now_s),
        }
        if self.expiration_s is not None:
            tags["x"] = str(now_s + math.ceil(self.expiration_s))
        return tags


def sign_message(
    prefix: bytes, content: SharedContent, signers: Sequence[DkimSigner], wall_s: float
) -> bytes:
    """Return the header fields in front of a message with those of its signatures before them.

    Args:
        prefix: What stands in front now; in wire form.
        content: The rest of the message.
        signers: In order; each sees the signatures of those before it.
        wall_s: The present, in seconds since the Unix epoch.
    """
    for signer in signers:
        prefix = signer.make_field(prefix, content, wall_s) + prefix
    return prefix


# -- options ----------------------------------------------------------------------------------


def domain_name(value: Any) -> str:
    """Return a name in the DNS, in A-labels."""
    if not isinstance(value, str) or value.startswith("["):
        raise OptionError(f"a domain is expected, not {value!r}")
    return normal_domain(value).removesuffix(".")


def _field_name(value: Any) -> str:
    if not isinstance(value, str) or not _FIELD_NAME.match(value):
        raise OptionError(f"the name of a header field is expected, not {value!r}")
    return value.lower()


def header_names(value: Any) -> tuple[str, ...]:
    """Return the names of the fields to sign, in lower case; From is among them."""
    if not isinstance(value, list | tuple):
        raise OptionError(f"a list of names is expected, not {value!r}")
    names = tuple(_field_name(name) for name in value)
    if "from" not in names:
        raise ValueError("From must be among the headers (RFC 6376, 5.4)")
    return names


def lifetime(value: Any) -> float:
    """Return how long a signature counts, in seconds; above zero."""
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("a signature must count for a while: above zero is expected")
    return seconds


def signing_key(value: Any) -> KeySource:
    """Return where a key comes from."""
    if isinstance(value, str | Path) and str(value):
        return value
    if isinstance(value, Mapping) and set(value) == {"key_data"}:
        data = value["key_data"]
        if isinstance(data, str | bytes) and data:
            return {"key_data": data}
    # Not the value: it may be a key.
    raise ValueError('the path of a file or {"key_data": "PEM text"} is expected')


def _not_supported(value: Any) -> None:
    if value is not False:
        raise ValueError("not supported")


UNSUPPORTED = ("atps", "atpsh", "agent_user_identifier", "body_length", "reporting")
SIGNER_OPTIONS: dict[str, Option] = {
    "domain": Option(domain_name),
    "selector": Option(domain_name),
    "headers": Option(header_names),
    "key": Option(signing_key, is_secret=True),
    "header_canonicalization": Option(choice(Canonicalization)),
    "body_canonicalization": Option(choice(Canonicalization)),
    "over_sign": Option(flag),
    "expiration": Option(lifetime, "expiration_s"),
    "ttl": Option(parse_duration, "ttl_s"),
    **dict.fromkeys(UNSUPPORTED, Option(_not_supported)),
}


class SignerRegistry:
    """The signers of a node, by their options; they and their keys outlive a reload.

    Args:
        mono: Monotonic time in seconds.
    """

    def __init__(self, mono: Callable[[], float] | None = None) -> None:
        self._keys = KeyRegistry(mono)
        self._signers: OrderedDict[object, DkimSigner] = OrderedDict()

    def rsa_sha256_signer(self, **options: Any) -> DkimSigner:
        """Return a signer with an RSA key.

        Raises:
            TypeError: An option is unknown or missing.
            ValueError: A value does not fit its option.
            ConfigurationError: The key cannot be used.
        """
        return self._find("rsa_sha256_signer", KeyType.RSA, options)

    def ed25519_signer(self, **options: Any) -> DkimSigner:
        """Return a signer with an Ed25519 key.

        Raises:
            TypeError: An option is unknown or missing.
            ValueError: A value does not fit its option.
            ConfigurationError: The key cannot be used.
        """
        return self._find("ed25519_signer", KeyType.ED25519, options)

    def _find(self, owner: str, kind: KeyType, options: Mapping[str, Any]) -> DkimSigner:
        name = (kind, *((option, _frozen(value)) for option, value in options.items()))
        try:
            signer = self._signers.get(name)
        except TypeError:  # a value that no option takes: reading it says which
            signer = None
        if signer is None:
            signer = self._make(owner, kind, options)
            self._signers[name] = signer
            if len(self._signers) > SIGNERS_MAX:
                self._signers.popitem(last=False)
        else:
            self._signers.move_to_end(name)
        return signer

    def _make(self, owner: str, kind: KeyType, options: Mapping[str, Any]) -> DkimSigner:
        values = read_options(owner, options, SIGNER_OPTIONS)
        missing = [name for name in _REQUIRED if name not in values]
        if missing:
            raise TypeError(f"{owner}: {' and '.join(missing)} must be given")
        for name in UNSUPPORTED:
            values.pop(name, None)
        try:
            key = self._keys.find(values.pop("key"))
        except ConfigurationError as error:
            raise ConfigurationError(f"{owner}: key: {error}") from error
        if key.kind is not kind:
            raise ConfigurationError(
                f"{owner}: key: this key is for {key.kind.value}, not for {kind.value}"
            )
        return DkimSigner(_key=key, **values)


def _frozen(value: Any) -> object:
    if isinstance(value, Mapping):
        return tuple((name, _frozen(inner)) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return tuple(_frozen(inner) for inner in value)
    return (type(value), value)
