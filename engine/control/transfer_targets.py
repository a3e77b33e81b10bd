"""The nodes that mail is transferred to: who we are to them, and how it goes.

Place in flow: operators and scripts name targets; the transfer dispatchers ask for credentials and
note what came of each transfer; administration shows it.

Invariants:
    * Credentials are kept beside the spool, readable by the node's user alone: mail that waits for
      a node may leave after a restart. They are in no queue's name, record or log.
    * What is counted is of this run of the node.

Failure: credentials that cannot be written are said in the diagnostic log; this run has them.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.model.transfer_target import TransferTarget

log = logging.getLogger("cirrus.transfer")

FILE_NAME = "transfer-targets.json"
#: Targets that are remembered; scripts may make up any number.
TARGETS_MAX = 1000


@dataclass(slots=True)
class TransferTally:
    """What came of the transfers to one node.

    Attributes:
        transferred: Messages it has taken.
        failed: Attempts that failed.
        last_error: Why the last of them did; None once a message was taken after it.
        last_error_at: When, in seconds since the Unix epoch.
    """

    transferred: int = 0
    failed: int = 0
    last_error: str | None = None
    last_error_at: float = 0.0


class _Kept(msgspec.Struct, frozen=True):
    user: str
    password: str | None = None


class TransferTargets:
    """The targets of one node, by URL."""

    def __init__(self, wall: Callable[[], float]) -> None:
        """Date errors by the given clock (seconds since the Unix epoch)."""
        self._wall = wall
        self._path: Path | None = None
        self._kept: dict[str, _Kept] = {}
        self._tallies: dict[str, TransferTally] = {}

    def open(self, folder: Path) -> None:
        """Read what is kept in a folder, and keep it there from now on."""
        self._path = folder / FILE_NAME
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Kept])
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.error("%s cannot be read: %s", self._path, type(error).__name__)
            return
        self._kept = kept | self._kept

    def learn(self, target: TransferTarget) -> None:
        """Remember the credentials of a target; one without leaves what is known."""
        if target.user is None:
            return
        known = _Kept(target.user, target.password)
        if self._kept.get(target.url) == known:
            return
        if len(self._kept) >= TARGETS_MAX and target.url not in self._kept:
            del self._kept[next(iter(self._kept))]
        self._kept[target.url] = known
        self._write()

    def credentials(self, target: TransferTarget) -> tuple[str, str] | None:
        """Return user and password for a target, or None where it wants none."""
        known = self._kept.get(target.url)
        if target.user is not None:
            return target.user, target.password or ""
        return None if known is None else (known.user, known.password or "")

    def tally(self, target: TransferTarget) -> TransferTally:
        """Return what came of the transfers to a target so far."""
        found = self._tallies.get(target.url)
        if found is None:
            if len(self._tallies) >= TARGETS_MAX:
                del self._tallies[next(iter(self._tallies))]
            found = self._tallies[target.url] = TransferTally()
        return found

    def note_taken(self, target: TransferTarget) -> None:
        """Note that a target has a message."""
        tally = self.tally(target)
        tally.transferred += 1
        tally.last_error = None

    def note_failed(self, target: TransferTarget, why: str) -> None:
        """Note that an attempt failed; said in the diagnostic log where it is news."""
        tally = self.tally(target)
        if tally.last_error != why:
            log.warning("transfer to %s: %s", target.url, why)
        tally.failed += 1
        tally.last_error = why
        tally.last_error_at = self._wall()

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            write_private(self._path, msgspec.json.encode(self._kept))
        except OSError as error:
            log.error("%s cannot be written: %s", self._path, error.strerror)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only the node's user can read: the old content, or the new.

    Raises:
        OSError: It cannot be written; what was there stays.
    """
    fresh = path.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        # Not to be written into as it is: somebody else may have it open.
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
