"""Where ``cirrus tail`` goes on after it was ended: a file, written after what it says is so.

Place in flow: ``engine.tools.tail_files`` reads it once and saves it after each batch.

Invariants:
    * What it says was given out was given out: records come twice rather than never.
    * It is whole or the one before: written beside it, synced, and put in its place.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from engine.tools.segment_series import Position

_VERSION = 1


class _Saved(msgspec.Struct, frozen=True):
    version: int
    directories: Position


class CheckpointError(Exception):
    """What is in the file is no checkpoint."""


class Checkpoint:
    """A checkpoint's file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved: Position | None = None

    def load(self) -> Position | None:
        """Return where to go on, None where there is no checkpoint yet.

        Raises:
            CheckpointError: It is damaged, or of another version.
            OSError: It cannot be read.
        """
        try:
            saved = msgspec.json.decode(self.path.read_bytes(), type=_Saved)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{self.path}: no checkpoint: {error}") from error
        if saved.version != _VERSION:
            raise CheckpointError(f"{self.path}: a checkpoint of unknown version {saved.version}")
        return saved.directories

    def save(self, position: Position) -> None:
        """Note that everything up to a position was given out.

        Raises:
            OSError: It cannot be written; the one before stands.
        """
        if position == self._saved:
            return
        fresh = self.path.with_name(f"{self.path.name}.new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(_Saved(_VERSION, position)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        self._saved = position


def checkpoint_path(text: str, log_dir: Path) -> Path:
    """Return the file of a checkpoint: a path if it looks like one, else hidden in the directory.

    Args:
        text: What the operator said.
        log_dir: Where names are.
    """
    return Path(text) if "/" in text else log_dir / f".{text}"
