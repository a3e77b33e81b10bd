"""Regular expressions of operators over replies: linear where they can be, bounded where not.

Place in flow: ``engine.model.shaping_rule`` compiles them when a file is read; who matches records
asks them, or builds a set of those that are linear.

Invariants:
    * An unanchored, case-sensitive search, unless the pattern says otherwise.
    * RE2 wherever it takes the pattern. What only a backtracking engine can do (look-around,
      possessive quantifiers, ``(?x)``) runs with a timeout; running out of it is no match.
"""

from __future__ import annotations

import re
from typing import Any

import re2
import regex

#: The longest pattern; longer ones are mistakes.
CHARACTERS_MAX = 10_000
#: What a backtracking search may take, seconds.
BACKTRACKING_S = 0.05
#: An anchor that a reply, which begins with its code, cannot meet.
_WORD_AT_BEGINNING = re.compile(r"\^[A-Za-z](?![?*{])")
#: A line break that nothing around it makes optional.
_LINE_BREAK = re.compile(r"[^\[\]|()]*(?<!\\)\\n(?![?*{])")
_IN_SLASHES = re.compile(r"/.+/\Z", re.DOTALL)


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


class ReplyPattern:
    """A compiled pattern.

    Attributes:
        text: The pattern as written.
        is_linear: Whether RE2 runs it, in time linear in the text.
    """

    __slots__ = ("_compiled", "is_linear", "text")

    def __init__(self, text: str) -> None:
        """Compile it.

        Raises:
            ValueError: It is no regular expression.
        """
        if not isinstance(text, str):
            raise ValueError(f"a regular expression is text, not {text!r:.100}")  # noqa: TRY004 - an option's value, like all others
        if len(text) > CHARACTERS_MAX:
            raise ValueError(f"a regular expression has at most {CHARACTERS_MAX} characters")
        self.text = text
        self.is_linear = True
        try:
            self._compiled: Any = re2.compile(text, _options())
        except (re2.error, UnicodeError):
            self.is_linear = False
            self._compiled = _compile_backtracking(text)

    def matches(self, line: str) -> bool:
        """Return whether the pattern is found in a line."""
        if not self.is_linear:
            try:
                return self._compiled.search(line, timeout=BACKTRACKING_S) is not None
            except TimeoutError:
                return False
        try:
            return self._compiled.search(line) is not None
        except UnicodeError:
            # Half of a surrogate pair, which no UTF-8 can carry.
            cleaned = line.encode("utf-8", "replace").decode()
            return self._compiled.search(cleaned) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReplyPattern) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"<pattern {self.text!r}>"


def pattern_note(text: str) -> str | None:
    """Return what is odd about a pattern that compiles, or None.

    Only what is certain to be a mistake, or nearly so: a note that is wrong teaches people to read
    none of them.
    """
    has_choice = "|" in text
    if _WORD_AT_BEGINNING.match(text) and not has_choice:
        return "can never match: what is searched begins with the reply code, as in '550 5.1.1 ...'"
    if _LINE_BREAK.match(text) and not has_choice:
        return "can never match: the lines of a reply are joined by spaces"
    if _IN_SLASHES.match(text):
        return "the slashes around it belong to the pattern: only replies with slashes match"
    return None


def _compile_backtracking(text: str) -> Any:
    try:
        # Version 1 has sets and scoped flags as files written for other engines use them.
        return regex.compile(text, regex.V1)
    except (regex.error, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
