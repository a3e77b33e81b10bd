"""The pattern of an SMTP reply: what differs from message to message becomes a token.

Place in flow: ``mta.string.normalize_smtp_response``; what it returns groups replies that say the
same.

Invariants:
    * Words and short numbers stay: codes, sizes, names of causes.
    * Linear in the text, of which ``CHARACTERS_MAX`` characters count.
"""

from __future__ import annotations

import ipaddress
import itertools
import re

CHARACTERS_MAX = 4_096
_LETTER_BASE64_MIN = 16

# Each begins where no shorter one could, and gives nothing back: their time is linear.
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9.!#$%&'*+/?^_`{|}~-])[A-Za-z0-9.!#$%&'*+/?^_`{|}~-]++@[A-Za-z0-9][A-Za-z0-9.-]*"
    r"(?<![.-])"
)
_UUID = re.compile(
    r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"
)
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIMESTAMP = re.compile(
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\b ?[+-]\d\d:?\d\d)?"
    rf"|(?:\b{_DAY},? {{1,2}})?\b\d{{1,2}} {_MONTH} \d{{4}} \d\d:\d\d(?::\d\d)?"
    r"(?: (?:[+-]\d{4}|GMT|UTC))?"
    rf"|\b{_DAY} {_MONTH} {{1,2}}\d{{1,2}} \d\d:\d\d:\d\d(?: \d{{4}})?"
)
_WORD = re.compile(r"[^\s\[\](){}<>,;\"']+")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}\Z")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{8,}\Z")
_BASE64 = re.compile(r"[A-Za-z0-9+/_.-]+={0,2}\Z")
_PART_ENDS = re.compile(r"[-/_.]")
_ENDS = ".:!?"


def normalize_smtp_response(text: str) -> str:
    """Return the pattern of a reply; of a very long one, that of its beginning."""
    if not isinstance(text, str):
        raise TypeError("wants the text of a reply")
    text = text[:CHARACTERS_MAX]
    for pattern, token in ((_TIMESTAMP, "{timestamp}"), (_UUID, "{uuid}"), (_EMAIL, "{email}")):
        text = pattern.sub(token, text)
    return _WORD.sub(lambda found: _token(found.group()), text)


def _token(word: str) -> str:
    core = word.rstrip(_ENDS)
    if not core:
        return word
    return _judge(core) + word[len(core) :]


def _judge(word: str) -> str:
    # What stands before the last "=" names what follows; one at the end is padding.
    named = word.rstrip("=").rfind("=") + 1
    if named:
        return word[:named] + _judge(word[named:])
    if _is_address(word):
        return "{ipaddr}"
    if word.isalpha() and not _is_mixed(word):
        return word
    if _NUMBER.match(word):
        return "{timestamp}" if len(word) in (10, 13) and word[0] == "1" else word
    if _HEXADECIMAL.match(word) and any(letter.isdigit() for letter in word):
        return "{hash}"
    # One part that is no word makes a token of an identifier made of several.
    if _BASE64.match(word) and any(map(_is_code, _PART_ENDS.split(word))):
        return "{base64}"
    return word


def _is_address(word: str) -> bool:
    if len(word) > 60 or not ("." in word or ":" in word):
        return False
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _is_mixed(word: str) -> bool:
    """Tell whether letters change case in the middle again and again, as in no word."""
    changes = sum(a.islower() and b.isupper() for a, b in itertools.pairwise(word))
    return len(word) >= _LETTER_BASE64_MIN and changes >= 3


def _is_code(word: str) -> bool:
    """Tell whether letters and digits alternate, as in an identifier and no word."""
    if _is_mixed(word):
        return True
    digits = sum(letter.isdigit() for letter in word)
    turns = sum(a.isdigit() != b.isdigit() for a, b in itertools.pairwise(word))
    return len(word) >= 8 and digits >= 2 and turns >= 2
