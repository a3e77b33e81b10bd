"""Header fields as octets: encoded words, quoted names, folding.

Place in flow: called by whatever writes a header: ``engine.receive.injection_content``,
``engine.model.mime_headers``, the repair of messages.

Invariants:
    * A field is one field: controls in a value, line breaks included, become blanks.
    * What ``email`` decodes from a field is what was put in, controls and outer blanks apart.
    * No line has more than 998 octets; lines are folded at 76 where there is a blank.

Standard: RFC 5322 (2.2.3, 3.2), RFC 2047, RFC 2231.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

from engine.model.address import parse_address

#: Where lines are folded when there is a blank to fold at.
FOLD_AT = 76
#: Octets of one line, whatever happens (RFC 5322, 2.1.1).
LINE_MAX = 998
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
#: Characters of a list of mailboxes that is taken apart; a longer one is encoded as text.
_LIST_MAX = 65_536
#: A token, less what RFC 2231 gives a meaning: some readers see it everywhere.
_TOKEN = re.compile(r"[A-Za-z0-9!#$&+.^_`{|}~-]+")
_ADDRESS_FIELDS = frozenset(
    {"from", "to", "cc", "bcc", "reply-to", "sender", "resent-from", "resent-to", "resent-cc"}
)
_MAILBOX = re.compile(
    r'\s*(?P<name>(?:"(?:[^"\\]|\\.)*"|[^",<>])*?)\s*<(?P<email>[^<>]*)>\s*(?:,|$)'
)
#: Octets of text in one encoded word: 75 less "=?utf-8?B?" and "?=", times 3/4.
_WORD_BYTES = 45


def is_field_name(name: str) -> bool:
    """Return whether a text may name a header field."""
    return _FIELD_NAME.fullmatch(name) is not None


def clean_value(value: str) -> str:
    """Return a value in one line: controls become blanks."""
    text = _CONTROLS.sub(" ", value).strip(" ")
    return text.encode("utf-8", "replace").decode()


def encode_unstructured(name: str, value: str) -> bytes:
    """Return the whole field of a value that is text, such as a subject."""
    text = clean_value(value)
    if not text.isascii() or "=?" in text or _longest_word(text) > LINE_MAX - len(name) - 2:
        text = " ".join(_encoded_words(text))
    return fold_field(name, text)


def _longest_word(text: str) -> int:
    return max(map(len, text.split(" ")))


def _encoded_words(text: str) -> list[str]:
    """Return the text as encoded words, none of which splits a character."""
    words: list[str] = []
    piece = bytearray()
    for character in text:
        octets = character.encode()
        if len(piece) + len(octets) > _WORD_BYTES:
            words.append(_encoded_word(bytes(piece)))
            piece.clear()
        piece += octets
    words.append(_encoded_word(bytes(piece)))
    return words


def _encoded_word(octets: bytes) -> str:
    return f"=?utf-8?B?{base64.b64encode(octets).decode()}?="


def fold_field(name: str, value: str) -> bytes:
    """Return a field of an already encoded value, folded at blanks."""
    lines: list[str] = []
    line = f"{name}:"
    for word in value.split(" "):
        # The first word stays beside the name: a line of blanks alone ends no header, but
        # some readers think it does.
        if len(line) + 1 + len(word) > FOLD_AT and line != f"{name}:":
            lines.append(line)
            line = ""
        line += " " + word
    lines.append(line)
    return "\r\n".join(lines).encode() + b"\r\n"


def format_mailbox(name: str | None, address: str) -> str:
    """Return a mailbox as it stands in a header: name encoded or quoted as needed.

    Raises:
        ValueError: The address is none.
    """
    parsed = parse_address(address)
    if not parsed:
        raise ValueError("an address is expected")
    email = address if address.isascii() else parsed.email
    display = clean_value(name or "")
    if not display:
        return email
    return f"{format_phrase(display)} <{email}>"


def format_phrase(text: str) -> str:
    """Return a display name as atoms, as a quoted string or as encoded words."""
    is_plain = text.isascii() and "=?" not in text and len(text) < LINE_MAX // 2
    if is_plain and _ATOMS.fullmatch(text):
        return text
    if is_plain:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return " ".join(_encoded_words(text))


def format_parameter(name: str, value: str) -> str:
    """Return a MIME parameter, by RFC 2231 where the value is not ASCII."""
    text = clean_value(value)
    if not text.isascii():
        return f"{name}*=utf-8''{quote(text, safe='')}"
    if _TOKEN.fullmatch(text):
        return f"{name}={text}"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'


def encode_header(name: str, text: str) -> bytes:
    """Return the field of a value; address fields keep what only they may have."""
    value = clean_value(text)
    if value.isascii() and "=?" in value:
        # Encoded by the sender already: once is enough.
        return fold_field(name, value)
    if name.lower() in _ADDRESS_FIELDS and not value.isascii() and len(value) < _LIST_MAX:
        return fold_field(name, _encode_mailboxes(value))
    return encode_unstructured(name, value)


def _encode_mailboxes(value: str) -> str:
    """Return a list of mailboxes with the names encoded, the addresses left as they are."""
    out: list[str] = []
    position = 0
    while position < len(value):
        match = _MAILBOX.match(value, position)
        if match is None:
            rest = value[position:].strip()
            head, comma, tail = rest.partition(",")
            out.append(format_mailbox(None, head.strip()))
            position = len(value) - len(tail) if comma else len(value)
            continue
        name = match["name"].strip()
        if name.startswith('"') and name.endswith('"'):
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        out.append(format_mailbox(name, match["email"].strip()))
        position = match.end()
    return ", ".join(out)
