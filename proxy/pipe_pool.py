"""Pipes through which the kernel moves octets from one socket to another.

Place in flow: one pool per process; a relay takes a pipe while it moves something, and keeps it
only while what it moved in cannot leave.

Invariants:
    * A pipe in the pool is empty.
    * There are never more than the limit; who gets none copies instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from dataclasses import dataclass

log = logging.getLogger("cirrus.proxy")

#: Pipes at a time: as many directions can be blocked with octets under way in the kernel.
PIPES_MAX = 1024
#: Those that are kept for the next one.
_SPARE_MAX = 32
#: What a pipe holds, octets. More would pay for fewer connections at a time only.
_CAPACITY = 256 * 1024


@dataclass(frozen=True, slots=True)
class Pipe:
    """Both ends, as descriptors."""

    reader: int
    writer: int

    def close(self) -> None:
        """Drop the pipe and what is in it."""
        os.close(self.reader)
        os.close(self.writer)


class PipePool:
    """The pipes of one process.

    Args:
        limit: How many there may be; 0 where octets are to be copied.
    """

    def __init__(self, limit: int = PIPES_MAX) -> None:
        self._limit = limit if hasattr(os, "splice") else 0
        self._spare: list[Pipe] = []
        self._made = 0

    def take(self) -> Pipe | None:
        """Return an empty pipe, None when there is none to be had."""
        if self._spare:
            return self._spare.pop()
        if self._made >= self._limit:
            return None
        try:
            pipe = Pipe(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:
            return None
        with contextlib.suppress(OSError):
            # Beyond what a user may have in all, it stays as small as it was.
            fcntl.fcntl(pipe.writer, fcntl.F_SETPIPE_SZ, _CAPACITY)
        self._made += 1
        return pipe

    def give(self, pipe: Pipe) -> None:
        """Take an empty pipe back."""
        if len(self._spare) < _SPARE_MAX and self._limit:
            self._spare.append(pipe)
        else:
            self.drop(pipe)

    def drop(self, pipe: Pipe) -> None:
        """Close a pipe that may hold something."""
        self._made -= 1
        pipe.close()

    def give_up(self, reason: str) -> None:
        """Lend no more pipes: the system does not move octets through them."""
        if self._limit:
            log.warning("octets are copied, for the system does not move them: %s", reason)
        self._limit = 0
        self.close()

    def close(self) -> None:
        """Close the pipes that are in no use."""
        while self._spare:
            self.drop(self._spare.pop())
