"""Instants, durations, waiting and timers of scripts."""

from __future__ import annotations

import asyncio
import datetime

import pytest

from engine.script_modules import script_time
from engine.script_modules.script_time import parse_rfc2822, parse_rfc3339, sleep
from policy.errors import HookFailedError, PolicyLoadError

UTC = datetime.UTC


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2030-01-31T09:00:00Z", datetime.datetime(2030, 1, 31, 9, tzinfo=UTC)),
        ("2030-01-31t09:00:00z", datetime.datetime(2030, 1, 31, 9, tzinfo=UTC)),
        ("2030-01-31 09:00:00+02:00", datetime.datetime(2030, 1, 31, 7, tzinfo=UTC)),
        ("2030-01-31T09:00:00.1234567Z", datetime.datetime(2030, 1, 31, 9, 0, 0, 123456, UTC)),
        ("2030-01-31T09:00:00.5Z", datetime.datetime(2030, 1, 31, 9, 0, 0, 500000, UTC)),
        ("2016-12-31T23:59:60Z", datetime.datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_rfc_3339(text, instant):
    assert parse_rfc3339(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31T09:00:00",
        "2030-01-31",
        "20300131T090000Z",
        "2030-02-31T09:00:00Z",
        "2030-01-31T09:00:00+99:00",
        "0001-01-01T00:00:00+01:00",
        "",
        None,
        "x" * 1000,
        "٢٠٣٠-01-31T09:00:00Z",
    ],
)
def test_what_is_no_rfc_3339(text):
    with pytest.raises(ValueError, match=r"not a time|no such time"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("Fri, 21 Nov 1997 09:55:06 -0600", datetime.datetime(1997, 11, 21, 15, 55, 6, tzinfo=UTC)),
        ("21 Nov 97 09:55:06 GMT", datetime.datetime(1997, 11, 21, 9, 55, 6, tzinfo=UTC)),
        ("Fri, 21 Nov 1997 09:55:06 -0000", datetime.datetime(1997, 11, 21, 9, 55, 6, tzinfo=UTC)),
    ],
)
def test_dates_of_mail(text, instant):
    assert parse_rfc2822(text) == instant


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "Fri, 31 Feb 1997 09:55:06 -0600", None, "1" * 5000, "1 Jan 0 0:0 +9999"],
)
def test_what_is_no_date_of_mail(text):
    with pytest.raises(ValueError, match="not a date of a mail"):
        parse_rfc2822(text)


def test_the_present_is_that_of_the_node(host):
    assert host.value("mta.time.now().isoformat()") == "'2023-11-14T22:13:20+00:00'"


def test_elapsed_time_is_a_duration(host):
    expression = "mta.time.elapsed(mta.time.from_unix_timestamp(1_699_999_990)).total_seconds()"
    assert host.value(expression) == "10.0"


def test_formats_are_read_back(host):
    for name in ("rfc2822", "rfc3339"):
        text = f"mta.time.format_{name}(mta.time.with_ymd_hms(2030, 1, 31, 9, 1, 2))"
        assert host.value(f"mta.time.parse_{name}({text}).second") == "2"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("from_unix_timestamp(1e30)", "outside the years"),
        ("from_unix_timestamp(float('nan'))", "outside the years"),
        ("from_unix_timestamp('1')", "a number of seconds"),
        ("with_ymd_hms(2030, 13, 1)", "month must be in"),
        ("parse_duration('5')", "needs a unit"),
        ("parse_duration(1e20)", "too long"),
        ("format_rfc3339(5)", "wants a datetime"),
        ("elapsed(__import__)", "__import__"),
        ("start_timer('')", "label: wants"),
        ("start_timer(5)", "label: wants"),
    ],
)
def test_a_mistake_is_a_load_error(host, call, reason):
    with pytest.raises(PolicyLoadError, match=reason):
        host.load(f"mta.time.{call}")


def test_a_time_without_a_zone_is_refused(host):
    with pytest.raises(PolicyLoadError, match="with a zone"):
        host.load("import datetime\nmta.time.format_rfc2822(datetime.datetime(2030, 1, 1))")


ASLEEP = "@on('get_queue_config')\nasync def ask(*args):\n    await mta.time.sleep({})"


async def test_a_script_sleeps_while_others_go_on(host):
    host.load(ASLEEP.format("'2s'"))
    began = asyncio.get_running_loop().time()

    await host.ask_together("a", "b")

    assert 2.0 <= asyncio.get_running_loop().time() - began < 3.0


async def test_sleeping_longer_than_the_handler_has_is_its_failure(host):
    host.load(ASLEEP.format(200))

    with pytest.raises(HookFailedError, match="waited longer than"):
        await host.fire("a")


@pytest.mark.parametrize("seconds", [-1, 301, float("inf"), "1 year", True])
async def test_only_a_time_within_bounds_is_slept(seconds):
    with pytest.raises(ValueError, match="duration|longer|unit"):
        await sleep(seconds)


def test_a_timer_counts_once_under_its_label(host):
    host.load("t = mta.time.start_timer('db')\nt.done()\nt.done()")

    assert 'user_lua_latency_count{label="db"} 1' in host.text_of_metrics()


async def test_a_timer_ends_with_its_block_also_by_an_error(host):
    host.load(
        "@on('get_queue_config')\ndef ask(*args):\n"
        "    with mta.time.start_timer('db'):\n        raise ValueError('x')"
    )
    with pytest.raises(HookFailedError):
        await host.fire("a")

    assert 'user_lua_latency_count{label="db"} 1' in host.text_of_metrics()


def test_labels_without_end_become_one(host):
    host.load("for n in range(300):\n    mta.time.start_timer(f'l{n}').done()")

    text = host.text_of_metrics()
    assert text.count("user_lua_latency_count") == script_time.LABELS_MAX + 1
    assert 'user_lua_latency_count{label="(other)"} 200' in text
