"""Octets of a message into a tree of MIME parts.

Place in flow: called for scripts (``msg.parse_mime()``, ``mimepart.parse``), for
``engine.model.conformance`` and for the readers of reports.

Invariants:
    * The octets of the tree are those that were parsed, whatever they are.
    * Work grows by the length and a bounded number of levels; a hostile message is refused.

Standard: RFC 2046, 5.1. Lines may end in LF alone, the last part may lack its end: both come.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.model.mime_headers import HeaderMap, split_headers
from engine.model.mime_params import MimeParams
from engine.model.mime_part import DEFAULT_TYPE, MimePart, default_of
from engine.model.mime_tally import DEPTH_MAX, PARTS_MAX, Tally

_REST_OF_LINE = re.compile(rb"[ \t]*(?:\r?\n|\Z)")


def parse(content: bytes | str) -> MimePart:
    """Return a message as a tree of parts.

    Raises:
        ValueError: It has too many parts, or they are nested too deeply.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogateescape")
    if not isinstance(content, bytes):
        raise TypeError(f"wants bytes or text, not {type(content).__name__}")
    tally = Tally(len(content))
    root = _make(content, "0", 0, tally, DEFAULT_TYPE, is_part=False)
    stack: list[tuple[MimePart, tuple[bytes, ...]]] = [(root, ())]
    while stack:
        part, around = stack.pop()
        boundary = part._boundary
        if boundary is None or boundary in around:
            # Inside a multipart of the same boundary each line of it would be the outer one's.
            continue
        tally.scan(len(part._content), len(content))
        _divide(part, boundary, tally)
        stack.extend((child, (*around, boundary)) for child in part._children or ())
    return root


def _make(
    content: bytes, part_id: str, depth: int, tally: Tally, default: MimeParams, *, is_part: bool
) -> MimePart:
    fields, end, start = split_headers(content, is_part=is_part)
    return MimePart(
        HeaderMap(fields),
        content[end:start],
        content[start:],
        part_id=part_id,
        depth=depth,
        tally=tally,
        default=default,
    )


def _divide(part: MimePart, boundary: bytes, tally: Tally) -> None:
    """Turn a leaf into a multipart: cut its body at the boundary lines."""
    body = part._content
    cuts = list(_find_boundaries(body, boundary, tally))
    part._children = []
    if not cuts:
        return
    if part._depth >= DEPTH_MAX:
        raise ValueError(f"MIME parts are nested deeper than {DEPTH_MAX}")
    part._content = body[: cuts[0][0]]
    default = default_of(part._type.value)
    for index, (start, end, is_close) in enumerate(cuts):
        if is_close:
            part._close, part._epilogue = body[start:end], body[end:]
            return
        stop = cuts[index + 1][0] if index + 1 < len(cuts) else len(body)
        tally.grow(1, 0)
        part._delimiters.append(body[start:end])
        part_id = f"{part._id}.{index + 1}"
        child = _make(body[end:stop], part_id, part._depth + 1, tally, default, is_part=True)
        part._children.append(child)


def _find_boundaries(body: bytes, boundary: bytes, tally: Tally) -> Iterator[tuple[int, int, bool]]:
    """Yield start and end of each boundary line, and whether it is the last; none follows that."""
    mark = b"--" + boundary
    position = floor = count = 0
    while (hit := body.find(mark, position)) >= 0:
        position = hit + len(mark)
        is_close = body.startswith(b"--", position)
        rest = _REST_OF_LINE.match(body, position + 2 * is_close)
        if rest is None or (hit > 0 and body[hit - 1] != 0x0A):
            tally.near_miss()
            continue
        start = hit
        # The line end before it is part of it (RFC 2046, 5.1.1), if no boundary line had it.
        if start > floor:
            start -= 1
            if start > floor and body[start - 1] == 0x0D:
                start -= 1
        yield start, rest.end(), is_close
        if is_close:
            return
        count += 1
        if count > PARTS_MAX:
            raise ValueError(f"more than {PARTS_MAX} MIME parts")
        position = floor = rest.end()
