"""Frames of a trace as lines for people: who said what, how long after the session began.

Place in flow: ``engine.cli.trace`` reads frames of a node's websocket and writes these lines.

Invariants:
    * A plain function of the frames seen so far: the same frames make the same lines.
    * What peers and senders said is escaped: nothing in it moves the cursor of an operator.
    * What is remembered of sessions is bounded, however long it goes on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import click

from engine.cli.instants import read_instant
from engine.cli.table import printable

#: Sessions that are remembered.
SESSIONS_MAX = 10_000
CLIENT, SERVER, EVENT = "->", "<-", "==="
_COLOURS = {"2": "green", "3": "green", "4": "yellow", "5": "red"}


@dataclass(slots=True)
class _Seen:
    """What is remembered of a session."""

    began_at: float
    meta: Mapping[str, Any] = field(default_factory=dict)


class Side(Protocol):
    """What differs between incoming and outgoing sessions.

    Attributes:
        begins: The event that a session begins with.
        ends: The event that it ends with; None where none says so.
        reads: Who speaks in what the node read, and ``writes`` in what it wrote.
        hidden: Metadata that the beginning of each line shows.
    """

    begins: str
    ends: str | None
    reads: str
    writes: str
    hidden: frozenset[str]

    def prefix(self, meta: Mapping[str, Any]) -> str:
        """Return what each line of a session begins with."""


class Incoming:
    """Sessions of clients with this node."""

    begins = "Connected"
    ends: str | None = "Closed"
    reads, writes = CLIENT, SERVER
    hidden = frozenset({"received_from", "received_via", "orig_received_from", "orig_received_via"})

    def prefix(self, meta: Mapping[str, Any]) -> str:
        """Return the addresses of a session."""
        return f"{meta.get('received_from', '?')}->{meta.get('received_via', '?')}"


class Outgoing:
    """Sessions of this node with hosts."""

    begins = "BeginSession"
    # It may go on with another host after a connection is closed.
    ends: str | None = None
    reads, writes = SERVER, CLIENT
    hidden: frozenset[str] = frozenset()

    def prefix(self, meta: Mapping[str, Any]) -> str:
        """Return the beginning of a session's id, and the domain that its mail is for."""
        short = str(meta.get("session_id", "?")).partition("-")[0]
        return f"{short} {meta['domain']}" if meta.get("domain") else short


class TraceView:
    """Makes lines of frames.

    Args:
        side: Whose sessions they are.
        only_new: Show sessions whose beginning was seen only.
        only_one: Show the first session that is shown only.
        terse: Show no metadata.
        has_colour: Whether lines are coloured.
    """

    def __init__(
        self,
        side: Side,
        *,
        only_new: bool = False,
        only_one: bool = False,
        terse: bool = False,
        has_colour: bool = False,
    ) -> None:
        self._side = side
        self._only_new, self._only_one, self._terse = only_new, only_one, terse
        self._has_colour = has_colour
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._the_one: str | None = None
        self.is_over = False

    def admit(self, frame: Mapping[str, Any]) -> bool:
        """Return whether a frame is shown, and remember its session."""
        meta, (kind, _) = frame["conn_meta"], _event_of(frame)
        if not meta:
            # It is about no session, but about what could not be told.
            return True
        session_id = str(meta.get("session_id", ""))
        if self._only_one and self._the_one not in (None, session_id):
            return False
        if session_id in self._seen:
            self._seen.move_to_end(session_id)
        elif self._only_new and kind != self._side.begins:
            return False
        else:
            self._seen[session_id] = _Seen(read_instant(frame["when"]) or 0.0)
            if len(self._seen) > SESSIONS_MAX:
                self._seen.popitem(last=False)
        if self._only_one:
            self._the_one = session_id
        if kind == self._side.ends:
            self.is_over = self._only_one
        return True

    def render(self, frame: Mapping[str, Any]) -> str:
        """Return the lines of a frame that was admitted."""
        meta = frame["conn_meta"]
        seen = self._seen.get(str(meta.get("session_id", "")))
        now_at = read_instant(frame["when"]) or 0.0
        elapsed = "" if seen is None else f" {_elapsed(now_at - seen.began_at)}"
        prefix = f"[{self._side.prefix(meta)}]{elapsed}" if meta else "[trace]"
        kind, value = _event_of(frame)
        lines = list(self._tell(kind, value))
        if seen is not None:
            if not self._terse:
                lines += _changes(seen.meta, meta, self._side.hidden)
            seen.meta = meta
            if kind == self._side.ends:
                self._seen.pop(str(meta.get("session_id", "")), None)
        return "".join(
            self._coloured(mark, f"{printable(prefix)} {mark} {printable(text)}")
            for mark, text in lines
        )

    def _tell(self, kind: str, value: Any) -> Iterator[tuple[str, str]]:
        side = self._side
        plain = kind.removeprefix("Abbreviated")
        mark = {"Read": side.reads, "Write": side.writes}.get(plain, EVENT)
        if kind in ("Read", "Write") and isinstance(value, str):
            for line in _split(value):
                yield mark, line
        elif kind.startswith("Abbreviated") and isinstance(value, Mapping):
            *whole, last = _split(str(value.get("snippet", ""))) or [""]
            for line in whole:
                yield mark, line
            yield mark, f"{last}... ({value.get('len', 0)} octets)"
        else:
            yield EVENT, _describe(kind, value)

    def _coloured(self, mark: str, line: str) -> str:
        if not self._has_colour:
            return f"{line}\n"
        _, _, text = line.partition(f" {mark} ")
        if mark == CLIENT:
            colour = "cyan"
        elif mark == SERVER:
            colour = _COLOURS.get(text[:1], "green")
        else:
            colour = "red" if text.startswith("ERROR") else "bright_black"
        return f"{click.style(line, fg=colour)}\n"


def _event_of(frame: Mapping[str, Any]) -> tuple[str, Any]:
    payload = frame["payload"]
    if isinstance(payload, str):
        return payload, None
    for kind, value in payload.items():
        return str(kind), value
    return "Nothing", None


def _split(text: str) -> list[str]:
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _describe(kind: str, value: Any) -> str:
    """Return an event that is no part of the dialogue, in words."""
    match kind:
        case "Diagnostic" if isinstance(value, Mapping):
            return f"{value.get('level', '')}: {value.get('message', '')}"
        case "Callback" if isinstance(value, Mapping):
            outcome = value.get("error") or value.get("result") or "done"
            return f"event {value.get('name', '?')}: {outcome}"
        case "MessageDisposition" if isinstance(value, Mapping):
            recipient = value.get("recipient", "")
            to = " ".join(recipient) if isinstance(recipient, list) else str(recipient)
            what = "enqueued in" if value.get("will_enqueue") else "not enqueued, queue"
            return (
                f"message {value.get('id', '?')} {what} {value.get('queue', '?')}:"
                f" {value.get('sender') or '<>'} -> {to}"
            )
        case _:
            return kind if value is None else f"{kind} {value}"


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], hidden: frozenset[str]
) -> Iterator[tuple[str, str]]:
    for name in sorted(after.keys() | before.keys()):
        if name in hidden or before.get(name) == after.get(name):
            continue
        value = after.get(name)
        text = " ".join(map(str, value)) if isinstance(value, list) else value
        yield EVENT, f"  {name} = {text}" if name in after else f"  {name} is gone"


def _elapsed(seconds: float) -> str:
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f}ms"
    return f"{seconds:.3f}s"
