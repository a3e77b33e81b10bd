"""``mta.fs``: reading files of the policy's folder.

Place in flow: exposed by ``all_modules``; ``serialization`` reads its files through here.

Invariants:
    * Nothing outside the folder of the policy script is read, links resolved; nothing is written.
    * A file is read whole and closed: what a script holds is its content.
    * What is read while the policy loads belongs to the epoch, and a change of it is a reload. What
      a handler reads with ``mta.fs`` later is read anew each time and not watched.
    * Only plain files: a pipe or a device could hold the node up.
"""

from __future__ import annotations

import datetime
import fnmatch
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from engine.script_modules.script_call import caller_budget, caller_epoch
from policy.budget import Budget
from policy.epoch import Epoch, digest_of
from policy.errors import ConfinementError, LimitExceededError
from policy.script_api import ScriptNamespace

MODULE = "mta.fs"
FILE_BYTES_MAX = 16 * 1024 * 1024
FILES_WATCHED_MAX = 2_000
ENTRIES_MAX = 20_000
FOUND_MAX = 5_000
DEPTH_MAX = 8
_PATTERN_MAX = 500


class File:
    """The content of a file that was opened."""

    __slots__ = ("_content", "_position", "_whole")

    def __init__(self, content: str | bytes) -> None:
        self._content: Any = content
        self._whole = len(content)
        self._position = 0

    def read(self, size: int | None = None) -> Any:
        """Return the next characters or octets; the rest without a size."""
        start = self._position
        end = self._whole if size is None or size < 0 else min(start + size, self._whole)
        self._position = max(start, end)
        caller_budget().account_text(max(0, end - start))
        return self._content[start:end]

    def readline(self) -> Any:
        """Return the next line with its end; nothing at the end of the file."""
        mark = "\n" if isinstance(self._content, str) else b"\n"
        end = self._content.find(mark, self._position)
        return self.read(None if end < 0 else end + 1 - self._position)

    def seek(self, position: int) -> int:
        """Move to a position counted from the start, and return it."""
        if position < 0:
            raise ValueError("a position is counted from the start")
        self._position = min(position, self._whole)
        return self._position

    def close(self) -> None:
        """Do nothing: the file is closed already."""

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_error: object) -> None:
        """End the block."""

    def __iter__(self) -> Iterator[Any]:
        tick = caller_budget().tick
        while line := self.readline():
            tick()
            yield line


class PolicyFiles:
    """The folder of the policy script.

    Args:
        folder: Port: returns it.
        is_loading: Port: tells whether an epoch is still being made.
    """

    def __init__(self, folder: Callable[[], Path], is_loading: Callable[[Epoch], bool]) -> None:
        self._folder = folder
        self._is_loading = is_loading

    def find(self, path: Any) -> Path:
        """Return where a path of a script leads.

        Raises:
            ConfinementError: It leads out of the folder.
        """
        if not isinstance(path, str) or not path or "\0" in path or len(path) > 4096:
            raise ValueError("wants the name of a file")
        folder = self._folder().resolve()
        # What is watched is the name: a link that leads elsewhere later is a change too.
        named = Path(os.path.normpath(folder / path))
        if not named.is_relative_to(folder) or not named.resolve().is_relative_to(folder):
            raise ConfinementError(
                f"{path[:200]!r} lies outside the folder of the policy; scripts read only there"
            )
        return named

    def load(self, path: Any, *, is_watched: bool | None = None) -> bytes:
        """Return the content of a file.

        Args:
            path: Relative to the folder of the policy, or absolute.
            is_watched: Whether a change of it is a reload; None where the policy still loads.

        Raises:
            OSError: It cannot be read, with a text for operators.
            LimitExceededError: It is too large, or too many files are watched.
        """
        found = self.find(path)
        epoch = caller_epoch()
        watched = epoch if is_watched or (epoch and self._is_loading(epoch)) else None
        try:
            content = read_plain_file(found, FILE_BYTES_MAX, path)
        except OSError:
            if watched is not None:
                _watch(watched, found, None)
            raise
        if watched is not None:
            _watch(watched, found, hashlib.sha256(content).hexdigest())
        caller_budget().account_text(len(content))
        return content

    # -- what scripts call --------------------------------------------------------------------

    def open(self, path: str, mode: str = "r") -> File:
        """Return a file that was read: text with "r", octets with "rb".

        Raises:
            ValueError: Another mode, or no UTF-8.
        """
        if mode not in ("r", "rt", "rb"):
            raise ValueError(
                f'mode: "r" or "rb"; scripts write no files, so {str(mode)[:20]!r} is no'
            )
        content = self.load(path)
        return File(content if mode == "rb" else decode(content, path))

    def read(self, path: str) -> str:
        """Return the text of a file."""
        return decode(self.load(path), path)

    def read_dir(self, path: str = ".") -> list[str]:
        """Return the names in a folder, in order."""
        folder = self.find(path)
        self._watch_folder(folder)
        return [name for name, _ in _entries(folder, path, caller_budget())]

    def glob(self, pattern: str) -> list[str]:
        """Return the files that a pattern names, relative to the folder of the policy, in order.

        ``*``, ``?`` and ``[...]`` stand for parts of a name, ``**`` for any folders.
        """
        if not isinstance(pattern, str) or len(pattern) > _PATTERN_MAX:
            raise ValueError("wants a pattern such as 'tenants/*.toml'")
        parts = PurePosixPath(pattern).parts
        if pattern.startswith("/") or ".." in parts or len(parts) > DEPTH_MAX * 2 or not parts:
            raise ConfinementError("a pattern is relative to the folder of the policy, without ..")
        folder = self._folder().resolve()
        found: list[str] = []
        for path in self._walk(folder, (), parts):
            if _matches(path, parts):
                found.append("/".join(path))
                if len(found) > FOUND_MAX:
                    raise LimitExceededError(f"more than {FOUND_MAX} files")
        return sorted(found)

    def _walk(
        self, folder: Path, above: tuple[str, ...], parts: tuple[str, ...]
    ) -> Iterator[tuple[str, ...]]:
        """Yield the files below a folder that a pattern may name; look nowhere else."""
        self._watch_folder(folder)
        for name, is_folder in _entries(folder, "/".join(above) or ".", caller_budget()):
            here = (*above, name)
            if not is_folder:
                yield here
            elif len(here) <= DEPTH_MAX and not name.startswith(".") and _may_hold(here, parts):
                yield from self._walk(folder / name, here, parts)

    def _watch_folder(self, folder: Path) -> None:
        """Make a file that comes or goes a reason to load anew, where the policy still loads."""
        epoch = caller_epoch()
        if epoch is not None and self._is_loading(epoch):
            _watch(epoch, folder, digest_of(folder))

    def metadata_for_path(self, path: str) -> dict[str, Any]:
        """Return what is known about a file or folder: kind, size, times."""
        found = self.find(path)
        try:
            state = found.stat()
        except OSError as error:
            raise _explained(error, path) from None
        times = {
            name: datetime.datetime.fromtimestamp(getattr(state, f"st_{name}"), datetime.UTC)
            for name in ("mtime", "atime", "ctime")
        }
        return {
            "path": path,
            "is_file": stat.S_ISREG(state.st_mode),
            "is_dir": stat.S_ISDIR(state.st_mode),
            "is_symlink": found.is_symlink(),
            "len": state.st_size,
            "readonly": not state.st_mode & 0o222,
            "mode": stat.S_IMODE(state.st_mode),
            **times,
        }


