"""Reading files of the policy's folder; nothing outside it, and nothing is written.

A file that is read while the policy loads is watched: an edit of it is a reload. What a handler
reads later is read anew each time. What cannot be read is an OSError, a path that leads out of the
folder a TypeError.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, AnyStr, Generic, Literal, TypedDict, final, overload, type_check_only

@final
@type_check_only
class File(Generic[AnyStr]):
    r"""The content of a file that was opened; the file itself is closed already.

    >>> with mta.fs.open("welcome.txt") as file:
    ...     lines = [line for line in file]
    >>> lines
    ['Hello\n', 'all\n']
    """

    def read(self, size: int | None = None) -> AnyStr:
        """The rest, or at most so much of it."""
    def readline(self) -> AnyStr:
        """The next line with its end; empty after the last."""
    def seek(self, position: int) -> int:
        """Go on from a position."""
    def close(self) -> None:
        """Read no more."""
    def __enter__(self) -> File[AnyStr]: ...
    def __exit__(self, *error: Any) -> None: ...
    def __iter__(self) -> Iterator[AnyStr]: ...

@type_check_only
class _Metadata(TypedDict):
    path: str
    is_file: bool
    is_dir: bool
    is_symlink: bool
    len: int
    readonly: bool
    mode: int
    mtime: datetime
    atime: datetime
    ctime: datetime

@overload
def open(path: str, mode: Literal["r", "rt"] = "r") -> File[str]: ...
@overload
def open(path: str, mode: Literal["rb"]) -> File[bytes]:
    r"""A file to read: text with "r", octets with "rb".

    >>> mta.fs.open("welcome.txt").readline()
    'Hello\n'
    """

def read(path: str) -> str:
    r"""The text of a file.

    >>> mta.fs.read("welcome.txt")
    'Hello\nall\n'
    """

def read_dir(path: str = ".") -> list[str]:
    """The names in a folder, in order.

    >>> "welcome.txt" in mta.fs.read_dir()
    True
    """

def glob(pattern: str) -> list[str]:
    """The files that a pattern names, in order; ``**`` is any folders, to a depth of eight.

    >>> mta.fs.glob("tenants.*")
    ['tenants.json', 'tenants.toml', 'tenants.yaml']
    """

def metadata_for_path(path: str) -> _Metadata:
    """What is known about a file or folder.

    >>> mta.fs.metadata_for_path("welcome.txt")["len"]
    10
    """
