"""Which metadata and which headers of a message go into its log records.

Place in flow: declared with each log directory and log hook, applied by the recorder.

Invariants:
    * Metadata names are case-sensitive, header names are not.
    * A trailing ``*`` makes a name a prefix; a name is taken once, by its first match.
    * A header that occurs several times becomes a list, in the order of the message.

Standard: RFC 5322 section 2.2 (folding), RFC 2047 (encoded words, decoded where they decode).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.model.header_block import decode_words

#: Octets of a header section looked at: bounds the work a crafted message can make.
HEADER_SECTION_MAX = 262_144


@dataclass(frozen=True, slots=True)
class RecordSelection:
    """The names one sink wants."""

    meta_names: tuple[str, ...] = ()
    meta_prefixes: tuple[str, ...] = ()
    header_names: tuple[tuple[str, str], ...] = ()
    header_prefixes: tuple[str, ...] = ()

    @property
    def wants_meta(self) -> bool:
        """Return whether any metadata is selected."""
        return bool(self.meta_names or self.meta_prefixes)

    @property
    def wants_headers(self) -> bool:
        """Return whether any header is selected."""
        return bool(self.header_names or self.header_prefixes)

    def select_meta(self, meta: Mapping[str, Any]) -> dict[str, Any]:
        """Return the selected metadata."""
        chosen = {name: meta[name] for name in self.meta_names if name in meta}
        if self.meta_prefixes:
            for name, value in meta.items():
                if name.startswith(self.meta_prefixes):
                    chosen.setdefault(name, value)
        return chosen

    def select_headers(self, data: bytes) -> dict[str, Any]:
        """Return the selected headers of a message.

        A header asked for by name is keyed as it was asked for, one taken by prefix as it
        stands in the message.

        Args:
            data: The message, or as much of it as holds its header section.
        """
        wanted = dict(self.header_names)
        chosen: dict[str, Any] = {}
        keys: dict[str, str] = {}
        for name, value in iter_headers(data):
            folded = name.lower()
            key = wanted.get(folded)
            if key is None:
                if not (self.header_prefixes and folded.startswith(self.header_prefixes)):
                    continue
                key = keys.setdefault(folded, name)
            present = chosen.get(key)
            if present is None:
                chosen[key] = value
            elif isinstance(present, list):
                present.append(value)
            else:
                chosen[key] = [present, value]
        return chosen


def make_selection(meta: Iterable[str] = (), headers: Iterable[str] = ()) -> RecordSelection:
    """Return the selection of the given names; a trailing ``*`` selects by prefix."""
    meta_list, header_list = list(meta), list(headers)
    return RecordSelection(
        meta_names=tuple(name for name in meta_list if not name.endswith("*")),
        meta_prefixes=tuple(name[:-1] for name in meta_list if name.endswith("*")),
        header_names=tuple((n.lower(), n) for n in header_list if not n.endswith("*")),
        header_prefixes=tuple(n[:-1].lower() for n in header_list if n.endswith("*")),
    )


def iter_headers(data: bytes) -> Iterable[tuple[str, str]]:
    """Yield name and value of each header, unfolded and decoded; what is no header is skipped."""
    end = data.find(b"\r\n\r\n", 0, HEADER_SECTION_MAX)
    section = data[: end if end >= 0 else HEADER_SECTION_MAX]
    name, value = "", ""
    for line in section.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            value += _text(line)
            continue
        if name:
            yield name, _decoded(value)
        head, colon, rest = line.partition(b":")
        name = _text(head).rstrip() if colon else ""
        value = _text(rest)
    if name:
        yield name, _decoded(value)


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _decoded(value: str) -> str:
    value = value.strip().replace("\t", " ")
    return decode_words(value) if "=?" in value else value
