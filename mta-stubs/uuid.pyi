"""Identifiers (RFC 9562). Those with a time in them grow, and hold no address of the machine."""

from typing import final, type_check_only

@final
@type_check_only
class Uuid:
    """An identifier and its spellings; ``str()`` gives the one with hyphens.

    >>> one = mta.uuid.parse("0199e1f0000070008000000000000000")
    >>> one.urn
    'urn:uuid:0199e1f0-0000-7000-8000-000000000000'
    """

    @property
    def hyphenated(self) -> str:
        """Digits in groups."""
    @property
    def simple(self) -> str:
        """32 digits."""
    @property
    def braced(self) -> str:
        """Digits in groups, in braces."""
    @property
    def urn(self) -> str:
        """The name of a resource."""
    @property
    def bytes(self) -> bytes:
        """16 octets."""
    @property
    def version(self) -> int | None:
        """Its kind, 1 to 8, or None if it is not of RFC 9562."""
    def __lt__(self, other: Uuid) -> bool: ...

def new_v1() -> Uuid:
    """An identifier by time, in the order of bits of the first kind.

    >>> mta.uuid.new_v1().version
    1
    """

def new_v4() -> Uuid:
    """A random identifier.

    >>> len(mta.uuid.new_v4().simple)
    32
    """

def new_v6() -> Uuid:
    """An identifier by time that sorts by it.

    >>> mta.uuid.new_v6() < mta.uuid.new_v6()
    True
    """

def new_v7() -> Uuid:
    """An identifier by Unix time that sorts by it.

    >>> mta.uuid.new_v7() < mta.uuid.new_v7()
    True
    """

def parse(text: str | bytes) -> Uuid:
    """The identifier of a text in any spelling, or of 16 octets. ValueError: it is none.

    >>> mta.uuid.parse("urn:uuid:0199e1f0-0000-7000-8000-000000000000").version
    7
    """
