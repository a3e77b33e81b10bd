"""Canned answers stand in for HTTP servers, through the real client of scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.script_testing import ScriptError, ScriptHarness

SCRIPT = """\
import mta
from mta import on

client = mta.http.build_client(timeout="5s")


async def fetch(url):
    answer = await client.get(url).header("X-Key", "k").send()
    return [answer.status_code, answer.text(), answer.headers.get("x-who")]


@on("init")
def init():
    mta.define_spool(path="/nowhere")
"""
URL = "https://api.test/users?id="


@pytest.fixture
def harness(tmp_path: Path):
    with ScriptHarness.from_text(tmp_path, SCRIPT) as harness:
        yield harness


def test_an_answer_has_status_text_and_header(harness):
    harness.http.answer("GET", URL + "1", status=404, text="who?", headers={"X-Who": "api"})

    assert harness.call("fetch", URL + "1") == [404, "who?", "api"]


def test_answers_come_in_order_and_the_last_stays(harness):
    for text in ("one", "two"):
        harness.http.answer("GET", URL + "1", text=text)

    assert [harness.call("fetch", URL + "1")[1] for _ in range(3)] == ["one", "two", "two"]


def test_a_pattern_answers_where_no_url_fits(harness):
    harness.http.answer("GET", URL + "*", text="any")
    harness.http.answer("GET", URL + "7", text="seven")

    assert [harness.call("fetch", URL + name)[1] for name in ("1", "7")] == ["any", "seven"]


def test_what_was_sent_can_be_read(harness):
    harness.http.answer("GET", URL + "1")

    harness.call("fetch", URL + "1")

    (request,) = harness.http.requests
    assert (request.method, request.url) == ("GET", URL + "1")
    assert request.headers == {"X-Key": "k"}


def test_a_request_without_an_answer_fails_as_a_host_that_is_not_there(harness):
    with pytest.raises(
        ScriptError, match=r"init.py:8: ConnectionError: GET api.test: no answer is prep"
    ):
        harness.call("fetch", URL + "1")


def test_a_request_can_be_broken_off(harness):
    harness.http.fail("GET", URL + "1")

    with pytest.raises(ScriptError, match="ConnectionError: GET api.test: the server closed"):
        harness.call("fetch", URL + "1")
