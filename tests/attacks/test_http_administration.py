"""Who may not, who cannot spell, who guesses and who does not read, at the HTTP administration.

Whatever they do: nothing of the node changes, nothing grows without end, operators are served, and
the audit log says who it was without being flushed by it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
from collections import Counter

import pytest

from engine.admin.http_api import ENDPOINTS
from engine.base.http_call import AuthInfo, BasicCredentials
from engine.base.http_service import _SWEEP_S, FLUSH_S, IDLE_S
from engine.base.login_brake import BURST, INTERVAL_S
from engine.base.trace_hub import TraceEvent
from engine.model.access_list import parse_access_list
from tests.fakes.admin_world import operating

PASSWORD = "correct horse"
#: Bodies that would do something, by the last word of the path.
ORDERS = {
    "bounce": {"reason": "x"},
    "suspend": {"reason": "x"},
    "suspend-ready-q": {"name": "s1->mx.a.test@smtp_client", "reason": "x"},
    "suspend-source": {"name": "s1", "reason": "x"},
    "rebind": {"reason": "x", "data": {"routing_domain": "b.test"}, "always_flush": True},
    "automation": {"is_off": True},
    "hold": {"reason": "x"},
    "release": {},
    "send-now": {},
    "move": {"reason": "x", "data": {"routing_domain": "b.test"}},
    "expire": {},
}
SUSPEND = "/api/admin/suspend/v1"
TRACE = "/api/admin/trace-smtp-server/v1"


class Logins:
    """The logins of a listener: one user, one password, and how often it was asked."""

    def __init__(self, delay_s=0.0):
        self.judged = 0
        self._delay_s = delay_s

    async def __call__(self, credentials):
        self.judged += 1
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if not isinstance(credentials, BasicCredentials) or credentials.password != PASSWORD:
            return None
        return AuthInfo(credentials.user, ("operators",) if credentials.user == "ann" else ())


class Lists:
    """Lists of a script: operators may administer, viewers may look."""

    def is_in_force(self):
        return True

    async def find(self, resource):
        if resource != "http_listener/*/api/admin":
            return None
        every = ["GET", "POST", "DELETE"]
        return parse_access_list(
            [{"criteria": {"Group": "operators"}, "privileges": every, "access": "Allow"}]
        )


def basic(user, password):
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def orders(message):
    """Return method, path and body of each endpoint, such that it would do something."""
    found = []
    for method, path, _ in ENDPOINTS:
        word = path.split("/")[3] if path.startswith("/api/admin/") else ""
        body = None
        if method == "POST":
            body = dict(ORDERS.get(word, {}))
            if word in ("hold", "release", "send-now", "move", "expire"):
                body["id"] = message.id
        elif method == "DELETE":
            body = {"id": "0"}
        found.append((method, path, body))
    return found


async def ask(operator, method, path, body=None, headers=None):
    """Return status, headers and text of an answer."""
    options = {} if body is None else {"json": body}
    url = operator.base + path
    async with operator.session.request(method, url, headers=headers, **options) as answer:
        return answer.status, answer.headers, await answer.text()


def state(world):
    """Return all that an operator can change."""
    return (
        [one.id for one in world.suspensions.list_scheduled()],
        [one.id for one in world.suspensions.list_ready()],
        [one.id for one in world.suspensions.list_sources()],
        [one.id for one in world.bounces.list()],
        {queue.name: sorted(queue.entries) for queue in world.queues},
        dict(world.store.envelopes),
        world.automation_is_off,
        len(world.tracing.server),
    )


async def is_well(operator):
    """Return whether the listener answers, and an operator who is trusted gets what he asks for."""
    status, _, text = await ask(operator, "GET", "/api/check-alive/v1")
    return (status, text) == (200, "OK")


# -- who may not --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (basic("eve", "guessed"), 401),
        (basic("bob", PASSWORD), 403),
        ({"Authorization": "Bearer stolen"}, 401),
        ({"Authorization": "Basic !!!"}, 401),
        ({"Authorization": "Basic " + "A" * 4000}, 401),
        ({"Authorization": "Negotiate x"}, 401),
        ({"Authorization": ""}, 401),
        ({"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}, 401),
        ({**basic("ann", PASSWORD), "Sec-Fetch-Site": "cross-site"}, 403),
        ({**basic("ann", PASSWORD), "Origin": "http://evil.example"}, 403),
    ],
)
async def test_who_may_not_changes_nothing_and_is_noted(tmp_path, headers, status):
    logins = Logins()
    async with operating(
        tmp_path, trusted_hosts=[], authenticate=logins, access=Lists()
    ) as operator:
        world = operator.world
        (message,) = world.submit(due_in_s=300)
        before = state(world)

        for method, path, body in orders(message):
            logins.judged = 0
            operator.service._brake = type(operator.service._brake)(world.clock.mono)
            found, _, text = await ask(operator, method, path, body, headers)
            assert found == status, (method, path, text)
            assert PASSWORD not in text and "Traceback" not in text
        assert state(world) == before

        entries = world.audited()
        assert {one.result for one in entries} <= {"denied"}
        if "Origin" not in headers and "Sec-Fetch-Site" not in headers:
            assert any(one.act == f"POST {SUSPEND}" for one in entries)
        assert not any(PASSWORD in str(one) or "guessed" in str(one) for one in entries)


async def test_what_one_may_is_not_what_another_may_over_one_connection(tmp_path):
    async with operating(
        tmp_path, trusted_hosts=[], authenticate=Logins(), access=Lists()
    ) as operator:
        for headers, status in (
            (basic("ann", PASSWORD), 200),
            ({}, 401),
            (basic("bob", PASSWORD), 403),
            (basic("ann", PASSWORD), 200),
            (basic("ann", "wrong"), 401),
        ):
            found, _, _ = await ask(operator, "GET", SUSPEND, headers=headers)
            assert found == status


# -- who guesses --------------------------------------------------------------------------------


async def test_a_thousand_guesses_are_few_that_are_judged_and_few_entries(tmp_path):
    logins = Logins()
    async with operating(
        tmp_path, trusted_hosts=[], authenticate=logins, access=Lists()
    ) as operator:
        found = Counter()
        for number in range(1000):
            status, headers, _ = await ask(
                operator, "GET", SUSPEND, headers=basic("ann", f"guess {number}")
            )
            found[status] += 1
            if status == 429:
                assert 0 < int(headers["Retry-After"]) <= INTERVAL_S

        assert logins.judged == found[401]
        assert BURST <= found[401] <= BURST + 5
        assert found[429] == 1000 - found[401]
        entries = operator.world.audited()
        assert 1 <= len(entries) <= 6
        assert {one.result for one in entries} == {"denied"}
        assert any("too many wrong credentials" in one.detail for one in entries)


async def test_guesses_at_the_same_time_win_nothing(tmp_path):
    logins = Logins(delay_s=0.5)
    async with operating(
        tmp_path, trusted_hosts=[], authenticate=logins, access=Lists()
    ) as operator:
        answers = await asyncio.gather(
            *(
                ask(operator, "GET", SUSPEND, headers=basic("ann", f"guess {number}"))
                for number in range(300)
            )
        )

        assert logins.judged <= BURST + 2
        assert Counter(one[0] for one in answers)[429] == 300 - logins.judged


async def test_operators_behind_the_address_of_a_guesser_are_served(tmp_path):
    async with operating(
        tmp_path, trusted_hosts=[], authenticate=Logins(), access=Lists()
    ) as operator:
        ann = basic("ann", PASSWORD)
        assert (await ask(operator, "GET", SUSPEND, headers=ann))[0] == 200
        for number in range(200):
            await ask(operator, "GET", SUSPEND, headers=basic("ann", f"guess {number}"))
            assert (await ask(operator, "GET", SUSPEND, headers=ann))[0] == 200

        # Who comes for the first time is told how long it takes, and that is not long.
        bob = basic("bob", PASSWORD)
        status, headers, _ = await ask(operator, "GET", SUSPEND, headers=bob)
        assert status == 429
        await asyncio.sleep(int(headers["Retry-After"]))
        assert (await ask(operator, "GET", SUSPEND, headers=bob))[0] == 403


# -- who cannot spell ---------------------------------------------------------------------------

GARBAGE = [
    b"\r\n\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 100_000,
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000,
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\n{}",
    b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n0\r\n",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}{}{}",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n" + b"[" * 9,
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n" + b"[" * 90_000,
    b'POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{"reason":"\xff\xfe"}',
    b'POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{"reason": NaN}',
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Encoding: br, gzip\r\nContent-Length: 4\r\n\r\nnope",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"TRACE %s HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET %s/../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/admin/%%2e%%2e/metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    b'DELETE %s HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{"id":null}',
    b"GET /api/admin/messages/v1?limit=99999999999999999999 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/admin/messages/v1?min_age=%%00&reply=%%ff HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("octets", GARBAGE, ids=lambda one: repr(one[:60]))
async def test_garbage_of_somebody_trusted_changes_nothing(tmp_path, octets):
    async with operating(tmp_path) as operator:
        world = operator.world
        world.submit(due_in_s=300)
        before = state(world)
        octets = octets.replace(b"%s", SUSPEND.encode()).replace(b"%%", b"%")

        reader, writer = await asyncio.open_connection("127.0.0.1", operator.service.port)
        with contextlib.suppress(ConnectionError):
            writer.write(octets)
            writer.write_eof()
            async with asyncio.timeout(300):
                answer = await reader.read()
            assert b"Traceback" not in answer
            assert not answer.startswith(b"HTTP/1.1 500")
        writer.close()

        assert state(world) == before
        assert await is_well(operator)


async def test_a_request_that_never_ends_is_closed(tmp_path):
    async with operating(tmp_path) as operator:
        readers = []
        for octets in (
            b"",
            b"GET / HT",
            b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", operator.service.port)
            writer.write(octets.replace(b"%s", SUSPEND.encode()))
            readers.append((reader, writer))

        for reader, writer in readers:
            async with asyncio.timeout(2 * IDLE_S + 2 * _SWEEP_S):
                await reader.read()
            writer.close()
        assert await is_well(operator)


# -- websockets ---------------------------------------------------------------------------------


def frame(opcode, payload, *, mask=True, fin=True, length=None):
    head = bytes([(0x80 if fin else 0) | opcode])
    size = len(payload) if length is None else length
    bit = 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 1 << 16:
        head += bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + size.to_bytes(8, "big")
    return head + (bytes(4) if mask else b"") + payload


async def upgraded(operator):
    """Return a websocket of which the test has each octet in hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", operator.service.port)
    await upgrade(reader, writer)
    return reader, writer


