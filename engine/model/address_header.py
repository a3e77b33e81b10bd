"""The addresses of a header field as policy looks at them: most often the only one.

Place in flow: ``msg.from_header()``, ``msg.to_header()`` and ``msg.get_address_header(name)``.

Invariants:
    * Immutable, and made of plain values.
    * One address is asked for as one: a field with none or several is an error, not the first.

Standard: RFC 5322, 3.4. Groups are taken for the mailboxes in them.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.address_list import Mailbox, flatten, parse_address_list


@dataclass(frozen=True, slots=True)
class AddressEntry:
    """One address of a header field.

    Attributes:
        user: What stands before the sign, without quotes.
        domain: In lower case.
        email: The whole address.
        name: The display name, decoded; None where there is none.
    """

    user: str
    domain: str
    email: str
    name: str | None

    def __str__(self) -> str:
        return self.email


class AddressHeader:
    """The addresses of one header field."""

    __slots__ = ("_entries", "_field")

    def __init__(self, field: str, entries: list[AddressEntry]) -> None:
        self._field = field
        self._entries = entries

    def __str__(self) -> str:
        return ", ".join(entry.email for entry in self._entries)

    def __repr__(self) -> str:
        return f"<AddressHeader {self}>"

    def _only(self) -> AddressEntry:
        if len(self._entries) != 1:
            raise ValueError(f"{self._field} holds {len(self._entries)} addresses; use its list")
        return self._entries[0]

    @property
    def user(self) -> str:
        """Return the user of the only address."""
        return self._only().user

    @property
    def domain(self) -> str:
        """Return the domain of the only address, in lower case."""
        return self._only().domain

    @property
    def email(self) -> str:
        """Return the only address."""
        return self._only().email

    @property
    def name(self) -> str | None:
        """Return the display name of the only address, or None."""
        return self._only().name

    @property
    def list(self) -> list[AddressEntry]:
        """Return all addresses, in order."""
        return list(self._entries)


def parse_address_header(field: str, value: str) -> AddressHeader:
    """Return the addresses of a field's value, its folding undone.

    Raises:
        ValueError: The value is no list of addresses.
    """
    try:
        mailboxes = flatten(parse_address_list(value))
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error
    return AddressHeader(field, [_entry(mailbox) for mailbox in mailboxes])


def _entry(mailbox: Mailbox) -> AddressEntry:
    address = mailbox.address
    return AddressEntry(
        address.local_part, address.domain.lower(), address.email, mailbox.name or None
    )
