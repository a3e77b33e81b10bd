"""Answers that end a handler: ``mta.reject`` and ``mta.disconnect``.

Place in flow: raised by a script through ``engine.script_api``, caught where the hook was fired.
"""

from __future__ import annotations

import enum

from engine.model.reply import SmtpReply, make_reply
from policy.errors import ScriptRefusal


class CloseMode(enum.Enum):
    """What becomes of the connection after a refusal."""

    IF_421 = "If421"
    FORCE = "ForceDisconnect"
    FOLLOW_WITH_421 = "FollowWith421"


class SmtpRefusal(ScriptRefusal):
    """A handler refused, with this reply."""

    def __init__(self, reply: SmtpReply, close: CloseMode = CloseMode.IF_421) -> None:
        super().__init__(reply.one_line())
        self.reply = reply
        self.close = close


def _checked(code: int, text: str) -> SmtpReply:
    if isinstance(code, bool) or not isinstance(code, int) or not 400 <= code <= 599:
        raise ValueError(f"the code of a refusal is 400 to 599, not {code!r}")
    if not isinstance(text, str):
        raise TypeError("the text of a refusal is text")
    return make_reply(code, text)


def reject(code: int, text: str) -> None:
    """Refuse what the event is about. The text may start with an enhanced status.

    Args:
        code: 400 to 599; 421 closes the connection.
        text: What the client is told; a newline in it makes a multi-line reply.
    """
    raise SmtpRefusal(_checked(code, text))


def disconnect(code: int, text: str, mode: str = "ForceDisconnect") -> None:
    """Refuse and close the connection.

    Args:
        code: 400 to 599.
        text: What the client is told.
        mode: ``ForceDisconnect``, ``FollowWith421`` or ``If421``.
    """
    try:
        close = CloseMode(mode)
    except ValueError:
        names = ", ".join(item.value for item in CloseMode)
        raise ValueError(f"mode is one of {names}, not {mode!r}") from None
    raise SmtpRefusal(_checked(code, text), close)
