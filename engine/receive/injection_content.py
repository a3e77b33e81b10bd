"""The content of an injection: texts and attachments in, one message per recipient out.

Place in flow: compiled once per request by ``engine.receive.http_injection``, built for each
recipient in a thread.

Invariants:
    * A value never makes a header of its own: its line breaks end in a blank there.
    * What is built has CRLF line ends only and no line over 998 octets.
    * Templates are expanded before they are encoded: a name with a comma or an umlaut is quoted
      or encoded whatever it came from.
    * Attachments are encoded once per request and never templated.

Standard: RFC 5322, RFC 2045 to 2047, RFC 2387 (related).
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from typing import Any

import msgspec

from engine.model.header_encoding import (
    clean_value,
    encode_header,
    fold_field,
    format_mailbox,
    format_parameter,
    is_field_name,
)
from engine.model.transfer_encoding import base64_lines, quoted_printable_lines
from engine.receive.message_repair import repair_message
from engine.receive.template_dialect import (
    LINE_MARK,
    RenderText,
    TemplateDialect,
    TemplateError,
    compile_text,
)

_LINE_ENDS = re.compile(r"\r\n|\r|\n|" + LINE_MARK)
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:\s*;.*)?")
_LONG_LINE = re.compile(rb"[^\r\n]{999}")
#: Headers that say how the content is put together: ours to write.
_STRUCTURE = frozenset({"content-type", "content-transfer-encoding"})

Variables = Mapping[str, Any]
#: Return the message for these variables.
Build = Callable[[Variables], bytes]


class ContentError(ValueError):
    """The content cannot become a message; ``field`` says which part of the request is wrong."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class Attachment(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A file to attach; with ``content_id`` it is a part the HTML refers to.

    Attributes:
        data: The content.
        content_type: Its media type.
        content_id: The name by which the HTML refers to it.
        file_name: The name to save it by.
        base64: Whether ``data`` is base64 instead of text.
    """

    data: str
    content_type: str
    content_id: str | None = None
    file_name: str | None = None
    base64: bool = False


class Mailbox(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """An address with its display name.

    Attributes:
        email: The address.
        name: The name to show.
    """

    email: str
    name: str | None = None


class ContentObject(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Content from which the message is put together.

    Attributes:
        text_body, html_body, amp_html_body: Templates of the bodies.
        attachments: Files.
        headers: Templates of further header fields.
        from: The author.
        subject: A template.
        reply_to: Where answers go.
    """

    text_body: str | None = None
    html_body: str | None = None
    amp_html_body: str | None = None
    attachments: list[Attachment] = []
    headers: dict[str, str] = {}
    from_: Mailbox | None = msgspec.field(name="from", default=None)
    subject: str | None = None
    reply_to: Mailbox | None = None


def compile_content(
    content: str | ContentObject, dialect: TemplateDialect, wall: Callable[[], float]
) -> Build:
    """Return what builds the message of each recipient.

    Args:
        content: The request's content.
        dialect: The language of its texts.
        wall: Source of the Date header.

    Raises:
        ContentError: A text is no template, or the parts make no message.
    """
    if isinstance(content, str):
        render = _compile("content", content, dialect)
        return lambda variables: _build_whole(render(variables))
    return _ContentBuilder(content, dialect, wall).build


def _compile(
    field: str, source: str, dialect: TemplateDialect, *, is_html: bool = False
) -> RenderText:
    try:
        return compile_text(source, dialect, is_html=is_html)
    except TemplateError as error:
        raise ContentError(field, str(error)) from error


