"""What scripts under test write to the log, kept line by line.

Place in flow: ``engine.script_testing`` listens while a script runs.

Invariants:
    * Every level is kept, whatever the program's logging is set to, which is as before afterwards.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

_LOG = logging.getLogger("cirrus.script")


class LogLine(NamedTuple):
    """A line that the script wrote: level such as ``warning``, and text."""

    level: str
    text: str


class _LogCatcher(logging.Handler):
    def __init__(self, take: Callable[[LogLine], None]) -> None:
        super().__init__()
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        self._take(LogLine(record.levelname.lower(), record.getMessage()))


@contextlib.contextmanager
def listening(take: Callable[[LogLine], None]) -> Iterator[None]:
    """Give each line that scripts write meanwhile to a function."""
    catcher, level = _LogCatcher(take), _LOG.level
    _LOG.addHandler(catcher)
    _LOG.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        _LOG.setLevel(level)
        _LOG.removeHandler(catcher)
