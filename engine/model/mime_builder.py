"""New MIME parts, and whole messages from texts and files.

Place in flow: scripts call it as ``mimepart.new_*`` and ``mimepart.builder``.

Invariants:
    * What is made goes over any wire: ASCII, CRLF, lines within the limit.
    * Levels with one part only are left out.
    * A boundary is unguessable, so that no content can hold it; with stable content it is fixed,
      for tests, and another one is taken where a part holds it.

Standard: RFC 2045, RFC 2046, RFC 2387 (related), RFC 2183 (disposition), RFC 2392 (content ids).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any

from engine.model.mime_headers import HeaderMap
from engine.model.mime_params import MimeParams, to_mime_params
from engine.model.mime_parse import parse
from engine.model.mime_part import MimePart
from engine.model.mime_tally import PARTS_MAX

#: The Date of stable content: a moment after the epoch that nobody takes for the present.
_STABLE_AT = 1_000_000_000.0


def new_text(content_type: str, text: str) -> MimePart:
    """Return a part of text.

    Args:
        content_type: Such as ``text/calendar``; its charset, if it names one, is kept where the
            text fits it.
        text: The text; any line ends.
    """
    media = to_mime_params(content_type)
    if not media.value.startswith("text/"):
        raise ValueError(f"{media.value} is no text: use new_binary")
    if not isinstance(text, str):
        raise TypeError(f"wants text, not {type(text).__name__}")
    if "charset" not in media.parameters:
        media = MimeParams(media.value, {**media.parameters, "charset": "utf-8"})
    return _new(media, text)


def new_text_plain(text: str) -> MimePart:
    """Return a part of plain text."""
    return new_text("text/plain", text)


def new_html(text: str) -> MimePart:
    """Return a part of HTML."""
    return new_text("text/html", text)


def new_binary(
    content_type: str,
    data: bytes,
    *,
    file_name: str | None = None,
    inline: bool = False,
    content_id: str | None = None,
) -> MimePart:
    """Return a part of octets, a file for example.

    Args:
        content_type: Such as ``image/png``.
        data: The octets.
        file_name: What the reader may call it.
        inline: Whether it is shown in its place.
        content_id: What HTML refers to it by (``cid:...``).
    """
    media = to_mime_params(content_type)
    if media.value.startswith("multipart/"):
        raise ValueError("a multipart is made of parts: use new_multipart")
    if not isinstance(data, bytes):
        raise TypeError(f"wants bytes, not {type(data).__name__}")
    part = MimePart(HeaderMap(), b"\r\n", b"")
    part.headers.set_content_type(media)
    part._set_body(data)
    _dispose(part, file_name, inline=inline, content_id=content_id)
    return part


def new_multipart(
    content_type: str, parts: Iterable[MimePart], boundary: str | None = None
) -> MimePart:
    """Return a multipart of copies of these parts.

    Args:
        content_type: Such as ``multipart/mixed``.
        parts: In order.
        boundary: What divides them; made up if not given.
    """
    media = to_mime_params(content_type)
    if not media.value.startswith("multipart/"):
        raise ValueError(f"{media.value} is no multipart")
    boundary = boundary or media.parameters.get("boundary") or new_boundary()
    if len(boundary) > 70 or not boundary.isascii() or not boundary.isprintable():
        raise ValueError("a boundary is up to 70 printable characters of ASCII")
    part = MimePart(HeaderMap(), b"\r\n", b"")
    part.headers.set_content_type(
        MimeParams(media.value, {**media.parameters, "boundary": boundary})
    )
    part._children = []
    for inner in parts:
        part.append_part(inner)
    return part


def new_boundary() -> str:
    """Return a boundary that no content holds: also none of quoted-printable or base64."""
    return f"=_{os.urandom(15).hex()}"


def _new(media: MimeParams, text: str) -> MimePart:
    part = MimePart(HeaderMap(), b"\r\n", b"")
    part.headers.set_content_type(media)
    part.body = text
    if part.headers.content_transfer_encoding() is None:
        part.headers.set_content_transfer_encoding("7bit")
    return part


def _dispose(
    part: MimePart, file_name: str | None, *, inline: bool, content_id: str | None
) -> None:
    parameters = {} if file_name is None else {"filename": file_name}
    kind = "inline" if inline else "attachment"
    part.headers.set_content_disposition(MimeParams(kind, parameters))
    if content_id is not None:
        part.headers.set_content_id(content_id)


class MessageBuilder:
    """Gathers texts and files; ``build`` makes the message."""

    __slots__ = ("_attached", "_count", "_inline", "_stable", "_texts", "_wall")

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._texts: dict[str, MimePart] = {}
        self._inline: list[MimePart] = []
        self._attached: list[MimePart] = []
        self._stable = False
        self._count = 0

    def text_plain(self, text: str) -> None:
        """Set the plain text."""
        self._texts["plain"] = new_text_plain(text)

    def text_html(self, text: str) -> None:
        """Set the HTML."""
        self._texts["html"] = new_html(text)

    def text_amp_html(self, text: str) -> None:
        """Set the AMP HTML; it needs a plain text or an HTML beside it."""
        self._texts["amp"] = new_text("text/x-amp-html", text)

    def attach(
        self,
        content_type: str,
        data: bytes | str,
        *,
        file_name: str | None = None,
        inline: bool = False,
        content_id: str | None = None,
    ) -> None:
        """Add a file; one that is inline stands with the texts that refer to it."""
        if isinstance(data, str):
            part = new_text(content_type, data)
            _dispose(part, file_name, inline=inline, content_id=content_id)
        else:
            part = new_binary(
                content_type, data, file_name=file_name, inline=inline, content_id=content_id
            )
        self._add(part, inline=inline)

    def attach_part(self, part: MimePart) -> None:
        """Add a part as it is."""
        if not isinstance(part, MimePart):
            raise TypeError(f"wants a MIME part, not {type(part).__name__}")
        self._add(part, inline=part._disposition.value == "inline")

    def _add(self, part: MimePart, *, inline: bool) -> None:
        if len(self._inline) + len(self._attached) >= PARTS_MAX:
            raise ValueError(f"more than {PARTS_MAX} MIME parts")
        (self._inline if inline else self._attached).append(part)

    def set_stable_content(self, stable: bool) -> None:
        """Make the same octets each time, for tests: date and boundaries are fixed."""
        self._stable = bool(stable)

    def build(self) -> MimePart:
        """Return the message: texts as alternatives, what they refer to, and attachments.

        Raises:
            ValueError: There is AMP HTML and no other text, or nothing at all.
        """
        self._count = 0
        texts = [self._texts[kind] for kind in ("plain", "amp", "html") if kind in self._texts]
        if "amp" in self._texts and len(texts) == 1:
            raise ValueError("AMP HTML alone makes no message: add a plain text or HTML")
        body = self._level("alternative", texts)
        body = self._level("related", [*body, *self._inline])
        body = self._level("mixed", [*body, *self._attached])
        if not body:
            raise ValueError("a message needs a text or an attachment")
        made = parse(bytes(body[0]))
        if made.headers.get_first_named("MIME-Version") is None:
            made.headers.prepend("MIME-Version", "1.0")
        if made.headers.get_first_named("Date") is None:
            date = formatdate(_STABLE_AT if self._stable else self._wall())
            made.headers.prepend("Date", date.replace("-0000", "+0000"))
        return made

    def _level(self, kind: str, parts: list[MimePart]) -> list[MimePart]:
        if len(parts) < 2:
            return parts
        return [new_multipart(f"multipart/{kind}", parts, self._boundary(kind, parts))]

    def _boundary(self, kind: str, parts: list[MimePart]) -> str | None:
        if not self._stable:
            return None
        octets = [bytes(part) for part in parts]
        while True:
            self._count += 1
            boundary = f"{kind}-boundary-{self._count}"
            if not any(boundary.encode() in held for held in octets):
                return boundary


def make_namespace(wall: Callable[[], float]) -> dict[str, Callable[..., Any]]:
    """Return the functions of ``mta.mimepart`` by their names."""
    return {
        "builder": lambda: MessageBuilder(wall),
        "new_binary": new_binary,
        "new_html": new_html,
        "new_multipart": new_multipart,
        "new_text": new_text,
        "new_text_plain": new_text_plain,
        "parse": parse,
    }
