"""What a line of the diagnostic log looks like: for people, for programs, for the journal.

Place in flow: ``engine.base.run_log`` sets one of them on its handler.

Invariants:
    * No text of a client can forge a line: control characters are escaped, whatever the format.
    * A JSON line is one object, whatever is in it; what JSON has no word for is written as text.

Standard: RFC 8259 and RFC 3339 for JSON; sd-daemon(3) for the journal.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from typing import Any

FORMATS = ("text", "json", "journal")
#: Names that a log record has by itself; what else it has was given by ``extra``.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\u2028\u2029]")
#: Names of tasks that nobody gave.
_UNNAMED = re.compile(r"Task-\d+")
_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)


def make_formatter(name: str) -> logging.Formatter:
    """Return the formatter of a format.

    Raises:
        ValueError: There is no such format.
    """
    if name == "json":
        return JsonFormatter()
    if name == "journal":
        return JournalFormatter("%(name)s %(message)s")
    if name != "text":
        raise ValueError(f"unknown format of the log {name[:100]!r}: {', '.join(FORMATS)}")
    formatter = TextFormatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s")
    formatter.default_time_format = formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    formatter.converter = time.gmtime
    return formatter


class TextFormatter(logging.Formatter):
    """``time level logger message``; a traceback follows in lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        text = super().format(record)
        head, newline, trace = text.partition("\nTraceback ")
        clean = _CONTROLS.sub(lambda m: m[0].encode("unicode_escape").decode(), head)
        return clean + newline + trace


class JournalFormatter(TextFormatter):
    """Lines that journald files under their level; it knows the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record, each line of it with the level."""
        level = record.levelno
        priority = next((number for least, number in _PRIORITIES if level >= least), 7)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    ``template`` is the message before values were put into it: the same for all of a kind.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object of a record."""
        second, millis = divmod(int(record.created * 1000), 1000)
        shown: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{millis:03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.args and isinstance(record.msg, str):
            shown["template"] = record.msg
        if (task := _task_name()) is not None:
            shown["task"] = task
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        given = {name: value for name, value in vars(record).items() if name not in _OWN}
        if given:
            shown["fields"] = given
        return json.dumps(shown, default=str)


def _task_name() -> str | None:
    """Return the name of the task that says it, where somebody gave it one."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    name = None if task is None else task.get_name()
    return None if name is None or _UNNAMED.fullmatch(name) else name
