"""The load generator's way in by HTTP."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from aiohttp import web

from engine.tools.traffic_client import TrafficConnectionError
from engine.tools.traffic_content import TrafficMessage
from engine.tools.traffic_http import HttpInjector
from engine.tools.traffic_options import TrafficOptions
from engine.tools.traffic_tally import Tally

MESSAGE = TrafficMessage(
    1, "a@x.test", ("b@y.test", "c@y.test"), b"Subject: s\r\n\r\nh\xc3\xa9\r\n"
)


@contextlib.asynccontextmanager
async def injecting(answer: web.Response, **options):
    """Give an injector, its tally and the requests a server got from it."""
    requests: list[tuple[str, dict, str]] = []

    async def take(request: web.Request) -> web.StreamResponse:
        requests.append(
            (request.path, await request.json(), request.headers.get("Authorization", ""))
        )
        return web.Response(status=answer.status, text=answer.text)

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    tally = Tally(0.0)
    injector = HttpInjector(TrafficOptions(("127.0.0.1", port), **options), tally)
    try:
        yield injector, tally, requests
    finally:
        await injector.close()
        await runner.cleanup()


def accepted(**given) -> web.Response:
    return web.Response(text=json.dumps({"success_count": 2, "fail_count": 0, **given}))


async def test_a_message_is_injected_as_the_api_wants_it():
    async with injecting(accepted()) as (injector, _, requests):
        assert await injector.send(MESSAGE) == 250
        assert requests == [
            (
                "/api/inject/v1",
                {
                    "envelope_sender": "a@x.test",
                    "recipients": [{"email": "b@y.test"}, {"email": "c@y.test"}],
                    "content": "Subject: s\r\n\r\nhé\r\n",
                },
                "",
            )
        ]


async def test_a_user_is_named_by_basic_auth():
    options = {"auth_user": "ann", "auth_password": "x"}
    async with injecting(accepted(), **options) as (injector, _, requests):
        await injector.send(MESSAGE)
        assert base64.b64decode(requests[0][2].removeprefix("Basic ")) == b"ann:x"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (web.Response(status=503, text="busy"), 451),
        (web.Response(status=429, text="slow down"), 451),
        (web.Response(status=422, text='{"error": "recipients"}'), 550),
        (web.Response(status=401, text="who?"), 550),
        (web.Response(text="no JSON"), 451),
        (web.Response(text="[]"), 451),
        (web.Response(text='{"fail_count": null}'), 451),
        (accepted(fail_count=2), 550),
        (accepted(fail_count=1), 250),
    ],
)
async def test_each_answer_has_its_meaning(answer, code):
    async with injecting(answer) as (injector, tally, _):
        assert await injector.send(MESSAGE) == code
        assert tally.summary(1.0).replies[f"http {answer.status}"] == 1


async def test_single_recipients_not_taken_are_counted():
    async with injecting(accepted(fail_count=1)) as (injector, tally, _):
        await injector.send(MESSAGE)
        assert tally.recipients_refused == 1


async def test_connections_are_kept_and_counted():
    async with injecting(accepted()) as (injector, tally, _):
        for _ in range(5):
            await injector.send(MESSAGE)
        assert tally.connections == 1


async def test_a_server_that_is_not_there_is_an_error():
    async with injecting(accepted()) as (injector, _, _):
        port = int(injector._url.split(":")[2].partition("/")[0])
    gone = HttpInjector(TrafficOptions(("127.0.0.1", port)), Tally(0.0))
    with pytest.raises(TrafficConnectionError, match="onnect"):
        await gone.send(MESSAGE)
    await gone.close()
