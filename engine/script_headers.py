"""The header section of a message as scripts read and edit it.

Place in flow: a base of ``engine.script_views.MessageView``.

Invariants:
    * The fields in front of a shared body (``Message.prefix``) and those in it are one section.
    * A field that is added in front leaves the body alone: envelopes share it.
    * A field that is added never runs into the line that follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from engine.model import header_block
from engine.model.address_header import AddressHeader, parse_address_header
from engine.model.authentication_results import format_authentication_results
from engine.model.header_import import import_fields, make_rules
from engine.model.message import FLAG_8BIT, FLAG_WIRE_READY
from engine.script_metadata import DIRTY_BODY, DIRTY_ENVELOPE, MetadataView

_BLANKS = (b" ", b"\t")


class HeaderView(MetadataView):
    """Content of a message: its header fields."""

    __slots__ = ()
    _load: Callable[[Any], bytes] | None

    def _body(self) -> bytes:
        message = self._message
        if message.data is None:
            if self._load is None:
                raise ValueError("the content is not available in this event")
            message.data = self._load(message.body_id)
        return message.data

    def _replace_body(self, data: bytes) -> None:
        message = self._message
        if not data:
            raise ValueError("a message cannot be empty")
        message.data = data
        message.body_id = message.spool_id
        message.size = len(message.prefix) + len(data)
        message.flags &= ~(FLAG_8BIT | FLAG_WIRE_READY)
        if not (data.isascii() and message.prefix.isascii()):
            message.flags |= FLAG_8BIT
        message.meta_dirty |= DIRTY_ENVELOPE | DIRTY_BODY

    def _set_prefix(self, prefix: bytes) -> None:
        message = self._message
        message.size += len(prefix) - len(message.prefix)
        message.prefix = prefix
        if not prefix.isascii():
            message.flags |= FLAG_8BIT
        self._touch()

    def _head(self) -> bytes:
        """Return the header section; what follows it may be there too."""
        prefix, data = self._message.prefix, self._body()
        return prefix + data[: header_block.header_end(data)] if prefix else data

    def _mend(self) -> None:
        """Make sure that the body begins with a line of its own.

        Its first line could be a continuation: it belongs to the last field in front of it, and
        goes with it.
        """
        message, data = self._message, self._body()
        if not data.startswith(_BLANKS):
            return
        prefix, message.prefix = message.prefix, b""
        # With nothing in front of it, it continues nothing: what is added must not swallow it.
        self._replace_body(prefix + data if prefix else data.lstrip(b" \t") or b"\r\n")

    # -- reading ------------------------------------------------------------------------------

    def get_first_named_header_value(self, name: str) -> str | None:
        """Return the first value of a header field, unfolded and decoded, or None."""
        raw = header_block.find_first(self._head(), _name(name))
        return None if raw is None else header_block.decode_value(raw)

    def get_all_named_header_values(self, name: str) -> list[str]:
        """Return all values of a header field, in order."""
        found = header_block.find_all(self._head(), _name(name))
        return [header_block.decode_value(raw) for raw in found]

    def get_all_headers(self) -> list[list[str]]:
        """Return all header fields as pairs of name and decoded value."""
        return [list(pair) for pair in self._pairs()]

    def _pairs(self) -> list[tuple[str, str]]:
        fields = header_block.iter_fields(self._head())
        return [(name, header_block.decode_value(raw)) for name, raw, _, _ in fields]

    def from_header(self) -> AddressHeader | None:
        """Return the addresses of From, or None."""
        return self.get_address_header("From")

    def to_header(self) -> AddressHeader | None:
        """Return the addresses of To, or None."""
        return self.get_address_header("To")

    def get_address_header(self, name: str) -> AddressHeader | None:
        """Return the addresses of the first header field of this name, or None."""
        raw = header_block.find_first(self._head(), _name(name))
        if raw is None:
            return None
        return parse_address_header(name, raw.decode("utf-8", "replace").replace("\r\n", ""))

    # -- editing ------------------------------------------------------------------------------

    def prepend_header(self, name: str, value: str, encode: bool = False) -> None:
        """Put a header field in front of all others."""
        row = header_block.format_field(name, value, encode=encode)
        if not self._message.prefix and (self._message.data is not None or self._load is not None):
            self._mend()
        self._set_prefix(row + self._message.prefix)

    def append_header(self, name: str, value: str, encode: bool = False) -> None:
        """Put a header field behind all others."""
        row = header_block.format_field(name, value, encode=encode)
        self._mend()
        data = self._body()
        end = header_block.header_end(data)
        head = data[:end]
        if head and not head.endswith(b"\r\n"):
            head += b"\r\n"
        self._replace_body(head + row + data[end:])

    def remove_all_named_headers(self, name: str) -> None:
        """Remove every header field of this name."""
        self._remove({_name(name).lower()})

    def remove_x_headers(self, names: Iterable[str] = ()) -> None:
        """Remove these header fields, or with no names all that start with X-."""
        wanted = _names(names)
        if not wanted:
            fields = header_block.iter_fields(self._head())
            wanted = {name.lower() for name, _, _, _ in fields if name[:2].lower() == "x-"}
        self._remove(wanted)

    def _remove(self, names: set[str]) -> None:
        if not names:
            return
        self._mend()
        message, data = self._message, self._body()
        prefix = header_block.remove_all(message.prefix, names)
        if len(prefix) != len(message.prefix):
            self._set_prefix(prefix)
        changed = header_block.remove_all(data, names)
        if len(changed) != len(data):
            # Fields may have been all there was: an empty line is a message without any.
            self._replace_body(changed or b"\r\n")

    def add_authentication_results(self, server_id: str, results: Iterable[Any]) -> None:
        """Put a header field that tells what checks found in front of all others.

        Args:
            server_id: The name of who checked. Fields of that name that came with the message
                are not removed.
            results: Results, or dicts with method, result, reason and props; none is "none".
        """
        self.prepend_header(
            "Authentication-Results", format_authentication_results(server_id, results)
        )

    # -- into metadata ------------------------------------------------------------------------

    def import_x_headers(self, names: Iterable[str] = ()) -> None:
        """Copy header fields into metadata: X-Some-Name becomes x_some_name; the last one wins."""
        wanted = _names(names)
        for name, value in self._pairs():
            lower = name.lower()
            if lower in wanted or (not wanted and lower.startswith("x-")):
                self.set_meta(lower.replace("-", "_"), value)

    def import_headers(self, specs: Iterable[Any]) -> None:
        """Copy header fields into metadata by rules, each a dict.

        Args:
            specs: Of each, ``name`` (one * may end it), ``match`` (first, last, all), ``transform``
                (snake_case, kebab_case, camel_case, pascal_case), ``target`` and ``remove``. The
                first rule that matches a field has it.
        """
        found = import_fields(make_rules(specs), self._pairs())
        for name, value in found.values.items():
            self.set_meta(name, value)
        self._remove(found.removed)


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a header field is text, not {type(name).__name__}")
    return name


def _names(names: Any) -> set[str]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError("wants a list of header names")
    return {_name(name).lower() for name in names}
