"""The error for a value that an operator wrote and that does not fit where it stands.

Place in flow: raised by the parsers of ``engine.model``; ``keyword_options`` puts the name of the
option before its text.
"""

from __future__ import annotations


class OptionError(ValueError):
    """A value of the wrong type or form; the text says what is expected instead."""
