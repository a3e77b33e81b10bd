"""Dialogues as data, each spoken in three ways: by line, by octet, and in one segment."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.smtp_node import SmtpNode


class Pace(enum.Enum):
    """How a dialogue's octets are cut into segments."""

    BY_LINE = "by_line"
    BY_OCTET = "by_octet"
    ONE_SEGMENT = "one_segment"


@dataclass(frozen=True)
class Step:
    """What the client sends, and the codes it is answered with, in order."""

    octets: bytes
    codes: tuple[int, ...]


@dataclass(frozen=True)
class Dialogue:
    """Steps after the banner, and the bodies that were taken when they are done."""

    steps: tuple[Step, ...]
    taken: tuple[bytes, ...] = ()
    listener: dict[str, Any] = field(default_factory=dict)
    script: str = ""
    #: Whether the server closes after the last reply.
    ends: bool = False


def line(text: bytes, *codes: int) -> Step:
    """Return the step of one command line."""
    return Step(text + b"\r\n", codes)


def raw(octets: bytes, *codes: int) -> Step:
    """Return the step of octets as they are."""
    return Step(octets, codes)


def mail(body: bytes, code: int = 250, recipient: bytes = b"b@y.test") -> tuple[Step, ...]:
    """Return the steps of a whole transaction; the body ends with CRLF or is empty."""
    return (
        line(b"MAIL FROM:<a@x.test>", 250),
        line(b"RCPT TO:<" + recipient + b">", 250),
        line(b"DATA", 354),
        raw(body + b".\r\n", code),
    )


async def speak(node: SmtpNode, dialogue: Dialogue, pace: Pace) -> list[list[str]]:
    """Hold a dialogue and judge its codes; return the lines of each reply."""
    client = await node.connect()
    assert (await client.reply()).code == 220
    expected = [code for step in dialogue.steps for code in step.codes]
    replies = []
    if pace is Pace.ONE_SEGMENT:
        await client.send(b"".join(step.octets for step in dialogue.steps))
        replies = [await client.reply() for _ in expected]
    else:
        for step in dialogue.steps:
            if pace is Pace.BY_OCTET:
                await client.send_slowly(step.octets)
            else:
                await client.send(step.octets)
            replies += [await client.reply() for _ in step.codes]
    assert [reply.code for reply in replies] == expected, replies
    if dialogue.ends:
        assert await client.rest() == b""
    else:
        assert (await client.command(b"QUIT")).code == 221
        assert await client.rest() == b""
    client.close()
    return [reply.lines for reply in replies]
