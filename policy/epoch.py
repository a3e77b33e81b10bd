"""An epoch: one consistent loaded set of scripts.

Place in flow: made by ``script_loader``, held and swapped by ``runtime``; a transaction
keeps the one it began with.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from policy.budget import Budget
from policy.handler_tally import HandlerTally
from policy.hook import CallLimits
from policy.hook_registry import Handler, PolicyFinding
from policy.native_hooks import NativeHooks

#: Where the globals of a script hold the epoch they belong to.
EPOCH_NAME = "@epoch"
#: Says nothing about a file: the process or the machine is out of descriptors.
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})


class Epoch:
    """The handlers of one load, and the files that made it what it is.

    Attributes:
        serial: counts the epochs of a runtime, from 1; 0 is the empty one.
        handlers: registered handlers by event, in order.
        runners: what to call for an event, with budget, breaker and checks in place.
        functions: what to call for a function that a script handed over, such as a sender.
        files: content digest of each file read, None for one that is missing.
        sources: the text of each script, by file name: errors show its lines.
        warnings: findings that do not stop the load.
        limits: what its handlers are allowed, by event; under None, all of them and functions.
        native: what trusted code of the program adds to it.
        tallies: what the calls of its handlers came to, in order of registration by event.
        function_tallies: the same of functions that a script handed over, by name, file and line.
        load_s: how long it took to load, checks included, seconds.
        began_mono: when it became the current one, monotonic; None before.
    """

    __slots__ = (
        "__weakref__",
        "began_mono",
        "budget",
        "files",
        "function_tallies",
        "functions",
        "handlers",
        "limits",
        "load_s",
        "native",
        "regex_fallback_uses",
        "runners",
        "serial",
        "sources",
        "tallies",
        "warnings",
    )

    def __init__(self, serial: int, budget: Budget) -> None:
        self.serial = serial
        self.budget = budget
        self.handlers: Mapping[str, list[Handler]] = {}
        self.limits: Mapping[str | None, CallLimits] = {}
        self.runners: dict[str, Callable[..., Any]] = {}
        self.functions: dict[Callable[..., Any], Callable[..., Any]] = {}
        self.files: dict[Path, str | None] = {}
        self.sources: dict[str, bytes] = {}
        self.warnings: list[PolicyFinding] = []
        self.native = NativeHooks()
        self.tallies: list[HandlerTally] = []
        self.function_tallies: dict[tuple[str, str, int], HandlerTally] = {}
        self.load_s = 0.0
        self.began_mono: float | None = None
        self.regex_fallback_uses: Callable[[], int] = int

    @property
    def content_hash(self) -> str:
        """What the files of this epoch amount to."""
        return combine_digests(self.files)

    def watch_file(self, path: Path | str) -> None:
        """Make a change of this file a reason to load anew."""
        path = Path(path).absolute()
        if path not in self.files:
            self.files[path] = digest_of(path)


def digest_of(path: Path) -> str | None:
    """Return the digest of a file's content, or a folder's names; None when it cannot be read.

    Raises:
        OSError: The process has no descriptor left to look at it.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except IsADirectoryError:
        return _digest_of_folder(path)
    except OSError as error:
        if error.errno in _NO_DESCRIPTOR:
            raise
        return None


def _digest_of_folder(path: Path) -> str | None:
    try:
        names = sorted(each.name for each in path.iterdir())
    except OSError as error:
        if error.errno in _NO_DESCRIPTOR:
            raise
        return None
    # What an editor keeps beside a file is no change.
    kept = [name for name in names if not name.startswith(".") and not name.endswith("~")]
    return hashlib.sha256("\0".join(kept).encode("utf-8", "surrogateescape")).hexdigest()


def combine_digests(files: Mapping[Path, str | None]) -> str:
    """Return one digest for a set of files."""
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(f"{path}\0{files[path]}\n".encode())
    return whole.hexdigest()
