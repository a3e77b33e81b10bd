"""Why an administrative act was not carried out.

Place in flow: raised by the operations of ``engine.admin``; who performs them (HTTP, a console)
says it in its own way.
"""

from __future__ import annotations

import enum


class Refusal(enum.Enum):
    """What kind of no it is."""

    #: The arguments make no sense.
    WRONG = "wrong"
    #: What the act is about is not there.
    NOT_FOUND = "not found"
    #: Not now: the same may work later.
    UNAVAILABLE = "unavailable"
    #: It was tried and did not work.
    FAILED = "failed"


class OperationRefusedError(Exception):
    """An operation says no, with a text for whoever asked.

    Args:
        refusal: The kind.
        text: What is wrong.
        field: The argument it is about.
    """

    def __init__(self, refusal: Refusal, text: str, field: str | None = None) -> None:
        super().__init__(text)
        self.refusal = refusal
        self.text = text
        self.field = field
