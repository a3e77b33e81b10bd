"""What a class says of its fields in its docstring, taken apart for those who read no code.

Place in flow: used by ``engine.base.openapi``, so that the description of an API says what the code
says.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

_SECTION = re.compile(r"^Attributes:$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def split_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return what is said of the whole, and of each field, without the marks of code.

    Fields that share an entry have the same text each.
    """
    parts = _SECTION.split(inspect.cleandoc(text), maxsplit=1)
    fields = dict(_entries(parts[1])) if len(parts) > 1 else {}
    return _plain(parts[0]), fields


def _entries(section: str) -> Iterator[tuple[str, str]]:
    for names, text in _ENTRY.findall(section):
        for name in names.split(", "):
            yield name, _plain(text)


def _plain(text: str) -> str:
    paragraphs = (" ".join(one.split()) for one in text.strip().split("\n\n"))
    return "\n\n".join(paragraphs).replace("``", "`")
