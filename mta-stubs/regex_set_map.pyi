"""Values by regular expression, all looked for at once."""

from collections.abc import Mapping
from typing import Generic, TypeVar, final, overload, type_check_only

_V = TypeVar("_V")
_D = TypeVar("_D")

@final
@type_check_only
class RegexSetMap(Generic[_V]):
    """Values by pattern; never changes. ``map[text]`` is a KeyError where no pattern matches.

    >>> reasons = mta.regex_set_map.new({"^4": "later", "^5": "never"})
    >>> "250 fine" in reasons, reasons.get("250 fine", "done"), reasons["451 busy"]
    (False, 'done', 'later')
    """

    def __getitem__(self, text: str) -> _V: ...
    def __contains__(self, text: object) -> bool: ...
    def __len__(self) -> int: ...
    @overload
    def get(self, text: str) -> _V | None: ...
    @overload
    def get(self, text: str, default: _D) -> _V | _D:
        """The value of the first pattern that matches, or the default."""

def new(patterns: Mapping[str, _V]) -> RegexSetMap[_V]:
    """A map from patterns to values; the first one given that matches anywhere wins.

    Patterns are those of RE2: linear in time, without look-around and back-references; ``(?i)``
    makes one indifferent to case. ValueError: a pattern is none of these.

    >>> mta.regex_set_map.new({"(?i)spam": "block", "mailbox full": "full"})["552 mailbox full"]
    'full'
    """
