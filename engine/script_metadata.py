"""Metadata of a message as scripts read and set it.

Place in flow: the base of ``engine.script_views.MessageView``.

Invariants:
    * What a script sets is a copy of plain values: no reference into the script stays.
    * Who a client is comes from the session alone, not from metadata, which scripts set.
    * A change is noted in ``Message.meta_dirty``; who fired the hook stores it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.model.charset import without_halves
from engine.model.message import Message
from policy.script_api import known_to_scripts

#: Marks in ``Message.meta_dirty``: what must be stored again.
DIRTY_ENVELOPE = 1
DIRTY_BODY = 2
#: The most octets of a metadata value that a script sets, and its deepest nesting.
META_VALUE_MAX = 1 << 20
META_DEPTH_MAX = 32
#: Contexts of identities.
AUTHENTICATION, AUTHORIZATION = "SmtpAuthPlainAuthentication", "SmtpAuthPlainAuthorization"
GENERIC = "GenericAuth"
_PLAIN = (str, int, float, bool, type(None))
_QUEUE_KEYS = frozenset({"queue", "tenant", "campaign", "routing_domain"})


def plain_copy(value: Any, depth: int = 0) -> Any:
    """Return a deep copy made of plain JSON values only; what is no Unicode becomes U+FFFD.

    Raises:
        TypeError: The value holds something that JSON does not know.
        ValueError: It is nested too deeply, or a number is not finite.
    """
    if isinstance(value, _PLAIN):
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("numbers must be finite")
        return _plain_text(value) if isinstance(value, str) else value
    if depth >= META_DEPTH_MAX:
        raise ValueError("the value is nested too deeply")
    if isinstance(value, list | tuple):
        return [plain_copy(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys must be text")
        return {_plain_text(key): plain_copy(item, depth + 1) for key, item in value.items()}
    raise TypeError(f"wants plain values (text, numbers, lists, dicts), not {type(value).__name__}")


def _plain_text(text: str) -> str:
    if len(text) > META_VALUE_MAX:
        raise ValueError("the value is too large")
    return without_halves(text)


class MetadataView:
    """The named values of a message."""

    __slots__ = ()
    _message: Message

    def _touch(self) -> None:
        self._message.meta_dirty |= DIRTY_ENVELOPE

    def get_meta(self, name: str) -> Any:
        """Return a metadata value, or None. Lists and dicts are copies."""
        value = self._message.meta.get(name)
        return value if isinstance(value, _PLAIN) else plain_copy(value)

    def set_meta(self, name: str, value: Any) -> None:
        """Set a metadata value: text, number, bool, None, or a list or dict of these."""
        if not isinstance(name, str):
            raise TypeError("the name of a metadata value is text")
        if name in _QUEUE_KEYS and value is not None and not isinstance(value, str):
            raise TypeError(f"{name} wants text")
        self._message.meta[_plain_text(name)] = plain_copy(value)
        self._touch()


@dataclass(slots=True)
class AuthInfo:
    """Who a client is; the session keeps it, and no script can change it.

    Attributes:
        peer_address: Its IP address, as a balancer or a filter in front says it.
        identities: Names it has shown to be its own, each with the context in which it did.
        groups: What the handler that judged it counts it among.
    """

    peer_address: str | None = None
    identities: tuple[tuple[str, str], ...] = ()
    groups: tuple[str, ...] = ()


@known_to_scripts("Connection")
class ConnectionView:
    """A client's connection as a handler sees it: named values, kept until it closes."""

    __slots__ = ("_auth", "_meta")

    def __init__(self, meta: dict[str, Any], auth: AuthInfo | None = None) -> None:
        self._meta = meta
        self._auth = auth if auth is not None else AuthInfo()

    def auth_info(self) -> dict[str, Any]:
        """Return who the client is: peer_address, identities and groups; a copy."""
        return {
            "peer_address": self._auth.peer_address,
            "identities": [
                {"identity": name, "context": context} for name, context in self._auth.identities
            ],
            "groups": list(self._auth.groups),
        }

    def get_meta(self, name: str) -> Any:
        """Return a value of the connection, or None."""
        value = self._meta.get(name)
        return value if isinstance(value, _PLAIN) else plain_copy(value)

    def set_meta(self, name: str, value: Any) -> None:
        """Set a value; messages received over the connection start with a copy of all values."""
        if not isinstance(name, str):
            raise TypeError("the name of a metadata value is text")
        self._meta[_plain_text(name)] = plain_copy(value)
