"""Small databases in files, without a server."""

from collections.abc import Mapping
from typing import Any, TypeAlias, final, type_check_only

_Duration: TypeAlias = int | float | str
_Value: TypeAlias = str | bytes | int | float | None

@final
@type_check_only
class File:
    """A file; all who open it share it, a statement at a time.

    >>> db = mta.sqlite.open("tenants.db")
    >>> await db.execute("CREATE TABLE IF NOT EXISTS t (name TEXT, pool TEXT)")
    0
    >>> await db.execute("INSERT INTO t VALUES (:n, :p)", {"n": "acme", "p": "pool-a"})
    1
    >>> await db.execute("SELECT name, pool FROM t")
    [{'name': 'acme', 'pool': 'pool-a'}]
    """

    async def execute(self, sql: str, *parameters: _Value | Mapping[str, _Value]) -> Any:
        """Run one statement, a transaction of its own.

        Values stand for ``?``, or one table for ``:name``. Returns the values of a single column,
        tables for several, or how many rows changed. TimeoutError: it took too long or others
        hold the file; ValueError: it cannot be run; OSError: the file is damaged.
        """
    def close(self) -> None:
        """Run no more statements."""

def open(path: str, busy_timeout: _Duration = 0.5, *, statement_timeout: _Duration = 5) -> File:
    """A file below the policy's folder, or in one that init allowed.

    >>> db = mta.sqlite.open("seen.db")
    >>> await db.execute("CREATE TABLE seen (address TEXT)")
    0
    >>> await db.execute("INSERT INTO seen VALUES (?)", "a@example.org")
    1
    >>> await db.execute("SELECT address FROM seen")
    ['a@example.org']
    """

def allow_folder(path: str) -> None:
    """Let databases lie in this folder, beside the policy's own. Only in init.

    >>> mta.sqlite.allow_folder("/var/lib/cirrus")
    """
