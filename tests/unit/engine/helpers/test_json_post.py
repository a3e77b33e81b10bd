"""JSON is posted, the answer told, and the URL kept to ourselves."""

from __future__ import annotations

import pytest
from aiohttp import web

from engine.helpers.json_post import JsonPost, host_of, parse_url
from tests.fakes.web_server import web_server

pytestmark = pytest.mark.real_time


@pytest.fixture
async def poster():
    made = JsonPost()
    yield made
    await made.close()


async def test_a_body_is_posted_with_its_headers(poster):
    async with web_server() as server:
        answer = await poster.post(server.url("/echo"), b'{"a": 1}', {"X-Key": "k"}, 5.0)

    method, path, headers, body = server.requests[0]
    assert (method, path, body) == ("POST", "/echo", b'{"a": 1}')
    assert (headers["Content-Type"], headers["X-Key"]) == ("application/json", "k")
    assert headers["User-Agent"] == "Cirrus"
    assert (answer.status, answer.is_taken) == (200, True)


@pytest.mark.parametrize(
    ("status", "is_taken"),
    [(200, True), (204, True), (302, False), (400, False), (404, False), (503, False)],
)
async def test_two_hundreds_take_it_and_nothing_else(poster, status, is_taken):
    async def answer(_request):
        return web.Response(status=status)

    async with web_server() as server:
        server.routes["/hook"] = answer
        posted = await poster.post(server.url("/hook"), b"{}", {}, 5.0)

    assert (posted.status, posted.is_taken) == (status, is_taken)


async def test_a_redirect_is_not_followed(poster):
    async with web_server() as server:
        answer = await poster.post(server.url("/to-echo"), b"{}", {}, 5.0)

    assert not answer.is_taken
    assert len(server.requests) == 1


async def test_an_answer_is_shortened_and_cleaned(poster):
    async def answer(_request):
        return web.Response(text="no\r\n\x07way " + "x" * 10_000)

    async with web_server() as server:
        server.routes["/hook"] = answer
        posted = await poster.post(server.url("/hook"), b"{}", {}, 5.0)

    assert len(posted.text) <= 200
    assert posted.text.startswith("no  way xxx")


async def test_a_receiver_that_is_not_there_is_an_error(poster):
    with pytest.raises(OSError, match="ClientConnectorError"):
        await poster.post("http://127.0.0.1:1/", b"{}", {}, 5.0)


async def test_a_receiver_that_hangs_up_is_an_error(poster):
    async with web_server() as server:
        with pytest.raises(OSError):
            await poster.post(server.url("/hang-up"), b"{}", {}, 5.0)


async def test_a_receiver_that_does_not_answer_takes_no_longer_than_allowed(poster):
    async with web_server() as server:
        with pytest.raises(TimeoutError):
            await poster.post(server.url("/slow"), b"{}", {}, 0.1)


async def test_requests_one_after_the_other_share_a_connection(poster):
    async with web_server() as server:
        for _ in range(3):
            await poster.post(server.url("/echo"), b"{}", {}, 5.0)

    assert server.most_connections == 1


async def test_it_can_be_closed_twice_and_unused():
    poster = JsonPost()

    await poster.close()
    await poster.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "ftp://h/",
        "http://",
        "http://h:x/",
        "http://h:0/",
        "http://h/\n",
        "http://h /",
        5,
    ],
)
def test_what_is_no_url_is_refused_without_being_shown(url):
    with pytest.raises(ValueError) as caught:
        parse_url(url)

    assert str(caught.value) == "a URL is expected, as in https://host/path"


def test_only_the_host_of_a_url_is_shown():
    assert host_of("https://user:secret@h.example:8443/token?x=y") == "h.example:8443"
