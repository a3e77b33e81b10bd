"""Messages of a spool as files: content as it would be sent, envelope and metadata beside it.

Place in flow: ``cirrus spool export`` writes them.

Invariants:
    * A file has its name only when it is whole and on the disk; the one with the content comes
      first, so that where there is metadata there is a message.
    * Nothing is overwritten unless that is asked for. What is written only its owner can read.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any


class ExistsAlreadyError(Exception):
    """There is a file of this name."""


class MailFolder:
    """A folder that takes messages.

    Args:
        path: The folder; made if there is none.
        overwrites: Whether files may be replaced.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: Path, *, overwrites: bool = False) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._overwrites = overwrites

    def put(self, name: str, content: bytes, envelope: dict[str, Any]) -> Path:
        """Return the file that a message was written to.

        Args:
            name: What its files are called.
            content: The message.
            envelope: What belongs to it.

        Raises:
            ExistsAlreadyError: It is there already.
            OSError: It cannot be written.
        """
        mail, beside = self.path / f"{name}.eml", self.path / f"{name}.json"
        if not self._overwrites:
            for path in (mail, beside):
                if path.exists():
                    raise ExistsAlreadyError(f"{path} exists already")
        self._write(mail, content)
        text = json.dumps(envelope, indent=2, ensure_ascii=False, default=str)
        self._write(beside, text.encode("utf-8", "backslashreplace") + b"\n")
        return mail

    def _write(self, path: Path, data: bytes) -> None:
        fresh = path.with_name(f".{path.name}.new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._give_name(fresh, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()

    def _give_name(self, fresh: Path, path: Path) -> None:
        if self._overwrites:
            fresh.replace(path)
            return
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            raise ExistsAlreadyError(f"{path} exists already") from None