def _build_whole(text: str) -> bytes:
    """Return the message of a rendered text that holds headers and body."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    head, _, body = text.partition("\n\n")
    # Only the template's own line breaks divide headers: a value's are still marked here.
    head = head.replace(LINE_MARK, " ")
    return repair_message(head.split("\n"), _crlf(body))


def _crlf(text: str) -> bytes:
    return _LINE_ENDS.sub("\r\n", text).encode("utf-8", "replace")


class _ContentBuilder:
    """Puts messages together from compiled texts."""

    def __init__(
        self, content: ContentObject, dialect: TemplateDialect, wall: Callable[[], float]
    ) -> None:
        self._wall = wall
        self._dialect = dialect
        self._bodies = list(self._compile_bodies(content))
        if not any(kind in ("text/plain", "text/html") for kind, _ in self._bodies):
            raise ContentError("content", "text_body or html_body is required")
        self._headers = list(self._compile_headers(content))
        self._names = {name.lower() for name, _ in self._headers}
        self._from = self._compile_mailbox("content.from", content.from_)
        self._reply_to = self._compile_mailbox("content.reply_to", content.reply_to)
        parts = [
            (attachment.content_id is not None, _encode_attachment(attachment, index))
            for index, attachment in enumerate(content.attachments)
        ]
        self._inline = [part for is_inline, part in parts if is_inline]
        self._attached = [part for is_inline, part in parts if not is_inline]
        # Unguessable, so that no content can hold it; the same in all messages of a request.
        self._boundary = f"=_{os.urandom(12).hex()}"

    def _compile_bodies(self, content: ContentObject) -> Iterator[tuple[str, RenderText]]:
        bodies = (
            ("text/plain", "text_body", content.text_body),
            ("text/x-amp-html", "amp_html_body", content.amp_html_body),
            ("text/html", "html_body", content.html_body),
        )
        for kind, field, source in bodies:
            if source is not None:
                is_html = kind != "text/plain"
                yield kind, _compile(f"content.{field}", source, self._dialect, is_html=is_html)

    def _compile_headers(self, content: ContentObject) -> Iterator[tuple[str, RenderText]]:
        given = {
            "from": content.from_,
            "reply-to": content.reply_to,
            "subject": content.subject,
        }
        for name, source in sorted(content.headers.items()):
            if not is_field_name(name):
                raise ContentError("content.headers", f"{name!r} is no name of a header")
            if name.lower() in _STRUCTURE:
                raise ContentError("content.headers", f"{name} follows from the content")
            if name.lower() != "mime-version" and given.get(name.lower()) is None:
                yield name, _compile(f"content.headers.{name}", source, self._dialect)
        if content.subject is not None:
            yield "Subject", _compile("content.subject", content.subject, self._dialect)

    def _compile_mailbox(
        self, field: str, mailbox: Mailbox | None
    ) -> tuple[RenderText, RenderText] | None:
        if mailbox is None:
            return None
        return (
            _compile(f"{field}.name", mailbox.name or "", self._dialect),
            _compile(f"{field}.email", mailbox.email, self._dialect),
        )

    def build(self, variables: Variables) -> bytes:
        """Return the message for these variables.

        Raises:
            TemplateError: A text cannot be rendered.
            ValueError: An address that was rendered is none.
        """
        out = [
            encode_header(name, render(variables).replace(LINE_MARK, " "))
            for name, render in self._headers
        ]
        for name, mailbox in (("From", self._from), ("Reply-To", self._reply_to)):
            if mailbox is not None:
                display, email = (render(variables) for render in mailbox)
                out.append(fold_field(name, format_mailbox(display, clean_value(email))))
        if "to" not in self._names:
            out.append(fold_field("To", str(variables["to_header"])))
        if "date" not in self._names:
            out.append(f"Date: {formatdate(self._wall())}\r\n".encode())
        out.append(b"MIME-Version: 1.0\r\n")
        out.append(self._build_parts(variables))
        return b"".join(out)

    def _build_parts(self, variables: Variables) -> bytes:
        bodies = [_encode_text(kind, _crlf(render(variables))) for kind, render in self._bodies]
        part = self._multipart("alternative", bodies)
        related = self._multipart("related", [part, *self._inline])
        return self._multipart("mixed", [related, *self._attached])

    def _multipart(self, kind: str, parts: list[bytes]) -> bytes:
        if len(parts) == 1:
            return parts[0]
        boundary = f"{self._boundary}-{kind[0]}"
        head = f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n\r\n'.encode()
        line = f"--{boundary}\r\n".encode()
        body = b"".join(line + part + b"\r\n" for part in parts)
        return head + body + f"--{boundary}--\r\n".encode()


def _encode_text(kind: str, body: bytes) -> bytes:
    """Return a text as a part: as it is if it may go over any wire, else encoded."""
    head = f"Content-Type: {kind}; charset=utf-8\r\n"
    if body.isascii() and b"\x00" not in body and _LONG_LINE.search(body) is None:
        return f"{head}Content-Transfer-Encoding: 7bit\r\n\r\n".encode() + body
    quoted = quoted_printable_lines(body)
    encoding = "quoted-printable"
    if len(quoted) > 2 * len(body):
        # Mostly beyond ASCII: quoting every octet would be longer and no more readable.
        quoted, encoding = base64_lines(body), "base64"
    return f"{head}Content-Transfer-Encoding: {encoding}\r\n\r\n".encode() + quoted


def _encode_attachment(attachment: Attachment, index: int) -> bytes:
    field = f"content.attachments[{index}]"
    data = attachment.data.encode("utf-8", "replace")
    if attachment.base64:
        try:
            data = base64.b64decode(b"".join(data.split()), validate=True)
        except binascii.Error as error:
            raise ContentError(f"{field}.data", f"no base64: {error}") from error
    media_type = clean_value(attachment.content_type)
    if not media_type.isascii() or not _MEDIA_TYPE.fullmatch(media_type):
        raise ContentError(f"{field}.content_type", f"no media type: {media_type[:100]!r}")
    is_text = media_type.lower().startswith("text/") and not attachment.base64
    if is_text and "charset" not in media_type.lower():
        media_type += "; charset=utf-8"
    is_inline = attachment.content_id is not None
    disposition = "inline" if is_inline else "attachment"
    if attachment.file_name is not None:
        disposition += "; " + format_parameter("filename", attachment.file_name)
    out = [
        fold_field("Content-Type", media_type),
        b"Content-Transfer-Encoding: base64\r\n",
        fold_field("Content-Disposition", disposition),
    ]
    if attachment.content_id is not None:
        content_id = clean_value(attachment.content_id).strip("<>").replace(" ", "")
        if not content_id.isascii() or not content_id:
            raise ContentError(f"{field}.content_id", "no content id")
        out.append(fold_field("Content-ID", f"<{content_id}>"))
    return b"".join(out) + b"\r\n" + base64_lines(data)
