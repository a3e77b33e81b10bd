"""Lines of scripts are kept while a test listens, and logging is as before."""

from __future__ import annotations

import logging

import pytest

from engine.script_test_log import LogLine, listening

LOG = logging.getLogger("cirrus.script")


def test_lines_of_every_level_are_kept_while_a_test_listens():
    lines: list[LogLine] = []

    LOG.warning("before")
    with listening(lines.append):
        LOG.debug("one of %d", 2)
        LOG.error("two")
    LOG.warning("after")

    assert lines == [LogLine("debug", "one of 2"), LogLine("error", "two")]


def test_logging_is_as_before_when_the_script_fails():
    before = LOG.level, list(LOG.handlers)

    with pytest.raises(ZeroDivisionError), listening(lambda _line: None):
        raise ZeroDivisionError

    assert (LOG.level, LOG.handlers) == before
