"""Why something does not go on: the chain of what holds it, for whoever was woken up by it.

Place in flow: a verb over ``engine.admin.explanations``.

Invariants:
    * What holds now comes first; each link says what it is, who ordered it, since when, until when,
      which option sets it, and what can be done about it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import click

from engine.cli.errors import NodeRefusedError
from engine.cli.instants import show_since, show_until
from engine.cli.names import complete_queue, complete_ready_queue
from engine.cli.table import format_fields, printable
from engine.cli.verb import Session, verb

_WHY = "/api/admin/why/v1"
_QUEUES = "/api/admin/queues/v1"
_SPOOL_ID = re.compile(r"[0-9A-Fa-f]{32}")
_READY_QUEUE = re.compile(r".+->.*@[a-z_]+")
#: Queues that are named when there is none of the name that was asked for.
_NEAR_MAX = 10
_MANUAL = """\
Say what holds a message, a scheduled queue or a ready queue: the whole chain of it.

SUBJECT is a spool id, as records and cirrus messages have it; the name of a scheduled queue, such
as tenant@domain; or that of a ready queue, such as source->site@smtp_client. What it is shows by
itself; --message, --queue and --ready-queue say it outright. A domain will do where one queue is
of it.

The first link is what holds now. Those below it hold that, or come after it. Each says since when
it holds, who ordered it, when it ends by itself, which option of the policy sets it, and which
command changes it.

\b
Examples:
  cirrus why acme@big.example
  cirrus why 8a6f1c9e0b7d11f0a1b20242ac120002
  cirrus why 'ip-1->mx.big.example@smtp_client'
