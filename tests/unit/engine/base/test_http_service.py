"""The HTTP listener: who may call, what bodies may be, how errors look."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import aiohttp
import msgspec
import pytest

from engine.base import http_service
from engine.base.http_call import (
    Access,
    AuthInfo,
    BasicCredentials,
    BodyLimits,
    HttpRefusalError,
)
from engine.base.http_service import HttpService
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.model.access_list import parse_access_list

pytestmark = pytest.mark.real_time


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    sizes: list[int] = []


class Nested(msgspec.Struct, forbid_unknown_fields=True):
    things: list[Thing]


async def judge(credentials):
    if isinstance(credentials, BasicCredentials):
        if credentials.user == "broken":
            raise RuntimeError("no judge")
        if (credentials.user, credentials.password) == ("u", "p"):
            return AuthInfo("u")
    return None


async def echo(call):
    return {"identity": call.identity, "size": len(call.raw_body)}


async def fail(_call):
    raise RuntimeError("secret path /etc/x")


async def refuse(_call):
    raise HttpRefusalError(409, "not now", "name")


class Client:
    def __init__(self, service, session):
        self.base = f"http://127.0.0.1:{service.port}"
        self.session = session

    async def __call__(self, method, path, **options):
        async with self.session.request(method, self.base + path, **options) as response:
            raw = await response.read()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(raw) if is_json else raw.decode()


class Started:
    def __init__(self, **options):
        options.setdefault("metrics", Metrics(ENGINE_METRICS))
        self.service = HttpService(("127.0.0.1", 0), "node.example", authenticate=judge, **options)
        for name, function in (("echo", echo), ("fail", fail), ("refuse", refuse)):
            self.service.add_route("POST", f"/{name}", function, Access.ADMIN)
        self.service.add_route("POST", "/inject", echo, Access.INJECT)
        self.service.add_route(
            "POST", "/large", echo, Access.ADMIN, limits=BodyLimits(lambda: 5000, 600.0)
        )
        self.service.add_route("POST", "/typed", echo, Access.ADMIN, body=Nested, answer=Thing)

    async def __aenter__(self):
        await self.service.start()
        self.session = aiohttp.ClientSession()
        return Client(self.service, self.session)

    async def __aexit__(self, *_):
        await self.session.close()
        await self.service.stop(1.0)


async def test_a_trusted_peer_may_do_everything():
    async with Started() as call:
        assert await call("POST", "/echo", data=b"x") == (200, {"identity": "127.0.0.1", "size": 1})


async def test_every_answer_names_the_product_and_no_version():
    async with Started() as call:
        named = []
        for path in ("/echo", "/fail", "/nowhere", "/metrics"):
            async with call.session.post(call.base + path) as response:
                named.append(response.headers["Server"])

    assert named == ["Cirrus"] * 4


async def test_head_is_answered_as_get_without_the_body():
    sick: list[str | None] = [None]
    started = Started(liveness=lambda: sick[0])
    async with started as call:
        answers = []
        for path, reason in (
            ("/api/check-liveness/v1", None),
            ("/api/check-liveness/v1", "disk full"),
            ("/metrics", None),
            ("/api/check-liveness/v1", None),
        ):
            sick[0] = reason
            async with call.session.head(call.base + path) as response:
                answers.append((response.status, await response.read()))

    assert answers == [(200, b""), (503, b""), (200, b""), (200, b"")]


@pytest.mark.parametrize(
    ("path", "auth", "status"),
    [
        ("/inject", None, 401),
        ("/inject", ("u", "p"), 200),
        ("/inject", ("u", "wrong"), 401),
        ("/inject", ("broken", ""), 503),
        ("/echo", ("u", "p"), 403),
        ("/echo", None, 401),
    ],
)
async def test_others_need_credentials_and_may_inject_only(path, auth, status):
    async with Started(trusted_hosts=["192.0.2.0/24"]) as call:
        found, document = await call("POST", path, auth=auth and aiohttp.BasicAuth(*auth))

    assert found == status
    assert status == 200 or set(document) == {"error"}


@pytest.mark.parametrize("header", ["Basic !!!", "Basic /w==", "Digest x", "Bearer t"])
async def test_wrong_credentials_are_wrong_also_from_a_trusted_peer(header):
    async with Started() as call:
        status, document = await call("POST", "/echo", headers={"Authorization": header})

    assert (status, set(document)) == (401, {"error"})


async def test_forwarding_headers_make_nobody_trusted():
    async with Started(trusted_hosts=["192.0.2.0/24"]) as call:
        headers = {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}
        assert (await call("POST", "/echo", headers=headers))[0] == 401


async def test_who_shows_nothing_is_asked_for_credentials_only_where_somebody_judges_them():
    async def answer(service):
        await service.start()
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{service.port}/metrics"
            async with session.get(url) as response:
                found = response.status, response.headers.get("WWW-Authenticate", "")
        await service.stop(1.0)
        return found

    options = {"metrics": Metrics(ENGINE_METRICS), "trusted_hosts": []}
    judged = HttpService(("127.0.0.1", 0), "h", authenticate=judge, **options)
    closed = HttpService(("127.0.0.1", 0), "h", **options)

    assert await answer(judged) == (401, 'Basic realm="cirrus"')
    assert await answer(closed) == (403, "")


class Lists:
    """Access lists of a script: one for all."""

    def __init__(self, rules):
        self.rules = rules

    def is_in_force(self):
        return True

    async def find(self, _resource):
        if self.rules is None:
            raise RuntimeError("no list to be had")
        return parse_access_list(self.rules)


async def test_access_lists_decide_also_who_may_ask_for_liveness():
    rules = [
        {"identity": {"Individual": "u"}, "allow": True, "privileges": ["GET", "POST"]},
        {"identity": "Any", "allow": False, "privileges": ["GET", "POST"]},
    ]
    denied = []
    started = Started(
        access=Lists(rules), on_denied=lambda call, text: denied.append((call.identity, text))
    )
    async with started as call:
        known = {"auth": aiohttp.BasicAuth("u", "p")}
        statuses = [
            (await call("GET", "/api/check-liveness/v1", **known))[0],
            (await call("GET", "/api/check-liveness/v1"))[0],
            (await call("POST", "/echo", **known))[0],
            (await call("POST", "/echo"))[0],
        ]

    assert statuses == [200, 401, 200, 401]
    assert denied == [("127.0.0.1", "denied by an access list")] * 2


async def test_an_access_list_that_cannot_be_had_is_no_refusal():
    denied = []
    started = Started(access=Lists(None), on_denied=lambda call, text: denied.append(text))
    async with started as call:
        assert (await call("POST", "/echo"))[0] == 503

    assert denied == []


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_page_of_another_site_is_no_administrator(headers):
    async with Started() as call:
        assert (await call("POST", "/echo", headers=headers))[0] == 403


async def test_errors_are_json_without_a_trace():
    async with Started() as call:
        assert await call("POST", "/fail") == (500, {"error": "internal error"})
        assert await call("POST", "/refuse") == (409, {"error": "not now", "field": "name"})
        assert (await call("GET", "/nothing"))[0] == 404
        assert (await call("GET", "/echo"))[1] == {"error": "Method Not Allowed"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b"{}", "things"),
        (b'{"things":[{"name":"a"},{"name":1}]}', "things[1].name"),
        (b'{"things":[{"name":"a","colour":1}]}', "things[0].colour"),
        (b'{"things":[{}]}', "things[0].name"),
        (b'{"things":[{"name":"a","sizes":[1,"x"]}]}', "things[0].sizes[1]"),
    ],
)
async def test_a_wrong_body_is_answered_with_the_field(body, field):
    async with Started() as call:
        status, document = await call("POST", "/typed", data=body)

    assert status == 422
    assert document.get("field") == field
    assert document["error"]


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
    ],
)
async def test_compressed_bodies_are_understood_and_bounded(encoding, compress):
    headers = {"Content-Encoding": encoding}
    async with Started(request_body_limit=100_000) as call:
        fits = await call("POST", "/echo", data=compress(b"x" * 100_000), headers=headers)
        bomb = await call("POST", "/echo", data=compress(b"x" * 50_000_000), headers=headers)
        cut = await call("POST", "/echo", data=compress(b"abc" * 1000)[:-3], headers=headers)
        junk = await call("POST", "/echo", data=b"junk", headers=headers)

    assert fits == (200, {"identity": "127.0.0.1", "size": 100_000})
    assert bomb[0] == 413
    assert cut[0] == 422
    assert junk[0] == 422


async def test_plain_bodies_are_bounded_with_and_without_a_length():
    async def pieces():
        for _ in range(40):
            yield b"x" * 10_000

    async with Started(request_body_limit=100_000) as call:
        assert (await call("POST", "/echo", data=b"x" * 100_000))[0] == 200
        assert (await call("POST", "/echo", data=b"x" * 100_001))[0] == 413
        assert (await call("POST", "/echo", data=pieces()))[0] == 413
        assert (await call("POST", "/echo", data=b"x", headers={"Content-Encoding": "br"}))[
            0
        ] == 415


async def test_a_body_that_dribbles_is_given_up(monkeypatch):
    monkeypatch.setattr(http_service, "BODY_S", 0.2)
    started = Started()
    async with started as call:
        reader, writer = await asyncio.open_connection("127.0.0.1", started.service.port)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        assert call is not None

    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_connection_without_a_request_is_closed(monkeypatch):
    monkeypatch.setattr(http_service, "IDLE_S", 0.1)
    monkeypatch.setattr(http_service, "_SWEEP_S", 0.05)
    started = Started()
    async with started:
        reader, writer = await asyncio.open_connection("127.0.0.1", started.service.port)
        writer.write(b"GET / HT")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_endless_headers_are_refused():
    started = Started()
    async with started:
        reader, writer = await asyncio.open_connection("127.0.0.1", started.service.port)
        writer.write(b"GET / HTTP/1.1\r\nX-A: " + b"x" * 100_000)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.0 400") or answer.startswith(b"HTTP/1.1 400")
    assert b"Traceback" not in answer


async def test_liveness_gives_the_reason():
    reason = [None]
    async with Started(liveness=lambda: reason[0], trusted_hosts=[]) as call:
        assert await call("GET", "/api/check-liveness/v1") == (200, "OK")
        reason[0] = "shutting down"
        assert await call("GET", "/api/check-liveness/v1") == (503, "shutting down")


async def test_a_daemon_that_takes_no_work_is_alive_all_the_same():
    started = Started(liveness=lambda: "the disk is full", trusted_hosts=[])
    async with started as call:
        assert (await call("GET", "/api/check-liveness/v1"))[0] == 503
        assert await call("GET", "/api/check-alive/v1") == (200, "OK")
        async with call.session.head(f"{call.base}/api/check-alive/v1") as response:
            assert response.status == 200


async def test_whether_it_is_alive_asks_nothing_that_may_fail():
    def broken():
        raise OSError("no disk")

    async with Started(liveness=broken) as call:
        assert (await call("GET", "/api/check-liveness/v1"))[0] == 500
        assert await call("GET", "/api/check-alive/v1") == (200, "OK")


async def test_metrics_are_streamed_to_trusted_peers_only():
    metrics = Metrics(ENGINE_METRICS)
    for number in range(3000):
        metrics.gauge("scheduled_count").labels(f"q{number}.example").set(number)
    async with Started(metrics=metrics) as call:
        status, text = await call("GET", "/metrics", params={"prefix": "p_"})
        _, document = await call("GET", "/metrics.json")
        metrics.gauge("memory_usage").labels().set(7)
        _, few = await call("GET", "/metrics.json?names=memory_usage,&names=unheard_of")
        _, little = await call("GET", "/metrics?names=memory_usage&prefix=p_")
    async with Started(metrics=metrics, trusted_hosts=[]) as call:
        refused = await call("GET", "/metrics")

    assert status == 200
    assert text.count("p_scheduled_count{") == 3000
    assert document["scheduled_count"]["value"]["queue"]["q7.example"] == 7
    assert set(few) == {"memory_usage"}
    assert little.splitlines()[-1] == "p_memory_usage 7"
    assert refused[0] == 401


async def test_the_description_names_routes_and_schemas():
    async with Started() as call:
        status, document = await call("GET", "/api-docs/openapi.json")

    assert status == 200
    assert document["openapi"].startswith("3.1")
    body = document["paths"]["/typed"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["$ref"] == "#/components/schemas/Nested"
    assert "Thing" in document["components"]["schemas"]
    for path, who in (("alive", "it."), ("liveness", "it, unless an access list says otherwise.")):
        probe = document["paths"][f"/api/check-{path}/v1"]["get"]
        assert probe["description"] == f"Anyone may call {who}"
        assert probe["summary"]


async def test_stopping_lets_a_running_request_end():
    begun = asyncio.Event()

    async def slow(_call):
        begun.set()
        await asyncio.sleep(0.2)
        return "done"

    service = HttpService(("127.0.0.1", 0), "h")
    service.add_route("GET", "/slow", slow, Access.ADMIN)
    await service.start()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        answer = group.create_task(Client(service, session)("GET", "/slow"))
        await begun.wait()
        await service.stop(5.0)

    assert answer.result() == (200, "done")


async def test_its_port_is_known_while_it_ends_for_requests_under_way_are_judged_by_it():
    service = HttpService(("127.0.0.1", 0), "h")
    await service.start()
    port = service.port
    await service.stop(1.0)

    assert service.port == port > 0


async def test_tls_is_spoken_when_asked_for():
    from engine.base.tls_files import ServerTls

    service = HttpService(("127.0.0.1", 0), "h", tls=ServerTls("h"))
    await service.start()
    async with aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{service.port}/api/check-liveness/v1"
        async with session.get(url, ssl=False) as response:
            assert await response.text() == "OK"
    await service.stop(1.0)


async def test_a_route_may_have_limits_of_its_own():
    async with Started(request_body_limit=1000) as call:
        assert (await call("POST", "/echo", data=b"x" * 2000))[0] == 413
        assert (await call("POST", "/large", data=b"x" * 5000))[1]["size"] == 5000
        assert (await call("POST", "/large", data=b"x" * 5001))[0] == 413
        packed = gzip.compress(b"x" * 6000)
        headers = {"Content-Encoding": "gzip"}
        assert (await call("POST", "/large", data=packed, headers=headers))[0] == 413