async def upgrade(reader, writer):
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET {TRACE} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), head


@pytest.mark.parametrize(
    "octets",
    [
        frame(1, b"not json"),
        frame(1, b"[" * 5000),
        frame(1, b"\xff\xfe"),
        frame(1, b"{}", mask=False),
        frame(2, b"{}"),
        frame(3, b"{}"),
        frame(1, b"", length=1 << 62),
        frame(1, b"x" * 100_000),
        frame(9, b"x" * 1000),
        frame(1, b"{", fin=False) + frame(1, b"}"),
        frame(0, b"{}"),
        frame(8, b"\x00"),
        frame(1, b'{"domain": 5}'),
        frame(1, b'{"unknown": true}'),
        b"GET / HTTP/1.1\r\n\r\n" * 100,
        b"",
    ],
    ids=lambda one: repr(one[:24]),
)
async def test_frames_that_are_none_end_the_socket_and_nothing_else(tmp_path, octets):
    async with operating(tmp_path) as operator:
        before = state(operator.world)
        reader, writer = await upgraded(operator)
        with contextlib.suppress(ConnectionError):
            writer.write(octets)
            async with asyncio.timeout(300):
                while await reader.read(1 << 16):
                    pass
        writer.close()
        await asyncio.sleep(1)

        assert state(operator.world) == before
        assert len(operator.world.tracing.server) == 0
        assert await is_well(operator)


