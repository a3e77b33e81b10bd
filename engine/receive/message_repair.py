"""A given message made fit for any wire: headers in ASCII, no long lines, MIME where it is needed.

Place in flow: called by ``engine.receive.injection_content`` with a rendered message.

Invariants:
    * What is fit already stays as it is, octet for octet; only what is not is encoded.
    * Multiparts are walked by their boundaries; parts that are fit are never parsed and printed.

Standard: RFC 5322 section 2.1.1, RFC 2045, RFC 2046 section 5.1, RFC 2047.
"""

from __future__ import annotations

import re
from email.message import Message as MimeHeaders

from engine.model.header_encoding import (
    LINE_MAX,
    clean_value,
    encode_header,
    fold_field,
    is_field_name,
)
from engine.model.transfer_encoding import base64_lines, quoted_printable_lines

_TOO_LONG = re.compile(rb"[^\r\n]{%d}" % (LINE_MAX + 1))
#: Multiparts inside each other: deeper ones are left as they are.
_DEPTH_MAX = 20

Fields = list[tuple[str, list[str]]]


def repair_message(head: list[str], body: bytes) -> bytes:
    """Return the message, encoded where it must be, with a MIME-Version.

    Args:
        head: The lines of its header section.
        body: Its body, with CRLF line ends.

    Raises:
        ValueError: The header section holds a line that is no header.
    """
    fields = _parse_fields(head)
    if not fields:
        raise ValueError("the content has no headers")
    if "mime-version" not in {name.lower() for name, _ in fields}:
        fields.append(("MIME-Version", ["1.0"]))
    return _encode_part(fields, body, 0)


def _parse_fields(lines: list[str]) -> Fields:
    fields: Fields = []
    for line in lines:
        if line[:1] in (" ", "\t") and fields:
            # A line of blanks would end the header for some readers.
            if line.strip():
                fields[-1][1].append(line)
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not is_field_name(name):
            raise ValueError(f"no header: {line[:60]!r}")
        fields.append((name, [value.strip(" \t")]))
    return fields


def _write_fields(fields: Fields) -> bytes:
    return b"".join(_write_field(name, rows) for name, rows in fields)


def _write_field(name: str, rows: list[str]) -> bytes:
    text = "\r\n".join([f"{name}: {rows[0]}".rstrip(), *rows[1:]])
    if text.isascii() and text.replace("\r\n", "").replace("\t", "").isprintable():
        if all(len(row) <= LINE_MAX for row in text.split("\r\n")):
            return text.encode() + b"\r\n"
        return fold_field(name, clean_value(" ".join(rows)))
    return encode_header(name, " ".join(rows))


def _is_fit(body: bytes) -> bool:
    return body.isascii() and b"\x00" not in body and _TOO_LONG.search(body) is None


def _encode_part(fields: Fields, body: bytes, depth: int) -> bytes:
    """Return a part, encoded where it must be."""
    if _is_fit(body) or depth > _DEPTH_MAX:
        return _write_fields(fields) + b"\r\n" + body
    headers = MimeHeaders()
    for name, rows in fields:
        if name.lower() in ("content-type", "content-transfer-encoding"):
            headers[name] = clean_value(" ".join(rows))
    main = headers.get_content_maintype()
    boundary = headers.get_boundary()
    if main == "multipart" and boundary:
        return _write_fields(fields) + b"\r\n" + _encode_multipart(boundary, body, depth)
    encoding = str(headers.get("content-transfer-encoding", "7bit")).lower().strip()
    if main == "message" or encoding not in ("7bit", "8bit", "binary"):
        return _write_fields(fields) + b"\r\n" + body
    kept = [f for f in fields if f[0].lower() != "content-transfer-encoding"]
    if main != "text":
        kept.append(("Content-Transfer-Encoding", ["base64"]))
        return _write_fields(kept) + b"\r\n" + base64_lines(body)
    kept, body = _in_declared_charset(headers, kept, body)
    kept.append(("Content-Transfer-Encoding", ["quoted-printable"]))
    return _write_fields(kept) + b"\r\n" + quoted_printable_lines(body)


def _in_declared_charset(headers: MimeHeaders, fields: Fields, body: bytes) -> tuple[Fields, bytes]:
    """Return fields and body that agree on a charset; the request was UTF-8, whatever it says."""
    charset = str(headers.get_param("charset", "") or "").lower()
    if charset not in ("", "utf-8", "us-ascii"):
        try:
            return fields, body.decode("utf-8", "replace").encode(charset)
        except (LookupError, UnicodeEncodeError):
            charset = ""
    if charset != "utf-8":
        if "content-type" not in headers:
            headers["Content-Type"] = "text/plain"
        headers.set_param("charset", "utf-8")
        fields = [f for f in fields if f[0].lower() != "content-type"]
        fields.append(("Content-Type", [clean_value(str(headers["content-type"]))]))
    return fields, body


def _encode_multipart(boundary: str, body: bytes, depth: int) -> bytes:
    delimiter = re.compile(
        rb"(?:\A|\r\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?:\r\n|\Z)"
    )
    marks = list(delimiter.finditer(body))
    if not marks:
        return body
    out = [_ascii_only(body[: marks[0].start()])]
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        out.append(mark[0])
        end = following.start() if following is not None else len(body)
        content = body[mark.end() : end]
        if mark[1]:
            # The epilogue: nobody reads it.
            out.append(_ascii_only(content))
            break
        out.append(_encode_inner(content, depth + 1))
    return b"".join(out)


def _ascii_only(octets: bytes) -> bytes:
    return octets if _is_fit(octets) else b""


def _encode_inner(content: bytes, depth: int) -> bytes:
    if _is_fit(content):
        return content
    if content.startswith(b"\r\n"):
        return _encode_part([], content[2:], depth)
    head, _, body = content.partition(b"\r\n\r\n")
    try:
        fields = _parse_fields(head.decode("utf-8", "replace").split("\r\n"))
    except ValueError:
        return _encode_part([], content, depth)
    return _encode_part(fields, body, depth)
