"""What a DKIM signature covers and how it is written: canonical forms, selection, folding.

Place in flow: ``engine.base.dkim_signer`` hashes and signs what this makes. No keys, no clock.

Invariants:
    * Content is in wire form (``wire_form``): every line ends with CRLF, no bare CR or LF. What is
      hashed is what the peer gets.
    * A body is worked on in pieces of ``PIECE_BYTES`` or one line: no call holds the interpreter
      for longer, however large the message.

Standard: RFC 6376 sections 3.4, 3.5, 3.7 and 5.4; RFC 8301.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

#: Octets of a body canonicalised at once.
PIECE_BYTES = 128 * 1024
#: The longest line of a signature field, without CRLF (RFC 5322, 2.1.1).
LINE_MAX = 78
_NAME = b"DKIM-Signature"
_OWN = _NAME.lower()
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_FIELD_BREAK = re.compile(rb"\r\n(?![ \t])")

#: A header field: its name in lower case, and its octets without the last CRLF.
Field = tuple[bytes, bytes]


class Canonicalization(Enum):
    """How much a message may change on its way before its signature breaks."""

    RELAXED = "Relaxed"
    SIMPLE = "Simple"


def wire_form(content: bytes) -> bytes:
    """Return content as it goes over the wire: lines end with CRLF, the last one too."""
    pairs = content.count(b"\r\n")
    if content.count(b"\n") != pairs or content.count(b"\r") != pairs:
        content = _BARE.sub(b"\r\n", content)
    return content if content.endswith(b"\r\n") else content + b"\r\n"


# -- body -------------------------------------------------------------------------------------


def iter_canonical_body(content: bytes, start: int, kind: Canonicalization) -> Iterator[bytes]:
    """Yield the canonical body, piece by piece.

    Args:
        content: A message in wire form.
        start: Where its body begins.
        kind: The canonicalisation.
    """
    if kind is Canonicalization.SIMPLE:
        return _iter_simple(content, start)
    return _iter_relaxed(content, start)


def _iter_simple(content: bytes, start: int) -> Iterator[bytes]:
    end = _end_of_text(content, start)
    position = start
    while position < end:
        yield content[position : min(position + PIECE_BYTES, end)]
        position += PIECE_BYTES
    # A body without text is one CRLF (RFC 6376, 3.4.3).
    yield b"\r\n"


def _end_of_text(content: bytes, start: int) -> int:
    """Return where the last line that is not empty ends, before its CRLF."""
    end = len(content)
    while end > start:
        begin = max(start, end - PIECE_BYTES)
        left = len(content[begin:end].rstrip(b"\r\n"))
        if left:
            return begin + left
        end = begin
    return start


def _iter_relaxed(content: bytes, start: int) -> Iterator[bytes]:
    # Line ends are held back until text follows: those at the end of the body do not count.
    held = 0
    has_text = False
    while start < len(content):
        newline = content.find(b"\n", start + PIECE_BYTES)
        end = len(content) if newline < 0 else newline + 1
        piece = b"\r\n".join(_reduce_blanks(content[start:end]).split(b" \r\n"))
        text = piece.rstrip(b"\r\n")
        if text:
            yield b"\r\n" * held + text
            has_text, held = True, 0
        held += (len(piece) - len(text)) // 2
        start = end
    if has_text:
        yield b"\r\n"


def _reduce_blanks(octets: bytes) -> bytes:
    """Return the octets with each run of spaces and tabs as one space."""
    if b"\t" in octets:
        octets = octets.replace(b"\t", b" ")
    # Each round halves every run, so that their number is the logarithm of the longest.
    while b"  " in octets:
        if len(octets) <= 2 * PIECE_BYTES:
            # bytes.replace searches everything twice.
            octets = b" ".join(octets.split(b"  "))
        else:
            # A line of megabytes, all blanks, would become millions of parts.
            octets = octets.replace(b"  ", b" ")
    return octets


# -- header -----------------------------------------------------------------------------------


def split_fields(header: bytes) -> list[Field]:
    """Return the fields of a header block, in order; what is no field is left out.

    Args:
        header: Lines in wire form, without the empty line at the end.
    """
    fields = []
    for raw in _FIELD_BREAK.split(header.removesuffix(b"\r\n")):
        name, colon, _ = raw.partition(b":")
        if colon:
            fields.append((name.rstrip(b" \t").lower(), raw))
    return fields


def canonical_field(raw: bytes, kind: Canonicalization) -> bytes:
    """Return the canonical form of a field, without CRLF at its end."""
    if kind is Canonicalization.SIMPLE:
        return raw
    name, _, value = raw.partition(b":")
    if b"\r\n" in value:
        value = value.replace(b"\r\n", b"")
    return name.rstrip(b" \t").lower() + b":" + _reduce_blanks(value).strip(b" ")


def select_fields(fields: Sequence[Field], names: Sequence[bytes]) -> list[bytes]:
    """Return the fields that a list of names selects, in the order of the names.

    The k-th mention of a name selects the k-th field of that name from the bottom; a mention
    beyond the last selects nothing (RFC 6376, 5.4.2).

    Args:
        fields: The fields of the message, from the top.
        names: Names in lower case.
    """
    stacks: dict[bytes, list[bytes]] = {name: [] for name in names}
    for name, raw in fields:
        if name in stacks:
            stacks[name].append(raw)
    return [stacks[name].pop() for name in names if stacks[name]]


def list_names(
    fields: Sequence[Field], names: Sequence[bytes], *, over_sign: bool
) -> Sequence[bytes]:
    """Return the names that a signature lists.

    A name that the message has no field of stays: nobody can then add one without breaking the
    signature. Only signatures are listed as often as there are any, for a verifier would take the
    next mention for the signature it is looking at (RFC 6376, 3.5).

    Args:
        fields: The fields of the message.
        names: What the signer is to sign, in lower case.
        over_sign: List each name once more than the message has fields of it.
    """
    if not over_sign and _OWN not in names:
        return names
    counts = dict.fromkeys(names, 1)
    counts[_OWN] = 0
    for name, _ in fields:
        if name in counts:
            counts[name] += 1
    if over_sign:
        return [name for name in dict.fromkeys(names) for _ in range(counts[name])]
    listed = []
    for name in names:
        if name == _OWN:
            counts[_OWN] -= 1
            if counts[_OWN] < 0:
                continue
        listed.append(name)
    return listed


# -- the signature field ----------------------------------------------------------------------


def format_unsigned(tags: Mapping[str, str], names: Sequence[bytes]) -> bytes:
    """Return a signature field up to the value of ``b=``, folded, as it is signed.

    Args:
        tags: Values by tag, in the order in which they are to stand; that of ``h`` is not used.
        names: The header fields of the tag ``h``.
    """
    lines = [_NAME + b":"]
    for tag, value in tags.items():
        if tag == "h":
            _add_names(lines, names)
        else:
            _add(lines, b" ", f"{tag}={value};".encode("ascii"))
    return b"\r\n\t".join([*lines, b"b="])


def _add_names(lines: list[bytes], names: Sequence[bytes]) -> None:
    last = len(names) - 1
    for index, name in enumerate(names):
        before, gap = (b"", b"") if index else (b"h=", b" ")
        _add(lines, gap, before + name + (b";" if index == last else b":"))


def _add(lines: list[bytes], gap: bytes, token: bytes) -> None:
    """Put a token on the last line where it fits, else on a new one."""
    # The tab that begins each line but the first, and the gap, count too.
    if len(lines[-1]) + len(gap) + len(token) + 1 <= LINE_MAX:
        lines[-1] += gap + token
    else:
        lines.append(token)


def format_signed(unsigned: bytes, signature: str) -> bytes:
    """Return the whole signature field with its CRLF.

    Args:
        unsigned: What ``format_unsigned`` made.
        signature: The value of ``b=`` in base64; it is folded here.
    """
    octets = signature.encode("ascii")
    width = LINE_MAX - len("\tb=")
    pieces = [octets[at : at + width] for at in range(0, len(octets), width)]
    return unsigned + b"\r\n\t".join(pieces) + b"\r\n"
