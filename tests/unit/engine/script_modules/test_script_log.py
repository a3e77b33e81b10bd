"""Lines of scripts, and how often they may come."""

from __future__ import annotations

import pytest

from policy.errors import PolicyLoadError


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "cirrus.script"]


@pytest.fixture(autouse=True)
def every_level(caplog):
    caplog.set_level("DEBUG")


def test_each_level_is_written_as_it_is(host, caplog):
    host.load(
        "for w in (mta.log_debug, mta.log_info, mta.log_warn, mta.log_error):\n    w('100%s')"
    )

    levels = [record.levelname for record in caplog.records if record.name == "cirrus.script"]
    assert levels == ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert lines(caplog) == ["100%s"] * 4


async def test_a_place_is_heard_as_often_as_it_may_and_tells_what_it_left_out(host, caplog):
    host.load("@on('get_queue_config')\ndef ask(name, *rest):\n    mta.log_warn(name, every='1m')")

    for name in "abc":
        await host.fire(name)
    host.mono.advance(61)
    await host.fire("d")
    host.mono.advance(61)
    await host.fire("e")

    assert lines(caplog) == ["a", "d (2 left out)", "e"]


def test_two_places_do_not_silence_each_other(host, caplog):
    host.load("mta.log_warn('a', every=60)\nmta.log_warn('b', every=60)")

    assert lines(caplog) == ["a", "b"]


def test_a_key_joins_places_and_tells_apart_what_stands_at_one(host, caplog):
    host.load(
        "for key in ('x', 'y', 'x'):\n    mta.log_warn('in ' + key, every=60, key=key)\n"
        "mta.log_warn('x again', every=60, key='x')"
    )

    assert lines(caplog) == ["in x", "in y"]


def test_the_rate_outlives_a_reload(host, caplog):
    host.load("mta.log_warn('a', every=60)")
    host.load("mta.log_warn('b', every=60)")

    assert lines(caplog) == ["a"]


def test_keys_without_end_do_not_fill_memory(host, caplog):
    host.load("for n in range(6000):\n    mta.log_debug('x', every='1h', key=str(n))")
    host.load("mta.log_debug('first', every='1h', key='0')")

    assert lines(caplog)[-1] == "first"


def test_a_line_has_a_bound(host, caplog):
    host.load("mta.log_info('x' * 1_000_000)")

    assert [len(line) for line in lines(caplog)] == [4096]


def test_anything_can_be_written_that_is_not_huge(host, caplog):
    host.load("mta.log_info({'a': [1]})\nmta.log_info(ValueError('x'))")

    assert lines(caplog) == ["{'a': [1]}", "x"]


def test_a_value_that_would_be_huge_as_text_is_refused(host):
    with pytest.raises(PolicyLoadError, match="too large"):
        host.load("x = ['y'] * 10\nfor _ in range(12):\n    x = [x] * 10\nmta.log_info(x)")


def test_a_time_that_is_none_is_an_error(host):
    with pytest.raises(PolicyLoadError, match="needs a unit"):
        host.load("mta.log_info('x', every='5')")
