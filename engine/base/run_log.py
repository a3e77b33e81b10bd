"""The diagnostic log of a daemon: one line per event on standard error, for people.

Place in flow: set up by ``engine.__main__``; whatever logs goes through it.

The mail log is something else: see ``engine.records``. A line is ``time level logger message``;
control characters in a message are escaped, so that no client can forge a line.
"""

from __future__ import annotations

import logging
import re
import sys
import time

from policy.epoch import EPOCH_NAME

log = logging.getLogger("cirrus.node")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\u2028\u2029]")


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        head, newline, trace = text.partition("\nTraceback ")
        clean = _CONTROLS.sub(lambda m: m[0].encode("unicode_escape").decode(), head)
        return clean + newline + trace


def _log_dropped(dropped: sys.UnraisableHookArgs) -> None:
    """Log an exception that nobody could take; one of a script as a line, without the engine's.

    A generator of a script that the collector closes may raise: its time may be over.
    """
    traceback = dropped.exc_traceback
    if traceback is None or EPOCH_NAME not in traceback.tb_frame.f_globals:
        sys.__unraisablehook__(dropped)
        return
    file, line = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
    log.warning("script: dropped at %s:%d: %s", file, line, dropped.exc_type.__name__)


def configure_run_log(level: str = "info") -> None:
    """Send the diagnostic log to standard error.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.

    Raises:
        ValueError: The level is none of these.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level {level!r}")
    handler = logging.StreamHandler(sys.stderr)
    formatter = _Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s")
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    sys.unraisablehook = _log_dropped
    # Such as: a coroutine of a script was never awaited.
    logging.captureWarnings(True)
    for chatty in ("asyncio", "mail.log", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))
