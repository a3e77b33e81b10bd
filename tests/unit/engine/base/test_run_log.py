"""The diagnostic log: one line an event, whatever is in it."""

from __future__ import annotations

import json
import logging
import re
import sys

import pytest

from engine.base.run_log import (
    configure_run_log,
    current_log_filter,
    parse_log_filter,
    set_log_filter,
)
from policy.epoch import EPOCH_NAME


@pytest.fixture
def root(monkeypatch):
    captured = []
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    logger = logging.getLogger()
    monkeypatch.setattr(logging, "captureWarnings", captured.append)
    before, level = logger.handlers[:], logger.level
    logger.captured = captured
    yield logger
    del logger.captured
    logger.handlers[:] = before
    logger.setLevel(level)


def test_a_line_has_time_level_logger_and_message(root, capsys, monkeypatch):
    configure_run_log("info")
    logging.getLogger("cirrus.x").info("hello %s", "you")
    logging.getLogger("cirrus.x").debug("not this")

    (line,) = capsys.readouterr().err.splitlines()

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO cirrus\.x hello you", line)


def test_control_characters_cannot_start_a_line(root, capsys):
    configure_run_log("debug")
    logging.getLogger("cirrus.x").warning("a\nb\r\x1b[2J\x00\u2028c")

    (line,) = capsys.readouterr().err.splitlines()

    assert line.endswith("a\\nb\\r\\x1b[2J\\x00\\u2028c")


def test_a_traceback_keeps_its_lines(root, capsys):
    configure_run_log("info")
    try:
        raise RuntimeError("x")
    except RuntimeError:
        logging.getLogger("cirrus.x").exception("it\nbroke")

    lines = capsys.readouterr().err.splitlines()

    assert lines[0].endswith("it\\nbroke")
    assert lines[1] == "Traceback (most recent call last):"


def test_configuring_twice_writes_once(root, capsys):
    configure_run_log("info")
    configure_run_log("warning")
    logging.getLogger("cirrus.x").warning("once")
    logging.getLogger("cirrus.x").info("never")

    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_unknown_level_is_refused(root):
    with pytest.raises(ValueError, match="unknown log level"):
        configure_run_log("loud")


def test_the_log_goes_to_standard_error(root):
    configure_run_log()
    assert root.handlers[0].stream is sys.stderr


def test_what_a_forgotten_generator_of_a_script_raises_is_one_line(root, capsys):
    configure_run_log("info")
    source = "def forgotten():\n    try:\n        yield\n    finally:\n        1 / 0\n"
    world = {EPOCH_NAME: None}
    exec(compile(source, "/policy/init.py", "exec"), world)

    generator = world["forgotten"]()
    next(generator)
    del generator

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("script: dropped at /policy/init.py:5: ZeroDivisionError")


def test_what_is_dropped_of_the_program_itself_has_its_traceback(root, capsys):
    configure_run_log("info")

    class Broken:
        def __del__(self):
            raise ValueError("a defect")

    Broken()

    assert "Traceback" in capsys.readouterr().err


def test_warnings_of_the_interpreter_are_lines_of_the_log(root):
    configure_run_log("info")

    assert root.captured == [True]


def test_a_filter_sets_levels_of_all_and_of_single_loggers(root, capsys):
    configure_run_log("info")

    set_log_filter("warn, cirrus.x=debug,kumod=error")
    for name in ("cirrus.x", "cirrus.y", "other"):
        logging.getLogger(name).debug("debug")
        logging.getLogger(name).warning("warning")
    set_log_filter("info")
    logging.getLogger("cirrus.y").info("info")
    logging.getLogger("cirrus.x").debug("no more")

    said = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "DEBUG cirrus.x debug",
        "WARNING cirrus.x warning",
        "WARNING other warning",
        "INFO cirrus.y info",
    ]


def test_a_filter_without_a_level_for_all_leaves_that_as_it_is(root):
    configure_run_log("warning")

    set_log_filter("cirrus.x=info")

    assert logging.getLogger().level == logging.WARNING
    set_log_filter("warning")


@pytest.mark.parametrize(
    "text", ["", " , ", "loud", "cirrus=", "=info", "a b=info", "x" * 200 + "=info", "info," * 70]
)
def test_what_is_no_filter_is_refused_and_changes_nothing(root, text):
    configure_run_log("error")

    with pytest.raises(ValueError):
        set_log_filter(text)
    assert logging.getLogger().level == logging.ERROR


def test_the_levels_of_the_reference_are_known():
    general, levels = parse_log_filter("trace,a=off,b=WARN")

    assert general == logging.DEBUG
    assert levels["a"] > logging.CRITICAL
    assert levels["b"] == logging.WARNING


def test_lines_have_the_form_that_was_asked_for(root, capsys):
    configure_run_log("info", "json")
    logging.getLogger("cirrus.x").info("hello %s", "you")

    assert json.loads(capsys.readouterr().err)["message"] == "hello you"
    with pytest.raises(ValueError, match="unknown format"):
        configure_run_log("info", "xml")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("info", "info"),
        (
            "WARNING, cirrus.b=trace,kumod=off,cirrus.a=error",
            "warn,cirrus=off,cirrus.a=error,cirrus.b=debug",
        ),
    ],
)
def test_the_filter_in_force_is_told_as_it_can_be_set(root, given, shown):
    configure_run_log("info")
    set_log_filter(given)
    assert current_log_filter() == shown
    set_log_filter(current_log_filter())
    assert current_log_filter() == shown
    set_log_filter("info")
    assert current_log_filter() == "info"
