"""Where a sink keeps messages: numbered files with a list of envelopes, or a maildir.

Place in flow: ``sink_server`` hands over each message taken, before its 250 is sent.

Known limits: writes are plain and unsynced, on the loop: it is a tool for tests.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from engine.tools.sink_options import SinkMessage


class MessageStore(Protocol):
    """Keeps messages."""

    def keep(self, message: SinkMessage) -> None:
        """Keep one.

        Raises:
            OSError: It cannot be written.
        """

    def close(self) -> None:
        """Finish what is open."""


class NumberedStore:
    """A file per message (``00000001.eml``, as it came) and a line per envelope.

    The lines are in ``envelopes.jsonl``. A folder that holds messages already is added to.

    Args:
        folder: Made if it is not there.
        wall: The time, seconds since the epoch.
    """

    def __init__(self, folder: Path, wall: Callable[[], float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._wall = wall
        names = [path.stem for path in folder.glob("*.eml") if path.stem.isdigit()]
        self._number = max(map(int, names), default=0)
        self._envelopes = (folder / "envelopes.jsonl").open("a", encoding="utf-8")

    def keep(self, message: SinkMessage) -> None:
        """Write the message, then its line."""
        self._number += 1
        name = f"{self._number:08d}.eml"
        (self._folder / name).write_bytes(message.data)
        line = {
            "file": name,
            "at": self._wall(),
            "sender": message.sender,
            "recipients": message.recipients,
            "size": len(message.data),
            "params": dict(message.params),
            "ehlo": message.ehlo,
            "tls": message.tls,
            "connection": message.connection,
            "client": message.client,
            "local": message.local,
            "auth_user": message.auth_user,
        }
        self._envelopes.write(json.dumps(line, ensure_ascii=True) + "\n")
        self._envelopes.flush()

    def close(self) -> None:
        """Close the list."""
        self._envelopes.close()


class MaildirStore:
    """A maildir; each message is whole when it appears in ``new``.

    Args:
        folder: Made if it is not there.
        wall: The time, seconds since the epoch.
    """

    def __init__(self, folder: Path, wall: Callable[[], float]) -> None:
        for name in ("tmp", "new", "cur"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._wall = wall
        self._number = 0
        self._host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")

    def keep(self, message: SinkMessage) -> None:
        """Write the message."""
        self._number += 1
        at = self._wall()
        name = f"{int(at)}.M{int(at % 1 * 1e6):06d}P{os.getpid()}Q{self._number}.{self._host}"
        written = self._folder / "tmp" / name
        written.write_bytes(message.data)
        written.rename(self._folder / "new" / name)

    def close(self) -> None:
        """Do nothing: nothing is open."""