"""

_SCHEDULED_END = "cirrus suspend-list names its id, cirrus suspend-cancel --id ID ends it"
_PATH = "the policy sets it: cirrus inspect-ready-q NAME --config shows all of its path"
_SEND_NOW = "cirrus send-now ID tries it at once"
#: What can be done about a link, by its code. NAME is where it is, ID the message.
_ADVICE = {
    "AdminBounce": "cirrus bounce-list names its id, cirrus bounce-cancel --id ID ends it",
    "QueueSuspended": _SCHEDULED_END,
    "ReadyQueueWasSuspended": "cirrus suspend-ready-q-list names its id,"
    " cirrus suspend-ready-q-cancel --id ID ends it",
    "SourceIsUnhealthyAndSuspended": "cirrus suspend-source-list names its id,"
    " cirrus suspend-source-cancel --id ID lets it back",
    "HeldByOperator": "cirrus release ID lets it go",
    "ConnectionFailures": "cirrus inspect-ready-q NAME --connections shows its hosts and sessions",
    "ConnectionLimit": _PATH,
    "ConnectionRateThrottle": _PATH,
    "MessageRateThrottle": "the policy sets it: cirrus inspect-sched-q NAME shows its queue",
    "ReadyQueueWasFull": "cirrus inspect-ready-q NAME --connections shows who empties it",
    "FailedToInsertIntoReadyQueue": "cirrus resolve-egress-path NAME shows what it resolves to",
    "BeingSent": "cirrus inspect-ready-q NAME --connections shows the session;"
    " cirrus trace-smtp-client what it says",
    "SpoolUnhealthy": "look at the disk of the spool; cirrus status shows how the node is",
}
#: What holds a single message until its due time.
_WAITS_ADVICE = frozenset({"LoggedTransientFailure", "ScheduledForLater", "Expiration"})


@verb("why", _MANUAL)
@click.argument("subject", required=False, metavar="SUBJECT", shell_complete=complete_queue)
@click.option("--message", "message_id", metavar="ID", help="It is a message.")
@click.option(
    "--queue", metavar="NAME", help="It is a scheduled queue.", shell_complete=complete_queue
)
@click.option(
    "--ready-queue",
    metavar="NAME",
    help="It is a ready queue.",
    shell_complete=complete_ready_queue,
)
async def why(
    session: Session,
    *,
    subject: str | None,
    message_id: str | None,
    queue: str | None,
    ready_queue: str | None,
) -> None:
    """Say what holds a message or a queue."""
    asked = _recognise(subject, message_id, queue, ready_queue)
    try:
        answer = await session.node.call("GET", _WHY, query=asked)
    except NodeRefusedError as refused:
        if refused.status != 404 or "queue_name" not in asked:
            raise
        answer = await _explain_near(session, asked["queue_name"], refused)
    if session.as_json:
        await session.write_json(answer)
        return
    await session.write(show_explanation(answer, session.clock.wall(), session.terminal.columns))


def _recognise(
    subject: str | None, message_id: str | None, queue: str | None, ready_queue: str | None
) -> dict[str, str]:
    """Return what is asked about, as the API takes it.

    Raises:
        click.UsageError: Nothing was named, or more than one thing.
    """
    named = {"id": message_id, "queue_name": queue, "ready_queue": ready_queue}
    asked = {field: text for field, text in named.items() if text}
    if subject:
        if asked:
            raise click.UsageError("name one thing: SUBJECT, --message, --queue or --ready-queue")
        return {kind_of(subject): subject}
    if len(asked) != 1:
        raise click.UsageError("name one thing: SUBJECT, --message, --queue or --ready-queue")
    return asked


def kind_of(subject: str) -> str:
    """Return the argument of the API that a subject is by its looks."""
    if _SPOOL_ID.fullmatch(subject):
        return "id"
    if _READY_QUEUE.fullmatch(subject):
        return "ready_queue"
    return "queue_name"


async def _explain_near(session: Session, name: str, refused: NodeRefusedError) -> Any:
    """Return the explanation of the one queue of a domain, where there is no queue of that name.

    Raises:
        NodeRefusedError: There is not exactly one; it names those that there are.
    """
    query = {"domain": name, "limit": _NEAR_MAX}
    found = [
        one["queue_name"]
        for one in (await session.node.call("GET", _QUEUES, query=query))["scheduled"]
    ]
    if len(found) == 1:
        await session.note(f"there is no queue {printable(name)}; this is the one of that domain")
        return await session.node.call("GET", _WHY, query={"queue_name": found[0]})
    if not found:
        text = f"no mail waits in a queue {printable(name)}: it was sent, given up, or never came"
        raise NodeRefusedError(text, refused.status) from refused
    text = f"there is no queue {printable(name)}; of that domain there are: "
    raise NodeRefusedError(text + ", ".join(map(printable, found)), refused.status) from refused


# -- text -------------------------------------------------------------------------------------


def show_explanation(answer: dict[str, Any], now_at: float, columns: int | None) -> str:
    """Return the chain of what holds something, link by link.

    Args:
        answer: The explanation, as the API gives it.
        now_at: The present, seconds since the Unix epoch.
        columns: How wide the text may be; None for as wide as it is.
    """
    reasons = answer["reasons"]
    if not reasons:
        return f"{_subject(answer)}: {printable(answer['summary'])}\n"
    lines = [f"{_subject(answer)}\n"]
    for number, reason in enumerate(reasons, 1):
        lines.append(f"\n{number}. {printable(reason['text'])}\n")
        inner = None if columns is None else max(20, columns - 3)
        fields = format_fields(_fields(reason, answer, now_at), inner)
        lines += [f"   {line}\n" for line in fields.splitlines()]
    return "".join(lines)


#: Where a message is, in words.
_PLACES = {
    "waiting": "waits in queue",
    "ready": "is ready to be sent, of queue",
    "sending": "is being sent, of queue",
    "elsewhere": "is between two places, of queue",
}


def _subject(answer: dict[str, Any]) -> str:
    subject, place = printable(answer["subject"]), answer.get("place")
    if place is None:
        kind = "ready queue" if kind_of(answer["subject"]) == "ready_queue" else "queue"
        return f"{kind} {subject}"
    queue = answer.get("queue_name")
    if not queue:
        return f"message {subject} is {place}"
    return f"message {subject} {_PLACES.get(place, place)} {printable(queue)}"


def _fields(
    reason: dict[str, Any], answer: dict[str, Any], now_at: float
) -> Iterator[tuple[str, object]]:
    where = reason.get("where")
    yield "code", reason["code"]
    yield "where", where if where != answer["subject"] else None
    yield "by", reason.get("author")
    yield "since", show_since(reason.get("since"), now_at)
    yield "until", show_until(reason.get("until"), now_at)
    knob, value = reason.get("knob"), reason.get("value")
    yield "set by", knob if not value else f"{knob} = {value}" if knob else value
    for holder in reason.get("held_by", ()):
        yield "held by", holder
    yield "do", _advice(reason, answer)


def _advice(reason: dict[str, Any], answer: dict[str, Any]) -> str:
    code = reason["code"]
    message = answer["subject"] if answer.get("place") is not None else None
    if message is not None and code in _WAITS_ADVICE:
        return _SEND_NOW.replace("ID", message)
    text = _ADVICE.get(code, "")
    if code == "HeldByOperator" and message is not None:
        text = text.replace("ID", message)
    where = reason.get("where") or (None if message is not None else answer["subject"])
    if "NAME" not in text:
        return text
    return "" if where is None else text.replace("NAME", shlex.quote(where))


VERBS = (why,)
