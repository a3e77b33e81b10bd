"""What answers look like, and how streams share the loop."""

from __future__ import annotations

from aiohttp import web

from engine.base.http_answer import WRITE_CHARS, make_refusal, make_response, take_slice
from engine.base.http_call import HttpRefusalError


def test_values_become_json_and_text_stays_text():
    ready = web.Response(text="x")

    assert make_response({"a": 1}).body == b'{"a":1}'
    assert make_response("OK").content_type == "text/plain"
    assert make_response(ready) is ready


def test_a_refusal_names_the_field_and_asks_for_credentials_where_they_lack():
    refused = make_refusal(HttpRefusalError(422, "wrong", "name"))
    unknown = make_refusal(HttpRefusalError(401, "who are you"))

    assert refused.body == b'{"error":"wrong","field":"name"}'
    assert "WWW-Authenticate" not in refused.headers
    assert unknown.headers["WWW-Authenticate"].startswith("Basic ")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.001
        return self.now


def test_a_slice_ends_with_its_time_and_nothing_is_lost():
    pieces = iter([f"{number} " for number in range(100)])
    clock = Clock()
    slices = []
    is_over = False
    while not is_over:
        text, is_over = take_slice(pieces, clock)
        slices.append(text)

    assert "".join(slices).split() == [str(number) for number in range(100)]
    assert max(len(one.split()) for one in slices) <= 5


def test_a_slice_ends_before_it_is_too_much_to_write():
    text, is_over = take_slice(iter(["x" * 50_000] * 4), lambda: 0.0)

    assert WRITE_CHARS <= len(text) <= WRITE_CHARS + 50_000
    assert not is_over
