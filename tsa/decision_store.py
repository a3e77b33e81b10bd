"""Decisions in force and what they were made from, durable.

Place in flow: ``tsa.record_intake`` saves what records led to before it acknowledges them;
``tsa.publication`` shows what is in force; loaded once at the start.

Invariants:
    * ``save`` is one transaction: after it returned, all of it survives a power cut; after it
      raised, none of it is there.
    * What is in force lives in memory; the file is written, and read at the start only.
    * An expiry never shrinks; what expired is gone from memory at once, from the file in a minute.

Failure: a file that cannot be written raises ``StoreUnavailableError``; the caller keeps what it
wanted to save and tries again. A damaged file is set aside at the start, with a line, and an empty
one begins: rules decide anew.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from engine.model.decision import Decision, renew
from engine.model.shaping_action import Adjustment
from tsa.adjustment import AdjustedValue
from tsa.errors import ConfigurationError, StoreUnavailableError
from tsa.rule_engine import Mark
from tsa.settled_window import WindowState

log = logging.getLogger("cirrus.tsa")

FORMAT = 2
#: Tables of format 1 that are not read any more: what they count over is over within the hour.
_DROPPED = "DROP TABLE IF EXISTS share;"
_TABLES = """
CREATE TABLE IF NOT EXISTS decision (
  key TEXT PRIMARY KEY, body BLOB NOT NULL, expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS mark (window TEXT NOT NULL, at REAL NOT NULL, record_key TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS mark_at ON mark (at);
CREATE TABLE IF NOT EXISTS counted (window TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS adjusted (window TEXT PRIMARY KEY, body BLOB NOT NULL);
"""
_encoder = msgspec.msgpack.Encoder()
_decision_decoder = msgspec.msgpack.Decoder(Decision)
_window_decoder = msgspec.msgpack.Decoder(WindowState)


@dataclass(slots=True)
class Batch:
    """What is to be made durable together.

    Attributes:
        windows: Settled windows; None for those that count no more.
        adjusted: Adjusted values with their decisions; None for those that are over.
    """

    decisions: dict[str, Decision] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    windows: dict[str, WindowState | None] = field(default_factory=dict)
    adjusted: dict[str, tuple[AdjustedValue, Decision] | None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.decisions) + len(self.marks) + len(self.windows) + len(self.adjusted)


@dataclass(slots=True)
class Kept:
    """What the file held at the start."""

    marks: list[Mark] = field(default_factory=list)
    windows: dict[str, WindowState] = field(default_factory=dict)
    adjusted: dict[str, tuple[AdjustedValue, Decision]] = field(default_factory=dict)


class DecisionStore:
    """The decisions of one daemon.

    Attributes:
        in_force: Decisions by key, expired ones included until they are looked at.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tsa.db"
        self._db: sqlite3.Connection | None = None
        self.in_force: dict[str, Decision] = {}

    def open(self) -> Kept:
        """Open the file and return what it held.

        Raises:
            ConfigurationError: The folder cannot be used, or another daemon uses it.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return self._open_file()
        except sqlite3.OperationalError as error:
            raise ConfigurationError(f"{self._path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            aside = self._path.with_suffix(".damaged")
            log.error("%s is damaged (%s); it is set aside as %s", self._path, error, aside.name)
            self.close()
            for suffix in ("-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            self._path.replace(aside)
            return self._open_file()
        except OSError as error:
            raise ConfigurationError(f"{self._path} cannot be used: {error.strerror}") from error

    def _open_file(self) -> Kept:
        # Saving happens in one thread at a time, not always the same.
        database = self._db = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=1.0
        )
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        found = database.execute("PRAGMA user_version").fetchone()[0]
        if found > FORMAT:
            raise ConfigurationError(f"{self._path} has format {found}, not {FORMAT}")
        database.executescript(_DROPPED + _TABLES)
        database.execute(f"PRAGMA user_version = {FORMAT}")
        return self._load(database)

    def _load(self, database: sqlite3.Connection) -> Kept:
        kept = Kept()
        for (body,) in database.execute("SELECT body FROM decision"):
            decision = _decision_decoder.decode(body)
            self.in_force[decision.key] = decision
        for row in database.execute("SELECT window, at, record_key FROM mark ORDER BY at"):
            kept.marks.append(Mark(*row))
        for window, body in database.execute("SELECT window, body FROM counted"):
            kept.windows[window] = _window_decoder.decode(body)
        for window, body in database.execute("SELECT window, body FROM adjusted"):
            kept.adjusted[window] = _read_adjusted(body)
        return kept

    def close(self) -> None:
        """Close the file."""
        database, self._db = self._db, None
        if database is not None:
            with contextlib.suppress(sqlite3.Error):
                database.close()

    # -- in force -------------------------------------------------------------------------------

    def take(self, decision: Decision) -> tuple[Decision, bool]:
        """Put a decision into force; return it as it now holds, and whether that is news.

        It is news when it is a new one, has another value, or holds noticeably longer.
        """
        known = self.in_force.get(decision.key)
        if known is None:
            self.in_force[decision.key] = decision
            return decision, True
        if decision.expires_at <= decision.last_record_at or decision.count == 0:
            # Time itself changed it: an adjusted value that rose, or is over.
            made = msgspec.structs.replace(
                known, value=decision.value, expires_at=decision.expires_at
            )
            is_news = True
        else:
            made = renew(known, decision)
            longer_s = made.expires_at - known.expires_at
            length_s = known.expires_at - known.last_record_at
            is_news = made.value != known.value or longer_s > max(1.0, 0.05 * length_s)
        self.in_force[decision.key] = made
        return made, is_news

    def active(self, now: float) -> Iterator[Decision]:
        """Yield the decisions in force, those that expired left out."""
        for decision in list(self.in_force.values()):
            if decision.expires_at > now:
                yield decision

    def forget_expired(self, now: float) -> list[Decision]:
        """Drop what expired from memory; return it."""
        gone = [one for one in self.in_force.values() if one.expires_at <= now]
        for decision in gone:
            del self.in_force[decision.key]
        return gone

    # -- the file -------------------------------------------------------------------------------

    def save(self, batch: Batch) -> None:
        """Make a batch durable. Waits for the disk: called in a thread.

        Raises:
            StoreUnavailableError: Nothing of it was saved.
        """
        self._write(
            [
                (
                    "INSERT OR REPLACE INTO decision VALUES (?, ?, ?)",
                    [
                        (key, _encoder.encode(decision), decision.expires_at)
                        for key, decision in batch.decisions.items()
                    ],
                ),
                ("INSERT INTO mark VALUES (?, ?, ?)", batch.marks),
                (
                    "INSERT OR REPLACE INTO counted VALUES (?, ?)",
                    [
                        (window, _encoder.encode(state))
                        for window, state in batch.windows.items()
                        if state is not None
                    ],
                ),
                (
                    "DELETE FROM counted WHERE window = ?",
                    [(window,) for window, state in batch.windows.items() if state is None],
                ),
                (
                    "INSERT OR REPLACE INTO adjusted VALUES (?, ?)",
                    [
                        (window, _format_adjusted(*held))
                        for window, held in batch.adjusted.items()
                        if held is not None
                    ],
                ),
                (
                    "DELETE FROM adjusted WHERE window = ?",
                    [(window,) for window, held in batch.adjusted.items() if held is None],
                ),
            ]
        )

    def prune(self, now: float, oldest_mark_at: float) -> None:
        """Drop from the file what is of no use any more. Called in a thread.

        Raises:
            StoreUnavailableError: It cannot be written.
        """
        self._write(
            [
                ("DELETE FROM decision WHERE expires_at <= ?", [(now,)]),
                ("DELETE FROM mark WHERE at < ?", [(oldest_mark_at,)]),
            ]
        )

    def _write(self, statements: list[tuple[str, Iterable[Any]]]) -> None:
        database = self._db
        if database is None:
            raise StoreUnavailableError("the store is closed")
        try:
            database.execute("BEGIN IMMEDIATE")
            for text, rows in statements:
                if rows:
                    database.executemany(text, rows)
            database.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise StoreUnavailableError(f"{self._path} cannot be written: {error}") from error


class _KeptAdjusted(msgspec.Struct):
    rule: dict[str, Any]
    base: float | None
    amount: float
    lowered_at: float
    signal_at: float
    raised_at: float
    decision: Decision


def _format_adjusted(value: AdjustedValue, decision: Decision) -> bytes:
    return _encoder.encode(
        _KeptAdjusted(
            asdict(value.rule),
            value.base,
            value.amount,
            value.lowered_at,
            value.signal_at,
            value.raised_at,
            decision,
        )
    )


def _read_adjusted(body: bytes) -> tuple[AdjustedValue, Decision]:
    kept = msgspec.msgpack.decode(body, type=_KeptAdjusted)
    value = AdjustedValue(
        Adjustment(**kept.rule),
        kept.base,
        kept.amount,
        kept.lowered_at,
        kept.signal_at,
        kept.raised_at,
    )
    return value, kept.decision
