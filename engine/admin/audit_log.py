"""Who did what to the node, from where, and what came of it: a bounded log of its own.

Place in flow: ``operation.perform`` notes acts, HTTP listeners note who was turned away;
``audit`` reads it for operators. In the spool's folder, so that it outlives restarts.

Invariants:
    * An entry is written before ``note`` returns, and in the diagnostic log too; the page cache
      keeps it over the death of the process, nothing waits for a disk.
    * At most ``FILES_KEPT`` files of ``FILE_BYTES``; the oldest goes.
    * No credential is in an entry: what its name or place shows to be one is hidden.
    * Callers without rights cannot flush the log: equal refusals are counted, not repeated, and of
      different ones beyond ``DENIED_A_MINUTE`` only the number is noted.

Failure: a disk that takes nothing is said in the diagnostic log; the latest entries stay in memory
and are written when it takes them again.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from engine.model.caller import Caller
from engine.model.log_record import format_event_time

log = logging.getLogger("cirrus.audit")

#: Octets of one file, and how many there are.
FILE_BYTES = 4 << 20
FILES_KEPT = 8
#: Entries in memory: all that can be seen while the disk takes none.
UNWRITTEN_MAX = 1000
#: Characters of a text, and entries of a list or table, that an entry shows.
TEXT_MAX = 512
ITEMS_MAX = 50
#: For so long equal refusals are one entry, seconds; and how many different ones are remembered.
REPEAT_S = 60.0
REPEATS_MAX = 1024
#: Entries of callers that were turned away, in any minute; an attack has many addresses.
DENIED_A_MINUTE = 60

_SECRET = re.compile(r"passw|secret|token|authoriz|credential|private", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
_FILE = re.compile(r"audit-(\d{8})\.jsonl")


class AuditResult(enum.StrEnum):
    """What came of an act."""

    DONE = "done"
    #: Its arguments were wrong, or what it is about is not there.
    REFUSED = "refused"
    #: Its caller may not do it.
    DENIED = "denied"
    FAILED = "failed"


class AuditEntry(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One act.

    Attributes:
        time: When, RFC 3339 in UTC.
        identity: Who.
        origin: From which address.
        channel: By which door.
        act: The operation.
        result: What came of it.
        arguments: What it was asked for, credentials hidden, long texts cut.
        detail: The id that was made, or what was wrong.
        repeats: How many equal entries before this one were left out.
    """

    time: str
    identity: str
    origin: str = ""
    channel: str = ""
    act: str
    result: str
    arguments: dict[str, Any] = {}
    detail: str = ""
    repeats: int = 0


