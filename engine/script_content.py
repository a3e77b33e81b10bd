"""The content of a message as scripts read and edit it: octets, MIME parts, form, reports.

Place in flow: a base of ``engine.script_views.MessageView``.

Invariants:
    * Nothing here waits.
    * An edit changes the octets of what it edits, and no others.
    * A tree of parts is a copy: it comes back by ``set_data``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from engine.model import conformance
from engine.model.address import domain_of
from engine.model.delivery_report import parse_delivery_report
from engine.model.feedback_report import parse_feedback_report
from engine.model.header_encoding import encode_header
from engine.model.mime_parse import parse
from engine.model.mime_part import MimePart
from engine.model.mime_rebuild import make_settings
from engine.model.mime_text import append_text_html, append_text_plain
from engine.script_headers import HeaderView

_BARE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class ContentView(HeaderView):
    """Content of a message."""

    __slots__ = ()

    def get_data(self) -> bytes:
        """Return the whole message: header and body as they will be sent."""
        return self._message.prefix + self._body()

    def set_data(self, data: bytes | str | MimePart) -> None:
        """Replace the whole message. Bare line ends become CRLF."""
        if isinstance(data, MimePart):
            raw = bytes(data)
        elif isinstance(data, str):
            # As ``str`` of a MIME part writes octets that are no UTF-8.
            raw = data.encode("utf-8", "surrogateescape")
        elif isinstance(data, bytes):
            raw = data
        else:
            raise TypeError("wants bytes, text or a MIME part")
        if not raw:
            raise ValueError("a message cannot be empty")
        self._set_whole(_BARE_LINE_END.sub(b"\r\n", raw), b"")

    def _set_whole(self, content: bytes, prefix: bytes) -> None:
        """Replace the message by content that begins with these fields."""
        self._message.prefix = prefix
        self._replace_body(content[len(prefix) :])

    # -- MIME ---------------------------------------------------------------------------------

    def parse_mime(self) -> MimePart:
        """Return the message as a tree of parts: a copy, to be given to ``set_data`` again.

        Raises:
            ValueError: It has too many parts, or they are nested too deeply.
        """
        return parse(self.get_data())

    def append_text_plain(self, text: str) -> bool:
        """Put text behind the first plain text part; return whether there is one."""
        return self._append_text(append_text_plain, text)

    def append_text_html(self, text: str) -> bool:
        """Put HTML before the last ``</body>`` of the first HTML part, or at its end.

        Return whether there is such a part.
        """
        return self._append_text(append_text_html, text)

    def _append_text(self, append: Callable[[MimePart, str], bool], text: str) -> bool:
        if not isinstance(text, str):
            raise TypeError(f"wants text, not {type(text).__name__}")
        root = self.parse_mime()
        if not append(root, text):
            return False
        content, prefix = bytes(root), self._message.prefix
        # The part may be the message itself, and its type stand in front of the body.
        is_kept = content.startswith(prefix) and len(content) > len(prefix)
        self._set_whole(content, prefix if is_kept else b"")
        return True

    # -- form ---------------------------------------------------------------------------------

    def check_fix_conformance(
        self, checks: str, fixes: str, settings: Mapping[str, Any] | None = None
    ) -> str | None:
        """Return what is wrong with the form of the message, or put it right.

        LINE_TOO_LONG means a line over 998 octets (RFC 5322, 2.1.1), not one over 78: longer
        lines than that are only advised against, and common.

        Args:
            checks: Labels joined by ``|``. If one of them is found, a text that names those found
                is returned and nothing is changed.
            fixes: Labels of what is put right: MISSING_COLON_VALUE, NON_CANONICAL_LINE_ENDINGS,
                NAME_ENDS_WITH_SPACE, LINE_TOO_LONG, NEEDS_TRANSFER_ENCODING (these encode anew
                each part that is not fit, which breaks signatures over it), MISSING_DATE_HEADER,
                MISSING_MESSAGE_ID_HEADER, MISSING_MIME_VERSION.
            settings: ``detect_encoding``, ``include_encodings``, ``exclude_encodings``: how 8-bit
                text that names no charset is read.
        """
        checked, fixed = conformance.parse_labels(checks), conformance.parse_labels(fixes)
        rebuild = make_settings(settings)
        issues = conformance.find_issues(self.get_data())
        found = [label for label in issues if label in checked]
        if found:
            return f"Message has conformance issues: {'|'.join(found)}"
        found = [label for label in issues if label in fixed]
        if not found:
            return None
        if conformance.needs_rebuild(found):
            content = conformance.fix_content(self.get_data(), found, self._origin(), rebuild)
            self._set_whole(content, b"")
            return None
        for name, value in conformance.missing_fields(found, self._origin()):
            # In front of the body and behind the trace: the body may be shared.
            self._remove({name.lower()})
            self._mend()
            self._set_prefix(self._message.prefix + encode_header(name, value))
        return None

    def _origin(self) -> conformance.Origin:
        message = self._message
        domain = domain_of(message.sender)
        if not domain and message.recipients:
            domain = domain_of(message.recipients[0])
        return conformance.Origin(message.created_at, f"{message.id}@{domain or 'localhost'}")

    # -- reports ------------------------------------------------------------------------------

    def parse_rfc3464(self) -> dict[str, Any] | None:
        """Return what a delivery status notification says, or None if the message is none."""
        return parse_delivery_report(self.get_data())

    def parse_rfc5965(self) -> dict[str, Any] | None:
        """Return what a feedback report says, or None if the message is none."""
        return parse_feedback_report(self.get_data())

    # -- keeping ------------------------------------------------------------------------------

    def save(self) -> None:
        """Do nothing: what a handler changes is stored as its event says, without being asked."""

    def set_force_sync(self, force_sync: bool) -> None:
        """Do nothing: 250 is answered after a synced write in any case (``durability``)."""

    def shrink(self) -> None:
        """Do nothing: the node lets go of what is on disk when memory is low."""

    def shrink_data(self) -> None:
        """Do nothing: the node lets go of what is on disk when memory is low."""
