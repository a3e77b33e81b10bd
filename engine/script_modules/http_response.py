"""What an HTTP server answered, as scripts see it: read whole and bounded.

Place in flow: made by ``http_client`` when a request has been sent.

Invariants:
    * The body is at most ``BODY_BYTES_MAX``, as received and as decompressed; nothing is left to be
      read from the connection.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from typing import Any

from engine.script_modules.script_call import caller_budget
from policy.errors import LimitExceededError
from policy.script_api import known_to_scripts

BODY_BYTES_MAX = 16 << 20
JSON_BYTES_MAX = 8 << 20
_LARGE_BYTES = 4096
_NS_PER_BYTE, _NS_PER_VALUE = 4, 100
_BYTES_PER_VALUE = 64
#: Charsets that are decoded in linear time by a table; others are read as UTF-8.
_CHARSETS = frozenset(
    {"utf-8", "ascii", "iso8859-1", "iso8859-2", "iso8859-15", "utf-16", "cp1251", "cp1252"}
)


@known_to_scripts("Headers")
class HttpHeaders(Mapping[str, str]):
    """Header fields of a response: names in any case; of several with one name, all joined."""

    __slots__ = ("_fields", "_order")

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._order: list[tuple[str, str]] = fields
        self._fields: dict[str, str] = {}
        for name, value in fields:
            known = self._fields.get(name.lower())
            self._fields[name.lower()] = value if known is None else f"{known}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def get_all(self, name: str) -> list[str]:
        """Return each value of a name, as sent."""
        return [value for field, value in self._order if field.lower() == name.lower()]


@known_to_scripts("Response")
class HttpResponse:
    """A whole response."""

    __slots__ = ("_body", "_charset", "_headers", "_reason", "_status")

    def __init__(
        self,
        status: int,
        reason: str,
        headers: list[tuple[str, str]],
        body: bytes,
        charset: str | None = None,
    ) -> None:
        self._status = status
        self._reason = reason
        self._headers = HttpHeaders(headers)
        self._body = body
        self._charset = charset

    @property
    def status_code(self) -> int:
        """Return the status."""
        return self._status

    @property
    def status_reason(self) -> str:
        """Return the phrase beside the status."""
        return self._reason

    @property
    def status_is_informational(self) -> bool:
        """Return whether the status is 1xx."""
        return self._status // 100 == 1

    @property
    def status_is_success(self) -> bool:
        """Return whether the status is 2xx."""
        return self._status // 100 == 2

    @property
    def status_is_redirection(self) -> bool:
        """Return whether the status is 3xx."""
        return self._status // 100 == 3

    @property
    def status_is_client_error(self) -> bool:
        """Return whether the status is 4xx."""
        return self._status // 100 == 4

    @property
    def status_is_server_error(self) -> bool:
        """Return whether the status is 5xx."""
        return self._status // 100 == 5

    @property
    def headers(self) -> HttpHeaders:
        """Return the header fields."""
        return self._headers

    @property
    def content_length(self) -> int | None:
        """Return the length that the server announced, None if it did not."""
        value = self._headers.get("content-length", "")
        return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None

    def bytes(self) -> bytes:
        """Return the body."""
        return self._body

    def text(self) -> str:
        """Return the body as text; what cannot be read becomes U+FFFD."""
        caller_budget().account_text(len(self._body))
        return self._body.decode(_codec_of(self._charset), "replace")

    def json(self) -> Any:
        """Return the value of a body in JSON.

        Raises:
            ValueError: It is no JSON, or too large.
        """
        body, budget = self._body, caller_budget()
        if len(body) > JSON_BYTES_MAX:
            raise LimitExceededError(f"more than {JSON_BYTES_MAX} octets of JSON")
        if len(body) >= _LARGE_BYTES:
            values = sum(body.count(mark) for mark in (b"[", b"{", b","))
            budget.account(values * _BYTES_PER_VALUE)
            budget.afford(len(body) * _NS_PER_BYTE + values * _NS_PER_VALUE)
        try:
            return json.loads(body)
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None

    def __repr__(self) -> str:
        return f"<response {self._status}, {len(self._body)} octets>"


def _codec_of(charset: str | None) -> str:
    try:
        name = codecs.lookup(charset or "utf-8").name
    except LookupError:
        return "utf-8"
    return name if name in _CHARSETS else "utf-8"