def _watch(epoch: Epoch, path: Path, digest: str | None) -> None:
    """Note that an epoch was made of a file or folder; None is the digest of a missing one."""
    if path in epoch.files:
        return
    if len(epoch.files) >= FILES_WATCHED_MAX:
        raise LimitExceededError(f"a policy reads at most {FILES_WATCHED_MAX} files")
    # Another thread may be going through the files to look for changes: it keeps its own.
    epoch.files = {**epoch.files, path: digest}


def decode(content: bytes, name: Any) -> str:
    """Return the text of a file.

    Raises:
        ValueError: It is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name}:{line}: is not UTF-8") from None


def read_plain_file(path: Path, most_bytes: int, shown: Any = None) -> bytes:
    """Return the content of a plain file; never waits for one that is none.

    Raises:
        OSError: It cannot be read.
        LimitExceededError: It is too large.
    """
    shown = path if shown is None else shown
    try:
        # Opening a pipe would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(0, "is no plain file")
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise _explained(error, shown) from None
    if len(content) > most_bytes:
        raise LimitExceededError(f"{shown}: is larger than {most_bytes} octets")
    return content


def _explained(error: OSError, shown: Any) -> OSError:
    reason = error.strerror or "cannot be read"
    kind = FileNotFoundError if isinstance(error, FileNotFoundError) else OSError
    return kind(f"{shown}: {reason}")


def _entries(folder: Path, shown: str, budget: Budget) -> Iterator[tuple[str, bool]]:
    """Yield name and whether it is a folder (links are none), in order."""
    found: list[tuple[str, bool]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                budget.tick()
                found.append((entry.name, entry.is_dir(follow_symlinks=False)))
                if len(found) > ENTRIES_MAX:
                    raise LimitExceededError(f"a folder of more than {ENTRIES_MAX} names")
    except OSError as error:
        raise _explained(error, shown) from None
    yield from sorted(found)


def _may_hold(folder: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Tell whether a file that the pattern names may be below a folder."""
    for name, part in zip(folder, parts, strict=False):
        if part == "**":
            return True
        if not fnmatch.fnmatchcase(name, part):
            return False
    return len(folder) < len(parts)


def _matches(path: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    if not parts:
        return not path
    if parts[0] == "**":
        return _matches(path, parts[1:]) or (bool(path) and _matches(path[1:], parts))
    return bool(path) and fnmatch.fnmatchcase(path[0], parts[0]) and _matches(path[1:], parts[1:])


def expose_fs(namespace: ScriptNamespace, files: PolicyFiles) -> None:
    """Make ``mta.fs`` importable by scripts."""
    for function in (files.open, files.read, files.read_dir, files.glob, files.metadata_for_path):
        namespace.expose(function.__name__, function, module=MODULE)
