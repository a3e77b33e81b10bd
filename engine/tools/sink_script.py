"""Choose the sink's replies: by a hook, a file of rules, recipients' names, by lot, in this order.

Place in flow: ``sink_session`` asks ``ReplyScript.judge`` at each stage; None means yes.

Recipients' names (local parts, any case; ``*`` is any ending)::

    tempfail*  permfail*               451 4.7.1, 550 5.1.1 at RCPT
    tempfail-data*  permfail-data*     the same after the final dot
    reply-450*  reply-550-5.7.26*      this code (and enhanced status) at RCPT
    reply-data-452*                    the same after the final dot
    421*                               421 4.7.0 at RCPT, then the connection is closed
    drop*  drop-data*                  the connection is closed without a reply (nothing is taken)
    hang*  hang-data*                  no reply, the connection stays open
    slow*  slow-7*  slow-data-7*       yes, after 5 (here 7) seconds
    greylist*                          451 4.7.1 for the first attempt of each address, then yes

Standard: RFC 5321, 4.2; RFC 3463.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from engine.tools.sink_options import FailAt, SinkMessage, SinkOptions, SinkReply, Stage, read_reply
from engine.tools.sink_rules import ReplyRules

_NAME = re.compile(
    r"(?P<kind>tempfail|permfail|reply|421|drop|hang|slow|greylist)"
    r"(?P<data>-data)?"
    r"(?:-(?P<number>[0-9]+))?"
    r"(?:-(?P<status>[245]\.[0-9]{1,3}\.[0-9]{1,3}))?",
    re.IGNORECASE,
)
SLOW_S = 5.0
#: The longest a name can ask for.
_MAX_SLOW_S = 3600.0
#: Addresses whose first attempt is remembered.
_MAX_GREYLISTED = 100_000

_TEMPFAIL = SinkReply("451 4.7.1 try again later")
_PERMFAIL = SinkReply("550 5.1.1 no mailbox here by that name")
_BY_LOT_TEMPFAIL = (
    SinkReply("451 4.7.1 we have not met you yet, come back in some minutes"),
    SinkReply("450 4.2.1 this mailbox gets mail too fast at the moment"),
    SinkReply("452 4.2.2 this mailbox is full for now"),
    SinkReply("451 4.7.0 unusually much mail comes from your network"),
)
_BY_LOT_PERMFAIL = (
    SinkReply("550 5.1.1 no mailbox here by that name"),
    SinkReply("554 5.7.1 refused, your network is on our block list"),
    SinkReply("552 5.2.2 this mailbox is full and stays so"),
    SinkReply("550 5.7.26 refused, the sender could not be authenticated"),
)


class Session(Protocol):
    """What a reply may depend on."""

    @property
    def client(self) -> str:
        """Return the client's address."""

    @property
    def local(self) -> str:
        """Return the address it connected to, ``address:port``."""

    @property
    def sender(self) -> str:
        """Return the sender of the transaction."""

    @property
    def recipients(self) -> list[str]:
        """Return the recipients taken so far."""

    @property
    def recipient(self) -> str | None:
        """Return the recipient being answered; None where a reply is for all."""


#: A function of a test: stage, session and what the client gave, to a reply or None.
#: The argument is an address at MAIL and RCPT, a name at EHLO, a ``SinkMessage`` at DOT, else text.
Hook = Callable[[Stage, Any, Any], "SinkReply | str | None"]


class ReplyScript:
    """The replies of one sink.

    Args:
        options: The sink's.
        rules: Rules from a file.
        hook: Asked before everything else.
    """

    def __init__(
        self, options: SinkOptions, rules: ReplyRules | None = None, hook: Hook | None = None
    ) -> None:
        self.rules = rules
        self._hook = hook
        self._by_name = options.by_name
        self._tempfail_percent = options.tempfail_percent
        self._fail_percent = options.tempfail_percent + options.permfail_percent
        self._fail_at = Stage.RCPT if options.fail_at is FailAt.RCPT else Stage.DOT
        self._random = random.Random(options.seed)
        self._greylisted: dict[str, None] = {}

    @property
    def reads_messages(self) -> bool:
        """Return whether a reply may depend on what is in a message."""
        return self._hook is not None or (self.rules is not None and self.rules.reads_messages)

    def judge(self, stage: Stage, session: Session, argument: Any) -> SinkReply | None:
        """Return the reply of a stage, None for the usual one.

        Args:
            stage: Where the dialogue is.
            session: Whose dialogue.
            argument: What the client gave; see ``Hook``.

        Raises:
            ValueError: The hook answered with a text that is no reply.
        """
        if self._hook is not None:
            answer = self._hook(stage, session, argument)
            if answer is not None:
                return read_reply(answer) if isinstance(answer, str) else answer
        if self.rules is not None:
            ruled = self.rules.find(stage, session, _subject(argument))
            if ruled is not None:
                return ruled
        if self._by_name:
            named = self._judge_name(stage, session, argument)
            if named is not None:
                return named
        if stage is self._fail_at and self._fail_percent:
            return self._draw()
        return None

    def _judge_name(self, stage: Stage, session: Session, argument: Any) -> SinkReply | None:
        if stage is Stage.RCPT:
            return self._of_name(argument, after_dot=False)
        if stage is Stage.DOT:
            asked: Iterable[str] = (
                session.recipients if session.recipient is None else (session.recipient,)
            )
            for recipient in asked:
                reply = self._of_name(recipient, after_dot=True)
                if reply is not None:
                    return reply
        return None

    def _of_name(self, recipient: str, *, after_dot: bool) -> SinkReply | None:
        found = _NAME.match(recipient)
        if found is None or (found["data"] is not None) is not after_dot:
            return None
        number = found["number"]
        match found["kind"].lower():
            case "tempfail":
                return _TEMPFAIL
            case "permfail":
                return _PERMFAIL
            case "reply":
                return _reply_of(number, found["status"])
            case "421":
                return SinkReply("421 4.7.0 closing this connection", close=True)
            case "drop":
                return SinkReply("", close=True)
            case "hang":
                return SinkReply("", hang=True)
            case "slow":
                delay_s = min(float(number or SLOW_S), _MAX_SLOW_S)
                return SinkReply("", delay_s=delay_s)
            case _:
                return self._greylist(recipient)

    def _greylist(self, recipient: str) -> SinkReply | None:
        if recipient in self._greylisted:
            return None
        if len(self._greylisted) >= _MAX_GREYLISTED:
            del self._greylisted[next(iter(self._greylisted))]
        self._greylisted[recipient] = None
        return _TEMPFAIL

    def _draw(self) -> SinkReply | None:
        drawn = self._random.random() * 100.0
        if drawn >= self._fail_percent:
            return None
        tempfail = drawn < self._tempfail_percent
        return self._random.choice(_BY_LOT_TEMPFAIL if tempfail else _BY_LOT_PERMFAIL)


def _reply_of(number: str | None, status: str | None) -> SinkReply | None:
    if number is None or len(number) != 3 or number[0] not in "45":
        return None
    return read_reply(f"{number} {status or number[0] + '.0.0'} as your recipient's name asks")


def _subject(argument: Any) -> str:
    """Return the text that a rule's ``match`` looks at."""
    if isinstance(argument, SinkMessage):
        return argument.data.decode("latin-1")
    return str(argument)
