"""``mta.sqlite``: small databases in files.

Place in flow: exposed by ``network_modules``; ``sqlite_database`` runs the statements.

Invariants:
    * A file lies in the folder of the policy or in one that ``init`` allowed, links resolved, and
      is no script: a wrong path must not reach the spool, the logs or the policy itself.
    * Handlers that use the same file share it, in turn; waiting for the turn is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from engine.model.duration import parse_duration
from engine.script_modules.open_connections import OpenConnections, Opening
from engine.script_modules.script_call import caller_budget
from engine.script_modules.sqlite_database import Parameters, SqliteDatabase
from engine.script_modules.waiting_call import account_result, waiting
from policy.errors import ConfinementError
from policy.script_api import ScriptNamespace, known_to_scripts

MODULE = "mta.sqlite"
THREADS = 4
BUSY_S_MAX = 5.0
#: Below the waiting time of an event, so that a script can still answer.
STATEMENT_S = 5.0
PARAMETERS_MAX = 10_000
NAME_MAX = 4096


class SqliteFiles:
    """Opens files for scripts.

    Args:
        connections: Where open ones are kept.
        folders: Port: where they may lie; the first is that of the policy.
        mono: Monotonic time in seconds.
    """

    def __init__(
        self,
        connections: OpenConnections,
        folders: Callable[[], Sequence[Path]],
        mono: Callable[[], float],
    ) -> None:
        self.connections = connections
        self._folders = folders
        self._mono = mono
        self._threads: ThreadPoolExecutor | None = None

    def open(
        self, path: str, busy_timeout: Any = 0.5, *, statement_timeout: Any = STATEMENT_S
    ) -> SqliteFile:
        """Return a file; it is opened, and made if need be, at the first statement.

        Args:
            path: Relative to the folder of the policy, or absolute.
            busy_timeout: How long to wait for others who hold it.
            statement_timeout: The longest that a statement may take.
        """
        if not isinstance(path, str) or not 0 < len(path) <= NAME_MAX or "\0" in path:
            raise ValueError("path: the name of a file is expected")
        if path.startswith(("file:", ":")):
            raise ValueError("path: the name of a file is expected; mta.memoize keeps in memory")
        busy_s, statement_s = parse_duration(busy_timeout), parse_duration(statement_timeout)
        if busy_s > BUSY_S_MAX:
            raise ValueError(f"busy_timeout: at most {BUSY_S_MAX:g} s")
        if not 0 < statement_s <= 60:
            raise ValueError("statement_timeout: more than 0 and at most 60 s")
        return SqliteFile(self, path, busy_s, statement_s)

    def opening(self, name: str, busy_s: float) -> Opening[SqliteDatabase]:
        """Return how a file is opened and closed.

        Raises:
            ConfinementError: It lies where no script may write.
        """
        path = self._find(name)
        threads = self._threads
        if threads is None:
            threads = self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sqlite")
        return Opening(
            ("sqlite", path, busy_s),
            lambda: SqliteDatabase(path, busy_s, self._mono, threads).open(),
            lambda database: database.close(),
        )

    def _find(self, name: str) -> Path:
        folders = [folder.resolve() for folder in self._folders()]
        path = (folders[0] / name).resolve()
        if not any(path.is_relative_to(folder) for folder in folders):
            raise ConfinementError(
                f"{name[:200]!r} lies outside the folder of the policy: allow its folder in init"
                " (mta.sqlite.allow_folder)"
            )
        if path.suffix == ".py":
            raise ConfinementError(f"{name[:200]!r} is the name of a script")
        return path

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make the module importable by scripts."""
        namespace.expose("open", self.open, module=MODULE)

    def close(self) -> None:
        """End the threads, when they are done."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None


@known_to_scripts("File")
class SqliteFile:
    """A file, as scripts hold it."""

    __slots__ = ("_busy_s", "_files", "_path", "_statement_s")

    def __init__(self, files: SqliteFiles, path: str, busy_s: float, statement_s: float) -> None:
        self._files = files
        self._path = path
        self._busy_s = busy_s
        self._statement_s = statement_s

    @waiting("sqlite.execute")
    async def execute(self, sql: str, *parameters: Any) -> Any:
        """Return the rows of a statement, or how many it changed.

        Args:
            sql: One statement.
            parameters: Values for its ``?``, or one table for its ``:name``.
        """
        values = _checked(sql, parameters)
        opening = self._files.opening(self._path, self._busy_s)
        # Its turn, others who hold the file, the statement itself.
        whole_s = 2 * self._statement_s + 2 * self._busy_s
        try:
            async with asyncio.timeout(whole_s), self._files.connections.use(opening) as database:
                result = await database.execute(sql, values, self._statement_s)
        except TimeoutError as error:
            raise TimeoutError(str(error) or "sqlite: too many others are waiting") from None
        return account_result(caller_budget(), result)

    def close(self) -> None:
        """Do nothing: the file is closed when no script uses it any more."""

    def __repr__(self) -> str:
        return "<sqlite file>"


def _checked(sql: Any, parameters: tuple[Any, ...]) -> Parameters:
    if not isinstance(sql, str) or not sql.strip():
        raise TypeError("execute: a statement is expected")
    named = len(parameters) == 1 and isinstance(parameters[0], Mapping)
    values: dict[Any, Any] = dict(parameters[0]) if named else dict(enumerate(parameters))
    if len(values) > PARAMETERS_MAX:
        raise ValueError(f"execute: more than {PARAMETERS_MAX} values")
    for name, value in values.items():
        if value is not None and not isinstance(value, str | bytes | int | float):
            kind = type(value).__name__
            raise TypeError(f"execute: values are text, bytes, numbers or None, not {kind}")
        if named and not isinstance(name, str):
            raise TypeError("execute: the names of values are text")
    return values if named else parameters
