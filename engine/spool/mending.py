"""The replay of a long write-ahead log, in a process of its own.

Place in flow: ``engine.spool.spool_folder`` asks for it before it reopens a failed database.

rocksdict holds the interpreter lock while it opens, and so as long as RocksDB replays its log: 3 ms
for each megabyte, seconds on a slow disk. The log of a busy node is tens of megabytes, and a failed
disk is tried again and again. So a child opens the database, which writes the log's content into
tables, and closes it; what is left to open is short.

Failure: where no process can be started, or it fails, the node opens the database itself.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from engine.spool.database import open_database

log = logging.getLogger("cirrus.spool")

#: Octets of log up to which the node opens the database itself.
SHORT_LOG_BYTES = 4 << 20
#: A child that takes longer hangs with its disk, seconds.
PATIENCE_S = 30.0


def log_bytes(folder: Path) -> int:
    """Return the octets of write-ahead log that an open would replay."""
    return sum(file.stat().st_size for file in folder.glob("*.log"))


def replay(folder: Path) -> None:
    """Have a child replay the log of a database that is closed; never raises."""
    try:
        if log_bytes(folder) <= SHORT_LOG_BYTES:
            return
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "engine.spool.mending", str(folder)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("the spool's log cannot be replayed beside the node: %s", error)
        return
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = lines[-1] if lines else f"exit status {done.returncode}"
        log.warning("the spool's log cannot be replayed beside the node: %s", why)


def main(arguments: list[str]) -> None:
    """Open and close the database of a folder."""
    database = open_database(Path(arguments[1]))
    database.close()


if __name__ == "__main__":
    main(sys.argv)