async def test_who_watches_and_does_not_read_is_let_go_and_holds_up_nobody(tmp_path):
    async with operating(tmp_path) as operator:
        hub = operator.world.tracing.server
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", operator.service.port))
        raw.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=raw, limit=1024)
        await upgrade(reader, writer)
        writer.transport.pause_reading()
        writer.write(frame(1, b"{}"))
        while not len(hub):
            await asyncio.sleep(0.01)

        for number in range(20_000):
            hub.publish(TraceEvent({}, "Read", b"x" * 200 + str(number).encode(), 0.0))
            if not number % 500:
                await asyncio.sleep(0)
        kept = sum(len(one._events) for one in hub._subscriptions)
        await asyncio.sleep(120)

        assert kept < 20_000
        assert len(hub) == 0
        assert await is_well(operator)
        writer.transport.abort()


# -- who does not read --------------------------------------------------------------------------


async def lazy(operator, path):
    """Return a connection that asked for a page and reads nothing of it."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", operator.service.port))
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    await asyncio.get_running_loop().sock_sendall(raw, request * 10)
    return raw


@pytest.mark.parametrize("path", ["/api-docs/openapi.json", "/metrics", "/metrics.json"])
async def test_who_does_not_read_an_answer_loses_the_connection(tmp_path, path):
    async with operating(tmp_path) as operator:
        family = operator.world.metrics.counter("total_messages_delivered")
        for number in range(5000):
            family.labels(f"smtp_client:s1->{'x' * 100}{number}").inc()
        readers = [await lazy(operator, path) for _ in range(5)]
        while len(operator.service._runner.server.connections) < 5:
            await asyncio.sleep(0.01)

        await asyncio.sleep(IDLE_S + FLUSH_S + 4 * _SWEEP_S)

        assert len(operator.service._runner.server.connections) == 0
        assert operator.service._transports == operator.service._idle_since == {}
        for one in readers:
            one.close()
        assert await is_well(operator)
