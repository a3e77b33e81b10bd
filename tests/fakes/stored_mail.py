"""Spools as nodes leave them, on disk, and ways to damage them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.base.clock import Clock
from engine.model.message import Message, new_spool_id
from engine.spool.database import Writes, batch_of
from engine.spool.pending_commit import operations_of
from engine.spool.spool_folder import SpoolFolder

CREATED_AT = 1_700_000_000.0
BODY = b"Subject: hello\r\nX-Bell: \x07\r\n\r\nwords of the body\r\n"
PREFIX = b"Received: from there\r\n"


def mail(
    number: int = 0, recipients: Iterable[str] = ("ann@a.test",), **changes: object
) -> Message:
    """Return a message; its number makes its id and its sender."""
    data = changes.pop("data", BODY)
    assert isinstance(data, bytes)
    values: dict[str, object] = {
        "data": data,
        "size": len(PREFIX) + len(data),
        "created_at": CREATED_AT + number,
        "prefix": PREFIX,
        **changes,
    }
    spool_id = new_spool_id(int((CREATED_AT + number) * 1e9))
    return Message(spool_id, f"sender-{number}@x.test", list(recipients), **values)  # type: ignore[arg-type]


def shared(first: int, *recipients: str) -> list[Message]:
    """Return a message for each recipient; they share one body."""
    messages = [mail(first + number, [one]) for number, one in enumerate(recipients)]
    for message in messages:
        message.body_id = messages[0].body_id
    return messages


def store(path: Path, *commits: list[Message], flush: bool = False) -> None:
    """Store messages as a node does, and leave the spool; with ``flush`` in a table file."""
    writes: Writes = {}
    for messages in commits:
        writes.update(operations_of(messages, Clock().wall_of))
    change(path, writes, flush=flush)


def change(path: Path, writes: Writes, *, flush: bool = False) -> None:
    """Write keys and values into a spool; None deletes."""
    folder = SpoolFolder(path)
    database = folder.open()
    database.write(batch_of(writes))
    database.flush_wal(True)
    if flush:
        database.flush()
    database.close()
    folder.release()


def damage(path: Path, mark: bytes) -> None:
    """Damage the block of a spool's table file that holds a text."""
    for table in (path / "db").glob("*.sst"):
        raw = bytearray(table.read_bytes())
        if mark in raw:
            raw[raw.index(mark)] ^= 0xFF
            table.write_bytes(raw)
            return
    raise AssertionError(f"{mark!r} is in no table file")


def state_of(path: Path) -> dict[str, bytes]:
    """Return all files of a spool but the name of who has it."""
    return {
        str(one.relative_to(path)): one.read_bytes()
        for one in sorted(path.rglob("*"))
        if one.is_file() and one.name != "owner"
    }
