"""Metrics as text and as JSON, in pieces small enough to stop between any two.

Place in flow: ``engine.base.metrics`` walks its families, this writes them; sent by
``engine.base.http_answer``.

Invariants:
    * The whole is never built: pieces have about ``CHUNK_CHARS``. An empty piece is a place to
      pause where a long walk has nothing to say yet.

Standard: Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.base.metrics import Histogram

#: Characters of one piece.
CHUNK_CHARS = 4096
_quote = json.encoder.encode_basestring_ascii


def write_text(events: Iterable[Any], prefix: str) -> Iterator[str]:
    """Yield the text exposition in pieces; metrics without a series are left out.

    Args:
        events: The declaration of each metric, followed by its series (label values, value); None
            is a place to pause.
        prefix: Put before every name.
    """
    return _in_chunks(_text_lines(events, prefix))


def write_json(events: Iterable[Any], prefix: str) -> Iterator[str]:
    """Yield one JSON object in pieces; metrics without a series are null. See ``write_text``."""
    return _in_chunks(_json_pieces(events, prefix))


def _in_chunks(pieces: Iterable[str | None]) -> Iterator[str]:
    gathered: list[str] = []
    chars = 0
    for piece in pieces:
        if piece is not None:
            gathered.append(piece)
            chars += len(piece)
            if chars < CHUNK_CHARS:
                continue
        yield "".join(gathered)
        gathered.clear()
        chars = 0
    if gathered:
        yield "".join(gathered)


# -- text -------------------------------------------------------------------------------------


def _text_lines(events: Iterable[Any], prefix: str) -> Iterator[str | None]:
    name = header = head = ""
    heads: tuple[str, ...] = ()
    is_single = False
    for event in events:
        if type(event) is tuple:
            if header:
                yield header
                header = ""
            labels, value = event
            if is_single and type(value) is int:
                # What there are a million of.
                yield f'{head}{_escape(labels[0])}"}} {value}\n'
                continue
            body = ",".join(
                [f'{part}{_escape(text)}"' for part, text in zip(heads, labels, strict=True)]
            )
            if isinstance(value, int | float):
                braces = f"{{{body}}}" if body else ""
                yield f"{name}{braces} {_number(value)}\n"
            else:
                yield from _histogram_lines(name, body, value)
        elif event is None:
            yield None
        else:
            name = prefix + event.name
            heads = tuple([f'{label}="' for label in event.labels])
            is_single = len(heads) == 1
            head = f"{name}{{{heads[0]}" if is_single else ""
            header = f"# TYPE {name} {event.kind}\n"
            if event.help:
                header = f"# HELP {name} {_escape_help(event.help)}\n{header}"


def _histogram_lines(name: str, body: str, histogram: Histogram) -> Iterator[str]:
    buckets = histogram.cumulative()
    before = f"{body}," if body else ""
    braces = f"{{{body}}}" if body else ""
    for bound, total in buckets:
        yield f'{name}_bucket{{{before}le="{_number(bound)}"}} {total}\n'
    yield f"{name}_sum{braces} {_number(histogram.sum)}\n"
    yield f"{name}_count{braces} {buckets[-1][1]}\n"


def _escape(value: str) -> str:
    if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return value
    value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if isinstance(value, float):
        if math.isinf(value):
            return "+Inf" if value > 0 else "-Inf"
        if math.isnan(value):
            return "NaN"
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
    return str(value)


# -- JSON -------------------------------------------------------------------------------------


def _json_pieces(events: Iterable[Any], prefix: str) -> Iterator[str | None]:
    names: tuple[str, ...] = ()
    before, end = "{", "{}"
    is_empty = True
    for event in events:
        if event is None:
            yield None
            continue
        if type(event) is tuple:
            yield (_opening(names) if is_empty else ",\n") + _json_sample(names, *event)
            is_empty = False
            continue
        if end != "{}":
            yield _closing(names, is_empty=is_empty)
        names, is_empty = event.labels, True
        head: dict[str, Any] = {"help": event.help} if event.help else {}
        head["type"] = event.kind
        yield f'{before}{json.dumps(prefix + event.name)}:{json.dumps(head)[:-1]}, "value":'
        before, end = ",\n", "}\n"
    if end != "{}":
        yield _closing(names, is_empty=is_empty)
    yield end


def _opening(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    return f"{{{json.dumps(names[0])}:{{" if len(names) == 1 else "["


def _closing(names: tuple[str, ...], *, is_empty: bool) -> str:
    if is_empty:
        return "null}"
    if not names:
        return "}"
    return "}}}" if len(names) == 1 else "]}"


def _json_sample(names: tuple[str, ...], labels: tuple[str, ...], value: Any) -> str:
    number = str(value) if type(value) is int else json.dumps(_json_number(value))
    if not names:
        return number
    if len(names) == 1:
        return f"{_quote(labels[0])}:{number}"
    pairs = [f"{_quote(name)}: {_quote(text)}, " for name, text in zip(names, labels, strict=True)]
    return f'{{{"".join(pairs)}"@":{number}}}'


def _json_number(value: float | Histogram) -> Any:
    if isinstance(value, int | float):
        # JSON has neither infinity nor NaN.
        return value if math.isfinite(value) else None
    buckets = value.cumulative()
    count = buckets[-1][1]
    return {
        "count": count,
        "sum": value.sum,
        "avg": value.sum / count if count else 0.0,
        "bucket": [list(bucket) for bucket in buckets[:-1]],
    }
