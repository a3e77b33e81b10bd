"""The diagnostic log of a daemon: one line per event on standard error, and how much it says.

Place in flow: set up by ``engine.__main__``; whatever logs goes through it. What a line looks like
is up to ``engine.base.run_log_format``. The mail log is something else: see ``engine.records``.
"""

from __future__ import annotations

import logging
import re
import sys

from engine.base.run_log_format import make_formatter
from policy.epoch import EPOCH_NAME

log = logging.getLogger("cirrus.node")
#: Directives of one filter, and loggers that say little when nothing else is asked for.
DIRECTIVES_MAX = 64
_CHATTY = ("asyncio", "mail.log", "aiohttp.access")
_TARGET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")
_LEVELS = {
    "off": logging.CRITICAL + 10,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}
#: Loggers whose level was set by a filter.
_filtered: set[str] = set()
#: Says which form lines have, where the command line does not.
FORMAT_VARIABLE = "CIRRUS_LOG_FORMAT"


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


def configure_run_log(level: str = "info", form: str = "text") -> None:
    """Send the diagnostic log to standard error.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        form: What lines look like; one of ``run_log_format.FORMATS``.

    Raises:
        ValueError: The level or the form is none of these.
    """
    number, formatter = _level(level), make_formatter(form)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    _set_levels(number, {})
    sys.unraisablehook = _log_dropped
    # Such as: a coroutine of a script was never awaited.
    logging.captureWarnings(True)


def set_log_filter(text: str) -> None:
    """Say how much the diagnostic log says, from now on.

    Args:
        text: Directives with commas between: a level for all, or ``logger=level``, such as
            ``info,cirrus.schedule=debug``. Levels are off, error, warn, info, debug.

    Raises:
        ValueError: A directive is none; nothing has changed.
    """
    general, levels = parse_log_filter(text)
    _set_levels(logging.getLogger().level if general is None else general, levels)


def current_log_filter() -> str:
    """Return the filter in force, as ``set_log_filter`` takes it."""
    general = _name_of(logging.getLogger().level)
    singles = [f"{name}={_name_of(logging.getLogger(name).level)}" for name in sorted(_filtered)]
    return ",".join((general, *singles))


def parse_log_filter(text: str) -> tuple[int | None, dict[str, int]]:
    """Return the level of all loggers, if the filter has one, and those of single ones.

    Raises:
        ValueError: A directive is none.
    """
    directives = [part.strip() for part in text.split(",") if part.strip()]
    if not directives:
        raise ValueError("a filter is a level, or logger=level, with commas between")
    if len(directives) > DIRECTIVES_MAX:
        raise ValueError(f"a filter has at most {DIRECTIVES_MAX} directives")
    general: int | None = None
    levels: dict[str, int] = {}
    for directive in directives:
        target, equals, level = directive.rpartition("=")
        if not equals:
            general = _level(level)
        elif _TARGET.fullmatch(target) is None:
            raise ValueError(f"{target[:100]!r} names no logger")
        else:
            # What operators of the reference are used to write.
            levels["cirrus" if target == "kumod" else target] = _level(level)
    return general, levels


def _level(text: str) -> int:
    number = _LEVELS.get(text.strip().lower())
    if number is None:
        raise ValueError(f"unknown log level {text[:100]!r}")
    return number


def _name_of(level: int) -> str:
    return next((name for name, least in _LEVELS.items() if level >= least), "debug")


def _set_levels(general: int, levels: dict[str, int]) -> None:
    for name in _filtered:
        logging.getLogger(name).setLevel(logging.NOTSET)
    _filtered.clear()
    logging.getLogger().setLevel(general)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(general, logging.WARNING))
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
        _filtered.add(name)
