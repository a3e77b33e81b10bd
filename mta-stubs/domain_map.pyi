"""Values by domain, with wildcards: the most specific key wins."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar, final, overload, type_check_only

_V = TypeVar("_V")
_D = TypeVar("_D")

@final
@type_check_only
class DomainMap(Generic[_V]):
    """Values by domain. ``memoize`` keeps one as it is; it cannot be changed from then on.

    ``map[domain]`` is a KeyError where no key fits; a key is set and deleted as in a dict.

    >>> routes = mta.domain_map.new({"*.example": "a"})
    >>> routes["mail.example"] = "b"
    >>> routes["x.example"], routes["mail.example"], routes.get("example.org", "none")
    ('a', 'b', 'none')
    """

    def __getitem__(self, domain: str) -> _V: ...
    def __setitem__(self, domain: str, value: _V) -> None: ...
    def __delitem__(self, domain: str) -> None: ...
    def __contains__(self, domain: object) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]: ...
    @overload
    def get(self, domain: str) -> _V | None: ...
    @overload
    def get(self, domain: str, default: _D) -> _V | _D:
        """The value for a domain, or the default."""

def new(seed: Mapping[str, _V] | None = None) -> DomainMap[_V]:
    """A map from domains to values; ``map[domain]`` is a KeyError where no key fits.

    ``*.x`` is every domain below x, not x itself, and ``*`` is any domain. Case and a final dot
    do not count, and a name with umlauts is the same as its A-label. A longer key that does not
    fit hides no shorter one: with ``*.com`` and ``a.example.com``, ``b.example.com`` is found.
    ValueError: a key is no domain.

    >>> mta.domain_map.new({"*.com": 1, "a.example.com": 2})["b.Example.com"]
    1
    """
