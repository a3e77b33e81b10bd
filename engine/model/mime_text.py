"""Text added to what a reader of a message sees.

Place in flow: ``msg.append_text_plain`` and ``msg.append_text_html``.

Invariants:
    * Only the part that gets the text changes.
    * HTML goes before the last end of a body, so that it is shown.
"""

from __future__ import annotations

import re

from engine.model.mime_part import MimePart

_BODY_CLOSE = re.compile(r"</body\s{0,20}>", re.IGNORECASE)


def append_text_plain(message: MimePart, text: str) -> bool:
    """Put text behind the first plain text of a message; return whether there is one."""
    part = message.get_simple_structure().text_part
    if part is None:
        return False
    part.body = f"{part.body!s}{text}"
    return True


def append_text_html(message: MimePart, text: str) -> bool:
    """Put text before the end of the first HTML's body; return whether there is one."""
    part = message.get_simple_structure().html_part
    if part is None:
        return False
    body = str(part.body)
    at = len(body)
    for match in _BODY_CLOSE.finditer(body):
        at = match.start()
    part.body = body[:at] + text + body[at:]
    return True
