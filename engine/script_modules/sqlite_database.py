"""One SQLite file, used by threads and never by the loop.

Place in flow: ``sqlite_file`` opens it and runs the statements of scripts on it.

Invariants:
    * One statement at a time, each a transaction of its own: several handlers share the file, so
      BEGIN, SAVEPOINT and ATTACH are refused.
    * A statement ends at its deadline or when nobody waits for it any more. Rows and octets of a
      result are bounded.

Failure: ``TimeoutError`` at the deadline and for a file that others hold, ``ValueError`` for a
statement that cannot be, ``OSError`` for a file that is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from engine.script_modules.waiting_call import measure_plain

ROWS_MAX = 10_000
RESULT_BYTES_MAX = 16 << 20
VALUE_BYTES_MAX = 16 << 20
SQL_BYTES_MAX = 1 << 20
#: Steps of SQLite's machine between looks at the clock: about a millisecond.
_STEPS = 10_000
_ROWS_AT_ONCE = 256
#: They change the process, or where files go.
_REFUSED_PRAGMAS = frozenset(
    {
        "data_store_directory",
        "hard_heap_limit",
        "soft_heap_limit",
        "temp_store_directory",
        "writable_schema",
    }
)

#: Results that say something of the file and not of the statement.
_FILE_TROUBLE = (
    "SQLITE_CANTOPEN",
    "SQLITE_CORRUPT",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_NOTADB",
    "SQLITE_PERM",
    "SQLITE_READONLY",
)

Parameters = tuple[Any, ...] | Mapping[str, Any]


_OF_TRANSACTIONS = (sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT)


class _Gate:
    """Says what a statement may do, and what was wrong with the last one."""

    def __init__(self) -> None:
        self.refused = ""
        self._is_vacuum = False

    def open_for(self, sql: str) -> None:
        """Begin a statement."""
        self.refused = ""
        # It makes a transaction and a nameless file of its own.
        self._is_vacuum = sql.lstrip()[:6].upper() == "VACUUM"

    def __call__(self, action: int, first: str | None, second: str | None, *_where: Any) -> int:
        if action == sqlite3.SQLITE_ATTACH and first:
            self.refused = "ATTACH and VACUUM INTO reach other files"
        elif action in _OF_TRANSACTIONS and not self._is_vacuum:
            self.refused = "each statement is a transaction of its own; BEGIN and COMMIT are not"
        elif action == sqlite3.SQLITE_PRAGMA and str(first).lower() in _REFUSED_PRAGMAS:
            self.refused = f"the pragma {first} is not for scripts"
        else:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY


class SqliteDatabase:
    """An open file.

    Args:
        path: Where it is.
        busy_s: How long to wait for others who hold it.
        mono: Monotonic time in seconds, for threads too.
        threads: Where statements run.
    """

    def __init__(
        self, path: Path, busy_s: float, mono: Callable[[], float], threads: Executor
    ) -> None:
        self._path = path
        self._busy_s = busy_s
        self._mono = mono
        self._threads = threads
        self._gate = _Gate()
        self._one_at_a_time = asyncio.Lock()
        self._connection: sqlite3.Connection

    async def open(self) -> SqliteDatabase:
        """Return itself, opened.

        Raises:
            OSError: It cannot be opened.
        """
        await asyncio.get_running_loop().run_in_executor(self._threads, self._open)
        return self

    def _open(self) -> None:
        try:
            self._connection = connection = sqlite3.connect(
                self._path, timeout=self._busy_s, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise OSError(f"sqlite: {self._path.name}: {error}") from None
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)
        connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX)
        connection.set_authorizer(self._gate)

    async def execute(self, sql: str, parameters: Parameters, limit_s: float) -> Any:
        """Return what a statement gives.

        Args:
            sql: One statement.
            parameters: Its values, by position or by name.
            limit_s: The longest that it may take, its turn not counted.

        Raises:
            TimeoutError: It takes longer, or others hold the file.
            ValueError: The statement or its result cannot be.
            OSError: The file is damaged.
        """
        await self._one_at_a_time.acquire()
        given_up = threading.Event()
        deadline_mono = self._mono() + limit_s
        job = asyncio.get_running_loop().run_in_executor(
            self._threads, self._run, sql, parameters, deadline_mono, given_up
        )
        # Not before the thread has ended: it may still hold the connection when the wait is over.
        job.add_done_callback(self._release)
        try:
            return await asyncio.shield(job)
        finally:
            given_up.set()

    def _release(self, job: asyncio.Future[Any]) -> None:
        self._one_at_a_time.release()
        if not job.cancelled():
            job.exception()

    def _run(
        self, sql: str, parameters: Parameters, deadline_mono: float, given_up: threading.Event
    ) -> Any:
        def is_over() -> bool:
            return given_up.is_set() or self._mono() > deadline_mono

        self._gate.open_for(sql)
        self._connection.set_progress_handler(is_over, _STEPS)
        try:
            with contextlib.closing(self._connection.execute(sql, parameters)) as cursor:
                if cursor.description is None:
                    return max(0, cursor.rowcount)
                return _read_rows(cursor, is_over)
        except sqlite3.Error as error:
            raise self._explained(error) from None
        except (OverflowError, UnicodeError, sqlite3.Warning) as error:
            raise ValueError(f"sqlite: {error}") from None

    def _explained(self, error: sqlite3.Error) -> Exception:
        name = getattr(error, "sqlite_errorname", "")
        if self._gate.refused:
            return ValueError(f"sqlite: {self._gate.refused}")
        if name.startswith("SQLITE_INTERRUPT"):
            return TimeoutError("sqlite: the statement took too long")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return TimeoutError("sqlite: others hold the file")
        if name.startswith(_FILE_TROUBLE):
            return OSError(f"sqlite: {self._path.name}: {error}")
        return ValueError(f"sqlite: {error}")

    async def close(self) -> None:
        """Close the file, when the statement under way has ended."""
        async with self._one_at_a_time:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self._connection.close)


def _read_rows(cursor: sqlite3.Cursor, is_over: Callable[[], bool]) -> list[Any]:
    names = [column[0] for column in cursor.description]
    made: list[Any] = []
    size_bytes = 0
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        part = [row[0] if len(names) == 1 else dict(zip(names, row, strict=True)) for row in rows]
        made += part
        size_bytes += measure_plain(part)
        if len(made) > ROWS_MAX:
            raise ValueError(f"sqlite: more than {ROWS_MAX} rows; use LIMIT")
        if size_bytes > RESULT_BYTES_MAX:
            raise ValueError(f"sqlite: rows of more than {RESULT_BYTES_MAX} octets; use LIMIT")
        if is_over():
            raise TimeoutError("sqlite: the statement took too long")
    return made
