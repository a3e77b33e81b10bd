"""A message as a tree of MIME parts that keeps the octets of all that nobody changes.

Place in flow: ``engine.model.mime_parse`` reads one, ``engine.model.mime_builder`` makes new ones,
scripts hold them; ``engine.model.conformance`` rebuilds them.

Invariants:
    * ``bytes(parse(x)) == x`` for any octets that are parsed at all.
    * A change of one part leaves the octets of all others: headers, boundaries, what stands
      before the first and behind the last part.
    * Parts, depth and work are bounded; beyond, ``ValueError``.
    * A part that is appended is copied: a tree has no loops.

Standard: RFC 2045, RFC 2046 (5.1 multiparts, 5.2.1 message/rfc822), RFC 2387.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.model.address_list import strip_comments
from engine.model.charset import decode_text, encode_text
from engine.model.mime_headers import HeaderMap
from engine.model.mime_params import MimeParams, to_mime_params
from engine.model.mime_tally import DEPTH_MAX, Tally
from engine.model.transfer_encoding import (
    decode_transfer,
    encode_transfer,
    is_fit,
    is_identity,
)

_LINE_ENDS = re.compile(r"\r\n|\r|\n")
DEFAULT_TYPE = MimeParams("text/plain", {})


@dataclass(frozen=True, slots=True)
class Attachment:
    """What goes with a message beside its texts.

    Attributes:
        file_name: As given, or None. It comes from outside: no path to write to.
        inline: Whether it is shown in its place.
        content_id: Without angle brackets, or None.
        content_type: Such as ``image/png``.
        part: The part itself.
    """

    file_name: str | None
    inline: bool
    content_id: str | None
    content_type: str
    part: MimePart


@dataclass(frozen=True, slots=True)
class SimpleStructure:
    """The parts that most messages have; None for those that are not there."""

    text_part: MimePart | None
    html_part: MimePart | None
    amp_html_part: MimePart | None
    header_part: MimePart | None
    attachments: list[Attachment]


class MimePart:
    """A message, or a part of one."""

    __slots__ = (
        "_children",
        "_close",
        "_content",
        "_default",
        "_delimiters",
        "_depth",
        "_epilogue",
        "_headers",
        "_id",
        "_separator",
        "_tally",
    )
    __script_writable__ = frozenset({"body"})

    def __init__(
        self,
        headers: HeaderMap,
        separator: bytes,
        content: bytes,
        *,
        part_id: str = "0",
        depth: int = 0,
        tally: Tally | None = None,
        default: MimeParams = DEFAULT_TYPE,
    ) -> None:
        self._headers = headers
        self._separator = separator
        # The body of a leaf; of a multipart what stands before its first boundary.
        self._content = content
        self._children: list[MimePart] | None = None
        # The boundary line before each child, with the line end that belongs to it.
        self._delimiters: list[bytes] = []
        self._close = b""
        self._epilogue = b""
        self._id = part_id
        self._depth = depth
        self._tally = tally or Tally(len(content))
        self._default = default

    # -- reading ------------------------------------------------------------------------------

    def __bytes__(self) -> bytes:
        out: list[bytes] = []
        self._write(out)
        return b"".join(out)

    def __str__(self) -> str:
        return bytes(self).decode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return f"<MimePart {self._id} {self._type.value}>"

    def _write(self, out: list[bytes]) -> None:
        head = bytes(self._headers)
        out.append(head)
        separator = self._separator
        if not separator and head and (self._content or self._children):
            separator = b"\r\n" if head.endswith(b"\n") else b"\r\n\r\n"
        out.append(separator)
        self._write_body(out)

    def _write_body(self, out: list[bytes]) -> None:
        out.append(self._content)
        if self._children is not None:
            for delimiter, child in zip(self._delimiters, self._children, strict=True):
                out.append(delimiter)
                child._write(out)
            out.append(self._close)
            out.append(self._epilogue)

    @property
    def id(self) -> str:
        """Return where the part stands: ``0``, its first child ``0.1``, and so on."""
        return self._id

    @property
    def headers(self) -> HeaderMap:
        """Return the header fields of this part."""
        return self._headers

    @property
    def parts(self) -> list[MimePart]:
        """Return the parts of a multipart, in order; none of another."""
        return list(self._children or ())

    @property
    def _type(self) -> MimeParams:
        found = self._headers.get_first_named("Content-Type")
        params = None if found is None else found.mime_params
        return params if params is not None and params.value else self._default

    @property
    def _encoding(self) -> str:
        found = self._headers.get_first_named("Content-Transfer-Encoding")
        if found is None:
            return ""
        try:
            return strip_comments(found.unstructured).strip().lower()
        except ValueError:
            return ""

    @property
    def _is_text(self) -> bool:
        return self._type.value.startswith("text/") and self._children is None

    @property
    def _octets(self) -> bytes:
        """Return the body with its transfer encoding undone."""
        if self._children is not None:
            out: list[bytes] = []
            self._write_body(out)
            return b"".join(out)
        return decode_transfer(self._content, self._encoding)

    @property
    def body(self) -> str | bytes:
        """Return the decoded body: text of ``text/*``, octets of anything else."""
        octets = self._octets
        return (
            decode_text(octets, self._type.parameters.get("charset")) if self._is_text else octets
        )

    @body.setter
    def body(self, value: str | bytes) -> None:
        if self._children is not None:
            raise ValueError("a multipart has no body of its own; set that of one of its parts")
        if not isinstance(value, str if self._is_text else bytes):
            wanted = "text" if self._is_text else "bytes"
            raise TypeError(f"the body of {self._type.value} wants {wanted}")
        self._set_body(value)

    def _walk(self) -> Iterator[MimePart]:
        """Yield this part and all below, in the order of the message."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part._children or ()))

    def get_simple_structure(self) -> SimpleStructure:
        """Return the texts and the attachments."""
        found: dict[str, MimePart] = {}
        attachments: list[Attachment] = []
        for part in self._walk():
            if part._children is not None:
                continue
            attachment = part._as_attachment()
            kind = _TEXTS.get(attachment.content_type)
            is_text = kind is not None and attachment.file_name is None
            if is_text and not part._is_attached and kind not in found:
                found[str(kind)] = part
            else:
                attachments.append(attachment)
        return SimpleStructure(
            found.get("text"), found.get("html"), found.get("amp"), found.get("header"), attachments
        )

    @property
    def _disposition(self) -> MimeParams:
        found = self._headers.get_first_named("Content-Disposition")
        return MimeParams("") if found is None else found.mime_params

    @property
    def _is_attached(self) -> bool:
        return self._disposition.value not in ("", "inline")

    def _as_attachment(self) -> Attachment:
        disposition, media = self._disposition, self._type
        name = disposition.parameters.get("filename") or media.parameters.get("name")
        field = self._headers.get_first_named("Content-ID")
        ids = [] if field is None else field.message_id_list
        inline = disposition.value == "inline" or (not disposition.value and bool(ids))
        return Attachment(name, inline, ids[0] if ids else None, media.value, self)

    # -- changing -----------------------------------------------------------------------------

    def replace_body(self, content: str | bytes, content_type: str | None = None) -> None:
        """Replace the body, and with a content type what it is; a multipart loses its parts."""
        if content_type is not None:
            media = to_mime_params(content_type)
            if media.value.startswith("multipart/"):
                raise ValueError("a multipart is made of parts: use new_multipart")
            if media.value.startswith("text/") != isinstance(content, str):
                raise TypeError(f"{media.value} does not fit {type(content).__name__}")
            self._headers.set_content_type(media)
        elif self._children is not None:
            raise ValueError("a multipart has no body of its own: name the content type")
        elif self._is_text != isinstance(content, str):
            raise TypeError(f"{self._type.value} does not fit {type(content).__name__}")
        self._children, self._delimiters = None, []
        self._close = self._epilogue = b""
        self._set_body(content)

    def _set_body(self, value: str | bytes) -> None:
        if isinstance(value, str):
            octets, encoding = self._encode_text(value)
        elif self._type.value.startswith(("message/", "multipart/")):
            # No encoding is allowed there (RFC 2046, 5.2.1).
            octets, encoding = value, "7bit" if is_fit(value) else "8bit"
        elif isinstance(value, bytes):
            octets, encoding = encode_transfer(value, is_text=False)
        else:
            raise TypeError(f"wants text or bytes, not {type(value).__name__}")
        self._tally.grow(0, len(octets) - len(self._content))
        is_kept = encoding == "7bit" and is_identity(self._encoding)
        if not is_kept and encoding != self._encoding:
            self._headers.set_content_transfer_encoding(encoding)
        self._separator = self._separator or b"\r\n"
        self._headers._end_last_line()
        self._content = octets

    def _encode_text(self, text: str) -> tuple[bytes, str]:
        media = self._type
        declared = media.parameters.get("charset")
        octets, charset = encode_text(_LINE_ENDS.sub("\r\n", text), declared or "us-ascii")
        if charset != (declared or "us-ascii"):
            parameters = {**media.parameters, "charset": charset}
            self._headers.set_content_type(MimeParams(media.value, parameters))
        prefer = "" if is_identity(self._encoding) else self._encoding
        if prefer not in ("", "base64", "quoted-printable"):
            prefer = ""
        return encode_transfer(octets, is_text=True, prefer=prefer)

    def append_part(self, part: MimePart) -> None:
        """Put a copy of a part behind those of a multipart."""
        if not isinstance(part, MimePart):
            raise TypeError(f"wants a MIME part, not {type(part).__name__}")
        boundary = self._boundary
        if self._children is None or boundary is None:
            raise ValueError(f"{self._type.value} holds no parts: it is no multipart")
        members = list(part._walk())
        depth = self._depth + 1 - part._depth
        if max(member._depth for member in members) + depth > DEPTH_MAX:
            raise ValueError(f"MIME parts are nested deeper than {DEPTH_MAX}")
        octets = bytes(part)
        if octets.startswith(b"--" + boundary) or b"\n--" + boundary in octets:
            raise ValueError("the part holds the boundary of the multipart")
        self._tally.grow(len(members), len(octets))
        default = default_of(self._type.value)
        copy = part._copy(f"{self._id}.{len(self._children) + 1}", depth, self._tally, default)
        is_first = not self._children and not self._content
        lead = b"" if is_first else b"\r\n"
        self._delimiters.append(lead + b"--" + boundary + b"\r\n")
        self._children.append(copy)
        self._close = self._close or b"\r\n--" + boundary + b"--\r\n"

    def _copy(self, part_id: str, deeper: int, tally: Tally, default: MimeParams) -> MimePart:
        made = MimePart(
            self._headers._copy(),
            self._separator,
            self._content,
            part_id=part_id,
            depth=self._depth + deeper,
            tally=tally,
            default=default,
        )
        if self._children is not None:
            made._delimiters = list(self._delimiters)
            made._close, made._epilogue = self._close, self._epilogue
            made._children = [
                child._copy(f"{part_id}.{index}", deeper, tally, child._default)
                for index, child in enumerate(self._children, 1)
            ]
        return made

    @property
    def _boundary(self) -> bytes | None:
        media = self._type
        if not media.value.startswith("multipart/"):
            return None
        boundary = media.parameters.get("boundary", "").rstrip()
        return boundary.encode("utf-8", "replace") if 0 < len(boundary) <= 200 else None

    def rebuild(self, settings: Mapping[str, Any] | None = None) -> MimePart:
        """Return a new tree in which all that is not fit for any wire is encoded.

        Args:
            settings: ``detect_encoding`` (bool), ``include_encodings`` and ``exclude_encodings``
                (lists of charsets): how 8-bit text that names no charset is read.
        """
        from engine.model.mime_rebuild import rebuild_part  # noqa: PLC0415 - it imports this

        return rebuild_part(self, settings)


_TEXTS = {
    "text/plain": "text",
    "text/html": "html",
    "text/x-amp-html": "amp",
    "text/rfc822-headers": "header",
}


def default_of(multipart: str) -> MimeParams:
    """Return what a part is that does not say it (RFC 2046, 5.1.5)."""
    return MimeParams("message/rfc822") if multipart == "multipart/digest" else DEFAULT_TYPE
