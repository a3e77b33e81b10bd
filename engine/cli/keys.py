"""Keys, out of what a terminal sends for them.

Place in flow: ``engine.cli.screen`` decodes with it, for a terminal and for the console.

Invariants:
    * A sequence may come in pieces of any size, also in the middle of a character.
    * What is no known key is nothing: no part of it is taken for letters.
    * What is kept of an unfinished sequence is bounded, whatever a client sends.

Standard: ECMA-48 control sequences; the keys are those of VT220 and xterm.
"""

from __future__ import annotations

import codecs

#: The name of the key, and what ends a lone one.
ESC = "esc"
#: Characters of one sequence; what is longer is none of a key.
_SEQUENCE_MAX = 32

_CONTROLS = {
    "\t": "tab",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x03": "ctrl-c",
    "\x04": "ctrl-d",
    "\x0c": "ctrl-l",
    "\x15": "ctrl-u",
}
_FINALS = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "Z": "shift-tab",
}
_NUMBERED = {
    "1": "home",
    "3": "delete",
    "4": "end",
    "5": "pgup",
    "6": "pgdn",
    "7": "home",
    "8": "end",
}


class KeyDecoder:
    """The keys of one terminal."""

    def __init__(self) -> None:
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""

    @property
    def is_halfway(self) -> bool:
        """Return whether a sequence has begun: it is the key Esc if nothing follows soon."""
        return bool(self._begun)

    def feed(self, octets: bytes) -> list[str]:
        """Return the keys that are complete now: names, or the character itself."""
        keys = []
        for char in self._characters.decode(octets):
            key = self._next(char)
            if key:
                keys.append(key)
        return keys

    def flush(self) -> list[str]:
        """Return the key that a sequence was, after which nothing came."""
        begun, self._begun = self._begun, ""
        return [ESC] if begun == "\x1b" else []

    def _next(self, char: str) -> str | None:
        """Return the key that a character completes."""
        if char == "\x1b":
            was_alone = self._begun == "\x1b"
            self._begun = char
            return ESC if was_alone else None
        if not self._begun:
            return _CONTROLS.get(char) or (char if char.isprintable() else None)
        self._begun += char
        if not _is_complete(self._begun):
            if len(self._begun) >= _SEQUENCE_MAX:
                self._begun = ""
            return None
        sequence, self._begun = self._begun, ""
        return _name_of(sequence)


def _is_complete(sequence: str) -> bool:
    """Return whether a sequence has its last character."""
    kind = sequence[1]
    if kind == "[":
        return len(sequence) > 2 and not " " <= sequence[-1] <= "?"
    return kind != "O" or len(sequence) > 2


def _name_of(sequence: str) -> str | None:
    kind, last = sequence[1], sequence[-1]
    if kind not in "[O":
        # Alt with a letter, which means nothing here.
        return None
    if last == "~":
        # A modifier, such as Shift, stands behind the semicolon.
        return _NUMBERED.get(sequence[2:-1].partition(";")[0])
    return _FINALS.get(last)
