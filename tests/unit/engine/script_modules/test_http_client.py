"""Requests of scripts to HTTP servers, good and bad."""

from __future__ import annotations

import asyncio
import base64

import pytest
from aiohttp import web

from engine.script_modules.http_client import CONNECTIONS_PER_CLIENT
from engine.script_modules.open_connections import IDLE_S
from policy.errors import HookFailedError
from tests.fakes.script_world import script_world
from tests.fakes.web_server import web_server

TOP = "client = mta.http.build_client()"


@pytest.fixture
async def server():
    async with web_server() as served:
        yield served


@pytest.fixture
async def world(tmp_path):
    async with script_world(tmp_path) as made:
        yield made


async def settled(server) -> int:
    """Return how many connections the server has once everything that ends has ended."""
    await asyncio.sleep(0.1)
    return server.connections


async def test_a_response_has_status_headers_and_body(world, server):
    assert await world.ask(
        """
        r = await client.get(given).send()
        return [r.status_code, r.status_reason, r.status_is_success, r.status_is_client_error,
                r.headers["content-TYPE"], "content-type" in r.headers, r.content_length,
                r.text() == r.bytes().decode(), r.json()["method"]]
        """,
        server.url("/echo"),
        top=TOP,
    ) == [
        200,
        "OK",
        True,
        False,
        "application/json; charset=utf-8",
        True,
        30,
        True,
        "GET",
    ]


async def test_a_bad_status_is_an_answer(world, server):
    assert await world.ask(
        """
        r = await client.get(given).send()
        return r.status_code, r.status_is_client_error, r.text()
        """,
        server.url("/none"),
        top=TOP,
    ) == (404, True, "nothing here")


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
async def test_each_method_is_sent(world, server, method):
    await world.ask(f"await client.{method}(given).send()", server.url("/echo"), top=TOP)

    assert server.requests[0][0] == method.upper()


