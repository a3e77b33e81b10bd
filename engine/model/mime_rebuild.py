"""A tree of MIME parts made fit for any wire: what is not fit is encoded, all else is copied.

Place in flow: ``MimePart.rebuild`` and ``engine.model.conformance``.

Invariants:
    * Octets of files are kept, in another encoding where they need one; only text is read as text.
    * A part and a field that are fit stay as they are, octet for octet.
    * What comes out has CRLF line ends and no line over 998 octets.

Standard: RFC 5322, 2.1.1; RFC 2045, 2.7 to 2.9; RFC 2047.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.model.charset import UTF_8, codec_of, decode_text, guess_charset
from engine.model.header_encoding import clean_value, encode_header, encode_unstructured
from engine.model.keyword_options import list_of, text
from engine.model.mime_headers import Header, HeaderMap
from engine.model.mime_params import format_mime_params
from engine.model.mime_part import MimePart
from engine.model.mime_tally import Tally
from engine.model.transfer_encoding import encode_transfer, is_fit, is_identity

#: Messages inside messages that are looked into.
_MESSAGES_MAX = 20
_NAME = re.compile(rb"([!-9;-~]+)([ \t]*):")
_SPACED_NAME = re.compile(rb"[!-9;-~]+[ \t]+:")
_LONE_NAME = re.compile(rb"[!-9;-~]{1,76}")


@dataclass(frozen=True, slots=True)
class RebuildSettings:
    """How 8-bit text that names no charset is read; without detection as UTF-8."""

    detect_encoding: bool = False
    include_encodings: tuple[str, ...] = ()
    exclude_encodings: tuple[str, ...] = ()

    def decode(self, octets: bytes) -> str:
        """Return octets of an unknown charset as text."""
        charset = None
        if self.detect_encoding:
            charset = guess_charset(octets, self.include_encodings, self.exclude_encodings)
        return decode_text(octets, charset or UTF_8)


def make_settings(settings: Mapping[str, Any] | None) -> RebuildSettings:
    """Return the settings that a script gives.

    Raises:
        ValueError: One is unknown, or of the wrong type.
    """
    found = dict(settings or {})
    detect = found.pop("detect_encoding", False)
    names = list_of(text)
    include, exclude = (
        tuple(names(found.pop(name, None) or ()))
        for name in ("include_encodings", "exclude_encodings")
    )
    if found:
        raise ValueError(f"there is no setting {sorted(map(str, found))[0]!r}")
    if not isinstance(detect, bool):
        raise ValueError("detect_encoding: wants True or False")  # noqa: TRY004 - one class
    for name in include:
        if codec_of(name) is None:
            raise ValueError(f"include_encodings: no charset is named {name!r}")
    return RebuildSettings(detect, include, exclude)


def rebuild_part(part: MimePart, settings: Mapping[str, Any] | None) -> MimePart:
    """Return a new tree of what is in another, fit for any wire."""
    return rebuild_tree(part, make_settings(settings))


def rebuild_tree(part: MimePart, settings: RebuildSettings) -> MimePart:
    """Return a new tree of what is in another, fit for any wire."""
    return _Rebuild(settings).rebuild(part, 0)


class _Rebuild:
    def __init__(self, settings: RebuildSettings) -> None:
        self._settings = settings

    def rebuild(self, part: MimePart, messages: int) -> MimePart:
        return self._part(part, part.id, part._depth, Tally(0), messages)

    def _part(
        self, part: MimePart, part_id: str, depth: int, tally: Tally, messages: int
    ) -> MimePart:
        fields = [kept for field in part.headers._fields if (kept := self._field(field))]
        made = MimePart(
            HeaderMap(fields),
            b"\r\n",
            part._content,
            part_id=part_id,
            depth=depth,
            tally=tally,
            default=part._default,
        )
        boundary = part._boundary
        if part._children is not None and boundary is not None:
            self._children(part, made, boundary, messages)
        else:
            self._leaf(part, made, messages)
        return made

    def _children(self, part: MimePart, made: MimePart, boundary: bytes, messages: int) -> None:
        children = part._children or []
        made._content = part._content if is_fit(part._content) else b""
        made._epilogue = part._epilogue if is_fit(part._epilogue) else b""
        if not is_identity(part._encoding) or part._encoding == "binary":
            # Not allowed there, and not what the parts are in any more (RFC 2045, 6.4).
            made.headers.remove_all_named("Content-Transfer-Encoding")
        made._children = []
        for index, child in enumerate(children, 1):
            made._tally.grow(1, 0)
            lead = b"\r\n" if index > 1 or made._content else b""
            made._delimiters.append(lead + b"--" + boundary + b"\r\n")
            part_id = f"{made.id}.{index}"
            made._children.append(
                self._part(child, part_id, made._depth + 1, made._tally, messages)
            )
        made._close = b"\r\n--" + boundary + b"--\r\n"

    def _leaf(self, part: MimePart, made: MimePart, messages: int) -> None:
        octets, encoding = part._content, part._encoding
        if is_fit(octets):
            return
        if part._type.value.startswith(("message/", "multipart/")):
            self._message(part, made, messages)
        elif part._is_text:
            made._set_body(self._text(part))
        elif is_identity(encoding) or encoding in ("base64", "quoted-printable"):
            made._content, encoding = encode_transfer(part._octets, is_text=False)
            made.headers.set_content_transfer_encoding(encoding)
        else:
            # An encoding nobody knows: its octets go into another one, and its name is kept.
            made._content, _ = encode_transfer(octets, is_text=False)

    def _text(self, part: MimePart) -> str:
        charset = part._type.parameters.get("charset")
        codec = codec_of(charset) if charset else None
        octets = part._octets
        if codec is None or codec == "ascii":
            return self._settings.decode(octets)
        return decode_text(octets, charset)

    def _message(self, part: MimePart, made: MimePart, messages: int) -> None:
        if part._type.value != "message/rfc822" or messages >= _MESSAGES_MAX:
            return
        from engine.model.mime_parse import parse  # noqa: PLC0415 - it imports MimePart, which
        # offers ``rebuild``

        made._content = bytes(self.rebuild(parse(part._content), messages + 1))
        if made._encoding in ("8bit", "binary"):
            made.headers.set_content_transfer_encoding("7bit")

    def _field(self, field: Header) -> Header | None:
        """Return a field that is fit; None for a line that could be none."""
        raw = field._raw
        if not field.name:
            line = raw.strip()
            if not _LONE_NAME.fullmatch(line):
                return None
            # The colon is missing: the name at least is kept.
            return Header(line.decode(), line + b":\r\n")
        if is_fit(raw) and raw.endswith(b"\r\n") and not _SPACED_NAME.match(raw):
            return Header(field.name, raw)
        return Header(field.name, self._encode_field(field))

    def _encode_field(self, field: Header) -> bytes:
        match = _NAME.match(field._raw)
        assert match is not None
        value = field._raw[match.end() :]
        fit = match[1] + b":" + value.rstrip(b"\r\n") + b"\r\n"
        if is_fit(fit):
            return fit
        flat = clean_value(self._settings.decode(value))
        name = field.name[:76]
        try:
            if name.lower() in ("content-type", "content-disposition"):
                made = Header(name, f"{name}: {flat}".encode())
                made.mime_params = format_mime_params(made.mime_params)
                return made._raw
            return encode_header(name, flat)
        except ValueError:
            return encode_unstructured(name, flat)
