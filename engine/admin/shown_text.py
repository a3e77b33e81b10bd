"""Texts of scripts, files and peers, as answers carry them.

Place in flow: used by the operations of ``engine.admin`` that show what was written elsewhere.
"""

from __future__ import annotations

#: Of a text this many characters.
TEXT_MAX = 2000


def shown_text(text: str) -> str:
    """Return a text cut to what an answer carries, without what no UTF-8 can hold."""
    return text[:TEXT_MAX].encode("utf-8", "replace").decode()
