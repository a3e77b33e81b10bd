"""What an operator may do: look, act, or change the node itself.

Place in flow: keys of the SSH console are bound to a role; verbs and operations ask for one.
"""

from __future__ import annotations

import enum


class Role(enum.IntEnum):
    """A role; each may do what those before it may."""

    #: Looks, at everything but the content of mail.
    VIEWER = 1
    #: Acts on mail: suspends, bounces, holds, moves; reads content.
    OPERATOR = 2
    #: Changes the node: reloads its policy, switches its automation, empties it.
    ADMIN = 3

    @property
    def label(self) -> str:
        """Return its name, as it is written in a file of keys."""
        return self.name.lower()


def parse_role(text: str) -> Role:
    """Return the role of a name.

    Raises:
        ValueError: There is no such role.
    """
    for role in Role:
        if text == role.label:
            return role
    known = ", ".join(role.label for role in Role)
    raise ValueError(f"there is no role {text[:40]!r}: one of {known}")