class AuditLog:
    """The audit log of one node; without a folder it keeps the latest entries in memory."""

    def __init__(self, wall: Callable[[], float]) -> None:
        """Date entries by the given clock (seconds since the Unix epoch)."""
        self._wall = wall
        self._folder: Path | None = None
        self._number = 0
        self._size = 0
        self._fd = -1
        self._is_failing = False
        self._unwritten: deque[AuditEntry] = deque(maxlen=UNWRITTEN_MAX)
        self._denied: dict[tuple[str, str, str, str], list[float]] = {}
        #: The minute that is counted: when it began, entries in it, and how many were left out.
        self._minute = [0.0, 0, 0]

    def open(self, folder: Path) -> None:
        """Write to a folder from now on, after what is there; a trouble with it is logged."""
        self._folder = folder
        self._write_out()

    def close(self) -> None:
        """Let the file go; what is noted later stays in memory."""
        self._folder = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # -- noting -------------------------------------------------------------------------------

    def note(
        self,
        caller: Caller,
        act: str,
        arguments: dict[str, Any],
        result: AuditResult,
        detail: str = "",
        repeats: int = 0,
    ) -> None:
        """Note an act; never raises.

        Args:
            caller: Who.
            act: The operation.
            arguments: Plain values.
            result: What came of it.
            detail: The id that was made, or what was wrong.
            repeats: How many equal ones went unnoted before.
        """
        entry = AuditEntry(
            time=format_event_time(self._wall()),
            identity=_cut(caller.identity),
            origin=caller.origin,
            channel=caller.channel,
            act=act,
            result=result.value,
            arguments=shown_arguments(arguments),
            detail=_cut(detail),
            repeats=repeats,
        )
        log.info("%s", msgspec.json.encode(entry).decode())
        self._unwritten.append(entry)
        self._write_out()

    def note_denied(self, caller: Caller, act: str, detail: str) -> None:
        """Note that a caller was turned away; equal ones within a minute are counted only."""
        key = (caller.identity, caller.origin, act, detail)
        now = self._wall()
        seen = self._denied.get(key)
        if seen is not None and 0 <= now - seen[0] < REPEAT_S:
            seen[1] += 1
            return
        if seen is None and len(self._denied) >= REPEATS_MAX:
            self._forget_denied(now)
        if not self._has_room_for_denied(now):
            return
        repeats = int(seen[1]) if seen is not None else 0
        self._denied[key] = [now, 0]
        self.note(caller, act, {}, AuditResult.DENIED, detail, repeats)

    def _has_room_for_denied(self, now: float) -> bool:
        """Count an entry; a minute that had too many is told of by the first one after it."""
        began, count, left_out = self._minute
        if not 0 <= now - began < REPEAT_S:
            self._minute = [now, 1, 0]
            if left_out:
                text = "others were turned away in one minute: too many for an entry each"
                self.note(Caller("(many)"), "(any)", {}, AuditResult.DENIED, text, int(left_out))
            return True
        has_room = count < DENIED_A_MINUTE
        self._minute = [began, count + has_room, left_out + (not has_room)]
        return has_room

    def _forget_denied(self, now: float) -> None:
        kept = {k: v for k, v in self._denied.items() if 0 <= now - v[0] < REPEAT_S}
        # All of them new: whoever calls by so many names is told apart no more.
        self._denied = kept if len(kept) < REPEATS_MAX else {}

    # -- the files ----------------------------------------------------------------------------

    def _write_out(self) -> None:
        if self._folder is None:
            return
        try:
            if self._fd < 0:
                self._open_file(self._folder)
            while self._unwritten:
                line = msgspec.json.encode(self._unwritten[0]) + b"\n"
                if self._size and self._size + len(line) > FILE_BYTES:
                    self._next_file(self._folder)
                self._append(line)
                self._unwritten.popleft()
        except OSError as error:
            if not self._is_failing:
                log.error("the audit log in %s cannot be written: %s", self._folder, error.strerror)
            self._is_failing = True
        else:
            self._is_failing = False

    def _append(self, line: bytes) -> None:
        written = os.write(self._fd, line)
        self._size += written
        if written < len(line):
            # A full disk takes a part: the next entry begins on a line of its own.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size - written)
                self._size -= written
            raise OSError(28, "no space left")

    def _open_file(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        numbers = [number for number, _ in files_of(folder)]
        self._number = max(numbers, default=1)
        path = folder / _name(self._number)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            # The end of a line was lost with the machine.
            self._size += os.write(self._fd, b"\n")

    def _next_file(self, folder: Path) -> None:
        os.close(self._fd)
        self._fd = -1
        for number, path in files_of(folder):
            if number <= self._number + 1 - FILES_KEPT:
                path.unlink()
        path = folder / _name(self._number + 1)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._number += 1
        self._size = os.fstat(self._fd).st_size

    # -- reading ------------------------------------------------------------------------------

    def reader(self) -> Callable[[Callable[[AuditEntry], bool], int], list[AuditEntry]]:
        """Return a function that finds the latest entries; it may be called in a thread.

        It takes a predicate and how many entries are wanted, and returns them newest first.
        """
        unwritten, folder = list(self._unwritten), self._folder

        def find(wants: Callable[[AuditEntry], bool], limit: int) -> list[AuditEntry]:
            found: list[AuditEntry] = []
            for entry in newest_first(unwritten, folder):
                if len(found) >= limit:
                    break
                if wants(entry):
                    found.append(entry)
            return found

        return find


def newest_first(unwritten: Iterable[AuditEntry], folder: Path | None) -> Iterator[AuditEntry]:
    """Yield entries, the latest first; lines that are none are passed over."""
    yield from reversed(list(unwritten))
    if folder is None:
        return
    decode = msgspec.json.Decoder(AuditEntry).decode
    for _, path in sorted(files_of(folder), reverse=True):
        try:
            lines = path.read_bytes().split(b"\n")
        except OSError:
            # It was the oldest, and is gone by now.
            continue
        for line in reversed(lines):
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                yield decode(line)


def files_of(folder: Path) -> list[tuple[int, Path]]:
    """Return the files of a log with their numbers, in no order."""
    if not folder.is_dir():
        return []
    return [(int(m[1]), path) for path in folder.iterdir() if (m := _FILE.fullmatch(path.name))]


def _name(number: int) -> str:
    return f"audit-{number:08d}.jsonl"


def shown_arguments(value: Any) -> Any:
    """Return arguments as an entry shows them: without credentials, bounded in size."""
    if isinstance(value, dict):
        items = list(value.items())[:ITEMS_MAX]
        return {
            _cut(str(key)): "(hidden)" if _SECRET.search(str(key)) else shown_arguments(inner)
            for key, inner in items
            if inner is not None and inner != []
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [shown_arguments(inner) for inner in list(value)[:ITEMS_MAX]]
    if isinstance(value, str):
        return _cut(value)
    return value if isinstance(value, bool | int | float) or value is None else _cut(str(value))


def _cut(text: str) -> str:
    clean = _USER_INFO.sub("***@", text)
    return clean if len(clean) <= TEXT_MAX else f"{clean[:TEXT_MAX]}..."