async def test_what_a_request_is_made_of_arrives(world, server):
    await world.ask(
        """
        await (client.post(given).header("X-One", "1").headers({"X-Two": "2"})
               .basic_auth("me", "secret").body("text é").send())
        await client.post(given).bearer_auth("t0ken").body(b"\\x00\\xff").send()
        await client.post(given).form_url_encoded({"a": "b c", "n": 5}).send()
        await client.post(given).form_multipart_data({"t": "text", "b": b"\\x01"}).send()
        """,
        server.url("/echo"),
        top="client = mta.http.build_client(user_agent='test/1')",
    )

    first, second, third, fourth = server.requests
    assert (first[2]["X-One"], first[2]["X-Two"], first[2]["User-Agent"]) == ("1", "2", "test/1")
    assert first[2]["Authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()
    assert first[3] == "text é".encode()
    assert (second[2]["Authorization"], second[3]) == ("Bearer t0ken", b"\x00\xff")
    assert (third[2]["Content-Type"], third[3]) == (
        "application/x-www-form-urlencoded",
        b"a=b+c&n=5",
    )
    assert fourth[2]["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="t"\r\n\r\ntext\r\n' in fourth[3]
    assert b"application/octet-stream" in fourth[3]


async def test_a_url_is_built_with_its_query(world):
    world.load_body("return mta.http.build_url(given, {'q': 'a&b', 'n': 1})", kind="def")

    assert (
        world.runtime.fire_nowait("ask", "http://x.test/p?old=1#part")
        == "http://x.test/p?old=1&q=a%26b&n=1#part"
    )


async def test_a_query_of_what_is_no_dict_is_refused_in_words(world):
    world.load_body("return mta.http.build_url('http://x.test', given)", kind="def")

    with pytest.raises(HookFailedError, match="wants a dict from names to values"):
        world.runtime.fire_nowait("ask", 3)


async def test_a_redirect_is_followed_with_method_and_body(world, server):
    await world.ask(
        """
        await client.post(given).body("b").send()
        await client.post(given).form_multipart_data({"a": "b"}).send()
        """,
        server.url("/to-echo"),
        top=TOP,
    )

    assert [(request[0], request[1]) for request in server.requests] == [
        ("POST", "/to-echo"),
        ("POST", "/echo"),
    ] * 2
    assert server.requests[1][3] == b"b"


async def test_a_compressed_body_is_unpacked(world, server):
    assert (
        await world.ask(
            "return (await client.get(given).send()).text()", server.url("/gzip"), top=TOP
        )
        == "unpacked"
    )


@pytest.mark.parametrize(
    ("path", "error", "kept"),
    [
        ("/slow", "TimeoutError: GET 127.0.0.1: no whole answer in 3 s", 0),
        ("/drip", "TimeoutError: GET 127.0.0.1: no whole answer in 3 s", 0),
        ("/huge", "ConnectionError: GET 127.0.0.1: the body has more than 16777216 octets", 0),
        ("/bomb", "ConnectionError: GET 127.0.0.1: the body has more than 16777216 octets", 1),
        ("/loop", "ConnectionError: GET 127.0.0.1: more than 10 redirects", 1),
        ("/to-file", "ConnectionError: GET 127.0.0.1: it or a redirect leads to no URL", 1),
        ("/short", "ConnectionError: GET 127.0.0.1: the body ended too early", 0),
        ("/hang-up", "ConnectionError: GET 127.0.0.1: the server closed the connection", 0),
    ],
)
async def test_bad_manners_are_an_error_and_hold_no_connection(world, server, path, error, kept):
    with pytest.raises(HookFailedError) as caught:
        await world.ask(
            "await client.get(given).timeout('3s').send()",
            server.url(path + "?token=secret"),
            top=TOP,
        )

    assert (caught.value.line, caught.value.message) == (6, error)
    # What was read to its end can be used again.
    assert await settled(server) == kept


async def test_what_is_no_http_is_an_error(world):
    async def babble(reader, writer):
        writer.write(b"\x00\x01 220 hello\r\n" * 100)
        writer.close()

    babbling = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = babbling.sockets[0].getsockname()[1]

    with pytest.raises(HookFailedError, match="ConnectionError: GET 127.0.0.1: not an HTTP resp"):
        await world.ask("await client.get(given).send()", f"http://127.0.0.1:{port}/", top=TOP)
    babbling.close()


async def test_nobody_there_is_an_error(world, server):
    with pytest.raises(HookFailedError, match="ConnectionError: GET 127.0.0.1: .*refused"):
        await world.ask("await client.get('http://127.0.0.1:1/').send()", top=TOP)


async def test_errors_can_be_caught(world, server):
    assert (
        await world.ask(
            """
            try:
                await client.get(given).timeout(1).send()
            except TimeoutError:
                return "gone on"
            """,
            server.url("/slow"),
            top=TOP,
        )
        == "gone on"
    )


async def test_the_waiting_time_of_the_handler_ends_a_request(world, server):
    with pytest.raises(HookFailedError, match="waited longer than 10"):
        await world.ask("await client.get(given).send()", server.url("/slow"), top=TOP)

    assert await settled(server) == 0


async def test_a_handler_that_is_cancelled_leaves_nothing_open(world, server):
    world.load_body("await client.get(given).send()", top=TOP)
    firing = asyncio.ensure_future(world.again(server.url("/slow")))
    await asyncio.sleep(1)
    firing.cancel()

    assert await settled(server) == 0


async def test_a_request_under_way_ends_well_across_a_reload(world, server):
    async def later(request):
        await asyncio.sleep(5)
        return await server._echo(request)

    server.routes["/later"] = later
    world.load_body("return (await client.get(given).send()).status_code", top=TOP)
    firing = asyncio.ensure_future(world.again(server.url("/later")))
    await asyncio.sleep(1)
    for number in range(3):
        world.load_body(f"return {number}", top=TOP)

    assert await firing == 200


async def test_clients_of_all_epochs_share_connections(world, server):
    body = "return (await mta.http.build_client().get(given).send()).status_code"
    for _ in range(5):
        assert await world.ask(body, server.url("/echo")) == 200

    assert server.most_connections == 1


async def test_connections_are_closed_when_no_script_asks_any_more(world, server):
    await world.ask("await client.get(given).send()", server.url("/echo"), top=TOP)
    assert await settled(server) == 1
    await asyncio.sleep(3 * IDLE_S)

    assert server.connections == 0


async def test_connections_of_a_client_are_bounded(world, server):
    arrived, may_answer = asyncio.Semaphore(0), asyncio.Event()

    async def wait(request):
        arrived.release()
        await may_answer.wait()
        return await server._echo(request)

    server.routes["/wait"] = wait
    world.load_body("return (await client.get(given).send()).status_code", top=TOP)
    calls = [
        asyncio.ensure_future(world.again(server.url("/wait")))
        for _ in range(CONNECTIONS_PER_CLIENT + 6)
    ]
    for _ in range(CONNECTIONS_PER_CLIENT):
        await arrived.acquire()
    may_answer.set()

    assert await asyncio.gather(*calls) == [200] * (CONNECTIONS_PER_CLIENT + 6)
    assert server.most_connections == CONNECTIONS_PER_CLIENT


async def test_given_zones_are_the_world_of_requests_too(tmp_path, server):
    async with script_world(tmp_path, ["web.test. A 127.0.0.1\n"]) as world:
        url = f"http://web.test:{server.port}/echo"
        assert (
            await world.ask("return (await client.get(given).send()).status_code", url, top=TOP)
            == 200
        )

        with pytest.raises(HookFailedError, match=r"ConnectionError: GET other.test: .*not exist"):
            await world.again("http://other.test/")


async def test_no_cookie_is_kept(world, server):
    async def set_cookie(request):
        response = await server._echo(request)
        response.set_cookie("id", "1")
        return response

    server.routes["/cookie"] = set_cookie
    await world.ask(
        "for i in range(2): await client.get(given).send()", server.url("/cookie"), top=TOP
    )

    assert "Cookie" not in server.requests[1][2]


async def test_a_proxy_of_the_environment_is_not_used(world, server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert (
        await world.ask(
            "return (await client.get(given).send()).status_code", server.url("/echo"), top=TOP
        )
        == 200
    )


async def test_a_request_to_aws_is_signed_with_keys_from_their_sources(world, server):
    await world.ask(
        """
        await (client.put(given).body("x").aws_sign_v4(
            access_key={"key_data": "AKID"}, secret_key={"key_data": "s3cr3t"},
            region="eu-west-1", service="s3").send())
        """,
        server.url("/echo"),
        top=TOP,
    )

    headers = server.requests[0][2]
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date" in headers["Authorization"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("client.get('ftp://x.test/')", "ValueError: url: http://host"),
        ("client.get('http://')", "ValueError: url: http://host"),
        ("client.get('http://[x')", "ValueError: url: http://host"),
        ("client.get(5)", "ValueError: url: text"),
        ("client.get(given).header('a b', 'c')", "ValueError: not the name of a header"),
        ("client.get(given).header('A', 'b\\r\\nX: y')", "ValueError: A: text of one line"),
        ("client.get(given).header('Content-Length', '5')", "belongs to the connection"),
        ("client.get(given).body(5)", "TypeError: body: text or bytes"),
        ("client.get(given).form_url_encoded({'a': [1]})", "TypeError: a: text, bytes or a number"),
        ("client.get(given).timeout(0)", "ValueError: a duration above zero"),
        ("client.get(given).aws_sign_v4(region='x')", "TypeError: aws_sign_v4: missing access_key"),
        ("client.close()\nclient.get(given)", "RuntimeError: this client is closed"),
        ("mta.http.build_client(timout=5)", r"TypeError: .*did you mean 'timeout'"),
        ("mta.http.build_client(timeout='x')", "ValueError: .*timeout: not a duration"),
        ("client.get(given).send()", r"request.send\(\) waits: await it"),
    ],
)
async def test_wrong_use_is_an_error_at_the_call(world, body, message):
    world.load_body(body, top=TOP, kind="def")

    with pytest.raises(HookFailedError, match=message):
        world.runtime.fire_nowait("ask", "http://x.test/")


async def test_without_await_a_request_is_an_error_with_its_line(world):
    with pytest.raises(HookFailedError, match=r"init.py:6: .*request.send\(\) without await"):
        await world.ask("client.get('http://x.test/').send()", top=TOP)


async def test_bodies_count_as_memory_of_the_handler(world, server):
    async def large(request):
        return web.Response(body=bytes(12 << 20))

    server.routes["/large"] = large
    with pytest.raises(HookFailedError, match="128 MiB"):
        await world.ask(
            "kept = []\nwhile True: kept.append(await client.get(given).send())",
            server.url("/large"),
            top=TOP,
        )
