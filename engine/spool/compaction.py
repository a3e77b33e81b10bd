"""Dead mail gives its space back now, and not when RocksDB finds it worth while.

Place in flow: ``engine.spool.disk_store`` has one; operators ask for it.

Invariants:
    * It goes on file by file in a thread of its own, without the interpreter lock: mail flows.
    * Nobody closes the database under its hands: who wants to waits for the file at work, for a
      bounded time.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from rocksdict import Rdict

from engine.model.errors import SpoolUnavailableError

#: How long the end of the database waits for the file at work, seconds.
CLOSE_S = 10.0


class Compaction:
    """The compactions of one database, one at a time.

    Args:
        database: Returns the database, None when it must not be used now.
    """

    def __init__(self, database: Callable[[], Rdict | None]) -> None:
        self._database = database
        self._in_use = threading.Lock()
        self._running: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Rewrite all of it; who comes while it goes on waits for the same end.

        Raises:
            SpoolUnavailableError: The database cannot be used, or went away.
        """
        if self._running is None:
            loop = asyncio.get_running_loop()
            done = self._running = loop.create_future()
            # Not of a pool: the process must not wait for it at its end.
            threading.Thread(
                target=self._work, args=(loop, done), name="spool-compaction", daemon=True
            ).start()
            done.add_done_callback(self._ended)
        await asyncio.shield(self._running)

    def _ended(self, done: asyncio.Future[None]) -> None:
        self._running = None
        if not done.cancelled():
            # Whoever asked may be gone.
            done.exception()

    def _work(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
        error: Exception | None = None
        try:
            with self._in_use:
                self._use().flush()
                ranges = key_ranges(self._use().live_files())
            for start, end in ranges:
                with self._in_use:
                    self._use().compact_range(start, end)
        except Exception as caught:  # noqa: BLE001 - admin command boundary: rocksdict's only class
            error = SpoolUnavailableError(f"the compaction failed: {caught}")
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(_resolve, done, error)

    def _use(self) -> Rdict:
        found = self._database()
        if found is None:
            raise SpoolUnavailableError("the spool cannot be used now")
        return found

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Keep it from the database for a while, to close that.

        Raises:
            TimeoutError: The file at work takes too long.
        """
        if not self._in_use.acquire(timeout=CLOSE_S):
            raise TimeoutError("a compaction does not end")
        try:
            yield
        finally:
            self._in_use.release()


def _resolve(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def key_ranges(files: list[dict[str, Any]]) -> list[tuple[bytes, bytes]]:
    """Return the ranges of keys of table files, in order, each once."""
    return sorted({(one["start_key"], one["end_key"]) for one in files if one["start_key"]})
