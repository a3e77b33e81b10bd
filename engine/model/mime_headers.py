"""Header fields as a list that keeps the octets of those nobody touches.

Place in flow: the headers of each ``engine.model.mime_part``; scripts hold them as
``part.headers``.

Invariants:
    * ``bytes(headers)`` is what was parsed, until a field is set, and then all but that field.
    * Lines that are no field stay where they are and are not seen.
    * A value that is set makes one field: its line breaks become blanks.

Standard: RFC 5322, 2.2 and 3.6; RFC 2047; RFC 6532 (octets beyond ASCII are UTF-8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from engine.model.address_list import (
    Address,
    Mailbox,
    format_address_list,
    parse_address_list,
    parse_mailbox_list,
    strip_comments,
)
from engine.model.authentication_results import (
    AuthenticationResults,
    parse_authentication_results,
)
from engine.model.header_block import decode_value
from engine.model.header_encoding import (
    clean_value,
    encode_header,
    encode_unstructured,
    fold_field,
    is_field_name,
)
from engine.model.mime_params import (
    MimeParams,
    format_mime_params,
    parse_mime_params,
    to_mime_params,
)

FIELDS_MAX = 20_000
_FIELD = re.compile(rb"[^\n]*\n?(?:[ \t][^\n]*\n?)*")
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_FOLDING = re.compile(r"\r?\n(?=[ \t])")
_BARE_BREAK = re.compile(r"\r(?!\n[ \t])|(?<!\r)\n|\x00")
_MESSAGE_ID = re.compile(r"<([^<>]+)>")
_BARE_ID = re.compile(r"[^\s<>]+")

_ADDRESS_LISTS = frozenset({"bcc", "cc", "reply-to", "resent-bcc", "resent-cc", "resent-to", "to"})
_MAILBOX_LISTS = frozenset({"from", "resent-from"})
_MAILBOXES = frozenset({"resent-sender", "sender"})
_MESSAGE_IDS = frozenset({"content-id", "message-id", "resent-message-id"})
_MESSAGE_ID_LISTS = frozenset({"in-reply-to", "references"})
_PARAMS = frozenset({"content-disposition", "content-type"})
#: Values in which encoded words would be wrong: they are written as they are.
_TOKENS = frozenset({"content-transfer-encoding", "mime-version"})


class Header:
    """One field: its name, and its value in the form one asks for. What is assigned is encoded."""

    __slots__ = ("_name", "_raw")
    __script_writable__ = frozenset(
        {
            "address_list",
            "mailbox_list",
            "message_id",
            "message_id_list",
            "mime_params",
            "raw_value",
            "unstructured",
            "value",
        }
    )

    def __init__(self, name: str, raw: bytes) -> None:
        self._name = name
        self._raw = raw

    def __repr__(self) -> str:
        return f"<Header {self._name}>"

    @property
    def name(self) -> str:
        """Return the name as written."""
        return self._name

    @property
    def raw_value(self) -> str:
        """Return what stands behind the colon, folded and encoded as it is."""
        value = self._raw.partition(b":")[2].decode("utf-8", "surrogateescape")
        return value.removesuffix("\n").removesuffix("\r").removeprefix(" ")

    @raw_value.setter
    def raw_value(self, text: str) -> None:
        flat = _FOLDING.sub("", _text(text))
        if _BARE_BREAK.search(flat):
            raise ValueError("a value has line breaks only where it is folded")
        value = text.replace("\r\n", "\n").replace("\n", "\r\n")
        self._raw = f"{self._name}: {value}\r\n".encode("utf-8", "surrogateescape")

    def _unfolded(self) -> str:
        """Return the value in one line, its encoded words as they are."""
        raw = self._raw.partition(b":")[2].decode("utf-8", "replace")
        return raw.replace("\r\n", "").replace("\n", "").strip()

    @property
    def unstructured(self) -> str:
        """Return the value as text, unfolded and decoded."""
        return decode_value(self._raw.partition(b":")[2].removesuffix(b"\n").removesuffix(b"\r"))

    @unstructured.setter
    def unstructured(self, text: str) -> None:
        self._raw = encode_unstructured(self._name, _text(text))

    @property
    def address_list(self) -> list[Address]:
        """Return mailboxes and groups."""
        return parse_address_list(self._unfolded())

    @address_list.setter
    def address_list(self, value: Any) -> None:
        self._raw = fold_field(self._name, format_address_list(value))

    @property
    def mailbox_list(self) -> list[Mailbox]:
        """Return mailboxes."""
        return parse_mailbox_list(self._unfolded())

    @mailbox_list.setter
    def mailbox_list(self, value: Any) -> None:
        text = format_address_list(value)
        parse_mailbox_list(text)
        self._raw = fold_field(self._name, text)

    @property
    def message_id(self) -> str:
        """Return the message id without its angle brackets."""
        found = self.message_id_list
        if len(found) != 1:
            raise ValueError(f"{self._name} holds {len(found)} message ids, not one")
        return found[0]

    @message_id.setter
    def message_id(self, value: str) -> None:
        self._raw = fold_field(self._name, _format_id(value))

    @property
    def message_id_list(self) -> list[str]:
        """Return message ids without their angle brackets."""
        text = strip_comments(self._unfolded())
        if "<" not in text:
            return _BARE_ID.findall(text)
        return ["".join(found.split()) for found in _MESSAGE_ID.findall(text)]

    @message_id_list.setter
    def message_id_list(self, value: Any) -> None:
        values = [value] if isinstance(value, str) else list(value)
        self._raw = fold_field(self._name, " ".join(map(_format_id, values)))

    @property
    def mime_params(self) -> MimeParams:
        """Return a media type or disposition, and its parameters."""
        return parse_mime_params(self._unfolded())

    @mime_params.setter
    def mime_params(self, value: Any) -> None:
        self._raw = fold_field(self._name, format_mime_params(to_mime_params(value)))

    @property
    def authentication_results(self) -> AuthenticationResults:
        """Return who checked the message, and what was found."""
        return parse_authentication_results(self._unfolded())

    @property
    def value(self) -> Any:
        """Return the value in the form that the name asks for: addresses, ids, text."""
        name = self._name.lower()
        if name in _MAILBOXES:
            return _single(self)
        return _READERS.get(name, _read_text)(self)

    @value.setter
    def value(self, value: Any) -> None:
        name = self._name.lower()
        if name in _ADDRESS_LISTS:
            self.address_list = value
        elif name in _MAILBOX_LISTS or name in _MAILBOXES:
            self.mailbox_list = value
        elif name in _MESSAGE_IDS:
            self.message_id = value
        elif name in _MESSAGE_ID_LISTS:
            self.message_id_list = value
        elif name in _PARAMS:
            self.mime_params = value
        elif name in _TOKENS:
            self._raw = fold_field(self._name, clean_value(_text(value)))
        else:
            self.unstructured = value


def _read_text(header: Header) -> Any:
    return header.unstructured


def _single(header: Header) -> Mailbox:
    found = header.mailbox_list
    if len(found) != 1:
        raise ValueError(f"{header.name} holds {len(found)} mailboxes, not one")
    return found[0]


_READERS: dict[str, Callable[[Header], Any]] = {
    **dict.fromkeys(_ADDRESS_LISTS, lambda header: header.address_list),
    **dict.fromkeys(_MAILBOX_LISTS, lambda header: header.mailbox_list),
    **dict.fromkeys(_MESSAGE_IDS, lambda header: header.message_id),
    **dict.fromkeys(_MESSAGE_ID_LISTS, lambda header: header.message_id_list),
    **dict.fromkeys(_PARAMS, lambda header: header.mime_params),
    "authentication-results": lambda header: header.authentication_results,
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"wants text, not {type(value).__name__}")
    return value


def _format_id(value: Any) -> str:
    text = _text(value).strip().removeprefix("<").removesuffix(">")
    if not text or not text.isascii() or re.search(r"[\s<>\x00-\x1f\x7f]", text) or len(text) > 900:
        raise ValueError(f"no message id: {value[:100]!r}")
    return f"<{text}>"


def split_headers(content: bytes, *, is_part: bool) -> tuple[list[Header], int, int]:
    """Return the fields of a header section, where it ends and where the body begins.

    Args:
        content: A message or a part, with lines that end in CRLF or LF.
        is_part: Of a multipart: one whose first line is no field has no header at all.

    Raises:
        ValueError: There are too many fields.
    """
    fields: list[Header] = []
    position, end = 0, len(content)
    while position < end:
        if content.startswith((b"\r\n", b"\n"), position):
            return fields, position, content.index(b"\n", position) + 1
        match = _FIELD.match(content, position)
        assert match is not None
        name = _NAME.match(content, position, match.end())
        if name is None and is_part and not fields:
            return [], 0, 0
        fields.append(Header(name[1].decode() if name else "", match[0]))
        if len(fields) > FIELDS_MAX:
            raise ValueError(f"more than {FIELDS_MAX} header fields")
        position = match.end()
    return fields, end, end


def _getter(name: str) -> Callable[[HeaderMap], Any]:
    def get(self: HeaderMap) -> Any:
        found = self.get_first_named(name)
        return None if found is None else found.value

    get.__doc__ = f"Return the value of {name}, or None."
    return get


def _setter(name: str) -> Callable[[HeaderMap, Any], None]:
    def set_(self: HeaderMap, value: Any) -> None:
        self._set(name, value)

    set_.__doc__ = f"Set {name}: the first such field, or a new one behind all others."
    return set_


class HeaderMap:
    """The fields of a message or part, in order."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[Header] | None = None) -> None:
        self._fields = [] if fields is None else fields

    def __bytes__(self) -> bytes:
        return b"".join([field._raw for field in self._fields])

    def __repr__(self) -> str:
        return f"<HeaderMap of {len(self._fields)}>"

    def __iter__(self) -> Iterator[Header]:
        return iter([field for field in self._fields if field._name])

    def iter(self, name: str | None = None) -> Iterator[Header]:
        """Return an iterator over the fields, or those of one name."""
        if name is None:
            return iter(self)
        wanted = _text(name).lower()
        return iter([field for field in self._fields if field._name.lower() == wanted])

    def get_first_named(self, name: str) -> Header | None:
        """Return the first field of a name, or None."""
        return next(self.iter(name), None)

    def append(self, name: str, value: str) -> None:
        """Put a field behind all others."""
        self._end_last_line()
        self._insert(len(self._fields), name, value)

    def prepend(self, name: str, value: str) -> None:
        """Put a field in front of all others."""
        self._insert(0, name, value)

    def remove_all_named(self, name: str) -> None:
        """Remove every field of a name."""
        wanted = _text(name).lower()
        if wanted:
            self._fields = [field for field in self._fields if field._name.lower() != wanted]

    def _insert(self, position: int, name: str, value: str) -> None:
        if not is_field_name(_text(name)):
            raise ValueError(f"{name[:100]!r} is no header field name")
        if len(self._fields) >= FIELDS_MAX:
            raise ValueError(f"more than {FIELDS_MAX} header fields")
        self._fields.insert(position, Header(name, encode_header(name, _text(value))))

    def _end_last_line(self) -> None:
        if self._fields and not self._fields[-1]._raw.endswith(b"\n"):
            self._fields[-1]._raw += b"\r\n"

    def _set(self, name: str, value: Any) -> None:
        found = self.get_first_named(name)
        if found is None:
            made = Header(name, b"")
            made.value = value
            self._end_last_line()
            self._fields.append(made)
        else:
            found.value = value

    def _copy(self) -> HeaderMap:
        return HeaderMap([Header(field._name, field._raw) for field in self._fields])

    bcc, set_bcc = _getter("Bcc"), _setter("Bcc")
    cc, set_cc = _getter("Cc"), _setter("Cc")
    comments, set_comments = _getter("Comments"), _setter("Comments")
    content_disposition = _getter("Content-Disposition")
    set_content_disposition = _setter("Content-Disposition")
    content_id, set_content_id = _getter("Content-ID"), _setter("Content-ID")
    content_transfer_encoding = _getter("Content-Transfer-Encoding")
    set_content_transfer_encoding = _setter("Content-Transfer-Encoding")
    content_type, set_content_type = _getter("Content-Type"), _setter("Content-Type")
    #: ``from`` is a word of Python.
    from_, set_from = _getter("From"), _setter("From")
    message_id, set_message_id = _getter("Message-ID"), _setter("Message-ID")
    mime_version, set_mime_version = _getter("MIME-Version"), _setter("MIME-Version")
    references, set_references = _getter("References"), _setter("References")
    reply_to, set_reply_to = _getter("Reply-To"), _setter("Reply-To")
    resent_bcc, set_resent_bcc = _getter("Resent-Bcc"), _setter("Resent-Bcc")
    resent_cc, set_resent_cc = _getter("Resent-Cc"), _setter("Resent-Cc")
    resent_from, set_resent_from = _getter("Resent-From"), _setter("Resent-From")
    resent_sender, set_resent_sender = _getter("Resent-Sender"), _setter("Resent-Sender")
    resent_to, set_resent_to = _getter("Resent-To"), _setter("Resent-To")
    sender, set_sender = _getter("Sender"), _setter("Sender")
    subject, set_subject = _getter("Subject"), _setter("Subject")
    to, set_to = _getter("To"), _setter("To")
