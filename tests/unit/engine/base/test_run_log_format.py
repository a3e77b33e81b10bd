"""Lines of the diagnostic log, in each of their forms; and the filter that is in force."""

from __future__ import annotations

import asyncio
import json
import logging
import sys

import pytest

from engine.base.run_log_format import FORMATS, make_formatter


def make_record(text="hello %s", *args, level=logging.INFO, exc_info=None, **extra):
    record = logging.LogRecord(
        "cirrus.x", level, "/x.py", 1, text, args, exc_info, func=None, sinfo=None
    )
    record.created, record.msecs = 1_700_000_000.5, 500.0
    for name, value in extra.items():
        setattr(record, name, value)
    return record


def failure():
    try:
        raise RuntimeError("it\nbroke")
    except RuntimeError:
        return sys.exc_info()


def as_json(record):
    line = make_formatter("json").format(record)
    assert "\n" not in line
    return json.loads(line)


def test_json_has_time_level_logger_message_and_what_kind_of_message_it_is():
    assert as_json(make_record("hello %s", "you")) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "INFO",
        "logger": "cirrus.x",
        "message": "hello you",
        "template": "hello %s",
    }


def test_what_is_given_beside_the_message_is_in_fields():
    shown = as_json(make_record("hi", queue="y.test", count=3, odd={1, 1}))
    assert shown["fields"] == {"queue": "y.test", "count": 3, "odd": "{1}"}
    assert "template" not in shown


def test_a_traceback_is_in_the_object():
    shown = as_json(make_record("oops", level=logging.ERROR, exc_info=failure()))
    assert shown["level"] == "ERROR"
    assert shown["exception"].startswith("Traceback")
    assert "RuntimeError: it\nbroke" in shown["exception"]


async def test_who_says_it_is_named_where_somebody_named_the_task():
    async def say():
        return as_json(make_record("hi"))

    named = asyncio.get_running_loop().create_task(say(), name="dispatcher y.test")
    unnamed = asyncio.get_running_loop().create_task(say())
    assert (await named)["task"] == "dispatcher y.test"
    assert "task" not in await unnamed


@pytest.mark.parametrize("name", FORMATS)
def test_no_text_of_a_client_starts_a_line(name):
    line = make_formatter(name).format(make_record("a\nb\r\x1b[2J\x00\u2028\ud800 %s", "<0>\n<0>"))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\x00" not in line


def test_lines_for_the_journal_begin_with_their_level():
    formatter = make_formatter("journal")
    found = [
        formatter.format(make_record("hi", level=level))
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    ]
    assert found == [f"<{number}>cirrus.x hi" for number in (7, 6, 4, 3, 2)]
    lines = formatter.format(make_record("oops", level=logging.ERROR, exc_info=failure()))
    assert {line[:3] for line in lines.splitlines()} == {"<3>"}


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="unknown format"):
        make_formatter("xml")
