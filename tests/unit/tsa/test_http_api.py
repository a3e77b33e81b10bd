"""The endpoints of the daemon over real sockets: what is taken, refused, held back and dropped."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import aiohttp
import pytest

from engine.base.clock import Clock
from engine.base.http_service import HttpService
from engine.base.lifecycle import Supervisor
from tests.fakes.tsa_world import NOON, record_line, rule_text, shaping_of
from tsa import http_api, record_intake
from tsa.decision_store import DecisionStore
from tsa.errors import StoreUnavailableError
from tsa.http_api import TsaApi
from tsa.publication import Publication
from tsa.record_intake import RecordIntake
from tsa.rule_engine import RuleEngine

pytestmark = pytest.mark.real_time
NDJSON = {"Content-Type": "application/x-ndjson"}
RULES = rule_text('"Bounce"', trigger='{Threshold="2/hour"}')


class World:
    """A daemon without its composition root.

    Attributes:
        broken: Why nothing can be saved now.
        gate: What saving waits for.
    """

    def __init__(self, folder, *, frames_max=1000, trusted=("127.0.0.1",)):
        clock = Clock(wall=lambda: NOON)
        self.store = DecisionStore(folder / "state")
        self.store.open()
        self.publication = Publication(self.store.active, clock, frames_max=frames_max)
        self.broken = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.intake = RecordIntake(
            RuleEngine(shaping_of(RULES)),
            self.store,
            self.publication.announce,
            clock,
            offload=self._save,
        )
        self.supervisor = Supervisor()
        self.api = TsaApi(self.intake, self.publication, self.supervisor)
        self.service = HttpService(
            ("127.0.0.1", 0),
            "tsa.test",
            trusted_hosts=trusted,
            request_body_limit=http_api.BODY_LIMIT,
            liveness=self.api.trouble,
        )
        self.api.add_routes(self.service)

    async def _save(self, work):
        await self.gate.wait()
        if self.broken is not None:
            raise StoreUnavailableError(self.broken)
        work()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.service.port}"

    async def post(self, body, headers=None):
        async with self.session.post(
            f"{self.url}/publish_log_v1", data=body, headers=headers
        ) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.text()

    async def get(self, path):
        async with self.session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    def connect(self, path):
        return self.session.ws_connect(self.url + path)

    def decide(self, number, *, text=""):
        """Have the rules decide about one more domain."""
        lines = [record_line(NOON, queue=f"d{number}{text}.example") for _ in range(2)]
        return self.intake.take(lines)


@contextlib.asynccontextmanager
async def running(folder, **options):
    world = World(folder, **options)
    world.supervisor.start(world.intake.run(), "intake")
    await world.service.start()
    async with aiohttp.ClientSession() as world.session:
        yield world
        await world.api.stop()
    await world.service.stop(1.0)
    await world.supervisor.stop()
    world.store.close()
    assert world.supervisor.defects == 0


async def test_a_record_is_answered_when_it_is_taken(tmp_path):
    async with running(tmp_path) as world:
        assert await world.post(record_line()) == (200, "")
        assert world.intake.received == 1


async def test_a_record_is_answered_only_when_what_it_led_to_is_safe(tmp_path):
    async with running(tmp_path) as world:
        world.gate.clear()
        answer = world.supervisor.start(world.post(record_line()))
        await asyncio.sleep(0.05)
        assert not answer.done()

        world.gate.set()
        assert await answer == (200, "")


async def test_lines_of_a_batch_are_judged_one_by_one(tmp_path):
    body = b"\n".join([record_line(), b"", b"{", record_line(), b"[]"])
    async with running(tmp_path) as world:
        status, answer = await world.post(body, NDJSON)

        assert (status, answer["refused"]) == (200, 2)
        assert [one["line"] for one in answer["errors"]] == [2, 4]
        assert len(world.store.in_force) == 1


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/jsonlines"])
async def test_an_empty_batch_is_taken(tmp_path, kind):
    async with running(tmp_path) as world:
        answer = await world.post(b"\n\n", {"Content-Type": kind})

    assert answer == (200, {"refused": 0, "errors": []})


async def test_a_batch_full_of_bad_lines_has_a_short_answer(tmp_path):
    async with running(tmp_path) as world:
        _, answer = await world.post(b"{\n" * 5000, NDJSON)

    assert answer["refused"] == 5000
    assert len(answer["errors"]) == record_intake.REFUSALS_SHOWN_MAX


async def test_a_record_that_is_none_is_refused_for_good(tmp_path):
    async with running(tmp_path) as world:
        status, answer = await world.post(b"{")

    assert status == 422
    assert set(answer) == {"error"}


async def test_while_nothing_can_be_saved_the_answer_is_503(tmp_path):
    async with running(tmp_path) as world:
        world.broken = "/secret/tsa.db cannot be written"
        line = record_line()
        assert (await world.post(line))[0] == 503
        # What comes again is known by now, and no safer.
        assert (await world.post(line))[0] == 503
        for path in ("/tsa/status", "/api/check-liveness/v1"):
            status, text = await world.get(path)
            assert status == 503
            assert "secret" not in text
        assert await world.get("/api/check-alive/v1") == (200, "OK")

        world.broken = None
        assert await world.post(line) == (200, "")
        assert await world.get("/tsa/status") == (200, "OK")


async def test_a_sender_is_told_to_come_back_when_too_much_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(record_intake, "WAITING_MAX", 2)
    async with running(tmp_path) as world:
        world.gate.clear()
        first = world.supervisor.start(world.post(record_line() + b"\n" + record_line(), NDJSON))
        await asyncio.sleep(0.05)

        status, answer = await world.post(record_line())
        assert (status, set(answer)) == (503, {"error"})

        world.gate.set()
        assert (await first)[0] == 200
        assert (await world.post(record_line()))[0] == 200


@pytest.mark.slow
async def test_a_stream_waits_for_room_instead_and_keeps_its_order(tmp_path, monkeypatch):
    monkeypatch.setattr(record_intake, "WAITING_MAX", 2)
    async with running(tmp_path) as world, world.connect("/publish_stream_v1") as stream:
        world.gate.clear()
        await stream.send_bytes(record_line() + b"\n" + record_line())
        blocked = world.connect("/publish_stream_v1")
        async with blocked as other:
            await other.send_bytes(record_line() + b"\n{\n{")
            await other.send_str("{")
            with pytest.raises(TimeoutError):
                await other.receive(timeout=0.3)
            world.gate.set()
            assert [(await other.receive_json(timeout=5))["refused"] for _ in range(2)] == [2, 1]
        assert (await stream.receive_json(timeout=5))["refused"] == 0


async def test_a_stream_ends_when_its_records_cannot_be_made_safe(tmp_path):
    async with running(tmp_path) as world, world.connect("/publish_stream_v1") as stream:
        world.broken = "full"
        await stream.send_bytes(record_line())
        message = await stream.receive(timeout=5)

    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1013)


async def test_a_stream_that_breaks_off_leaves_nothing_behind(tmp_path):
    async with running(tmp_path) as world:
        stream = await world.connect("/publish_stream_v1")
        await stream.send_bytes(record_line())
        await stream.receive(timeout=5)
        assert stream._response.connection is not None
        stream._response.connection.transport.abort()
        async with asyncio.timeout(5):
            while world.api._sockets:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "path",
    [
        "/get_config_v1/shaping.toml",
        "/get_suspension_v1/suspended.json",
        "/get_bounce_v1/bounced.json",
        "/decisions",
        "/subscribe_event_v1",
        "/subscribe_suspension_v1",
        "/publish_stream_v1",
    ],
)
async def test_others_than_trusted_peers_learn_nothing(tmp_path, path):
    async with running(tmp_path, trusted=["192.0.2.0/24"]) as world:
        await world.decide(1)
        status, text = await world.get(path)

        assert (status, "d1.example" in text) == (403, False)
        assert await world.get("/tsa/status") == (200, "OK")


async def test_a_page_of_another_site_cannot_open_a_websocket(tmp_path):
    async with running(tmp_path) as world:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await world.session.ws_connect(
                f"{world.url}/subscribe_event_v1", origin="http://evil.example"
            )

    assert refused.value.status == 403


async def test_websockets_are_what_their_paths_are_for(tmp_path):
    async with running(tmp_path) as world:
        for path in ("/subscribe_event_v1", "/subscribe_suspension_v1", "/publish_stream_v1"):
            assert (await world.get(path))[0] == 426
        assert len(world.publication) == 0


async def test_a_subscriber_gets_the_snapshot_then_what_changes(tmp_path):
    async with running(tmp_path) as world:
        await world.decide(1)
        async with world.connect("/subscribe_event_v1") as socket_:
            first = [await socket_.receive_json(timeout=5) for _ in range(2)]
            await world.decide(2)
            change = await socket_.receive_json(timeout=5)
            assert len(world.publication) == 1
        async with asyncio.timeout(5):
            while len(world.publication):
                await asyncio.sleep(0.01)

    assert [list(frame) for frame in first] == [["SchedQBounce"], ["ShapingChanged"]]
    assert change["SchedQBounce"]["domain"] == "d2.example"


async def test_too_many_subscribers_are_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr("tsa.publication.SUBSCRIBERS_MAX", 1)
    async with running(tmp_path) as world, world.connect("/subscribe_event_v1"):
        assert (await world.get("/subscribe_event_v1"))[0] == 503


async def slow_subscriber(world):
    """Subscribe, and read nothing but the answer to the handshake."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(reader, ("127.0.0.1", world.service.port))
    await loop.sock_sendall(
        reader,
        b"GET /subscribe_event_v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    assert b"101" in await loop.sock_recv(reader, 64)
    async with asyncio.timeout(5):
        while not len(world.publication):
            await asyncio.sleep(0.01)
    return reader


@pytest.mark.slow
async def test_a_subscriber_that_does_not_read_is_dropped_and_others_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(http_api, "SEND_S", 0.2)
    async with running(tmp_path) as world, world.connect("/subscribe_event_v1") as good:
        await good.receive_json(timeout=5)
        slow = await slow_subscriber(world)
        async with asyncio.timeout(10):
            while len(world.publication) < 2:
                await asyncio.sleep(0.01)
            number = 0
            while len(world.publication) == 2:
                number += 1
                await world.decide(number, text="x" * 60_000)
                frame = await good.receive_json(timeout=5)
                assert frame["SchedQBounce"]["domain"].startswith(f"d{number}x")
        slow.close()
        assert len(world.publication) == 1


async def test_a_subscriber_that_lags_too_far_is_told_to_connect_again(tmp_path):
    async with (
        running(tmp_path, frames_max=3) as world,
        world.connect("/subscribe_event_v1") as subscriber,
    ):
        # All in one turn of the loop: no frame leaves in between.
        lines = [
            record_line(NOON, queue=f"d{number}.example") for number in range(20) for _ in range(2)
        ]
        await world.intake.take(lines)
        message = await subscriber.receive(timeout=5)
        while message.type is aiohttp.WSMsgType.TEXT:
            message = await subscriber.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1013)

        async with world.connect("/subscribe_event_v1") as again:
            frames = [await again.receive_json(timeout=5) for _ in range(21)]
        assert len([one for one in frames if "SchedQBounce" in one]) == 20


async def test_the_end_tells_everybody_to_go(tmp_path):
    async with (
        running(tmp_path) as world,
        world.connect("/subscribe_event_v1") as subscriber,
        world.connect("/publish_stream_v1") as stream,
    ):
        await subscriber.receive_json(timeout=5)
        ending = world.supervisor.start(world.api.stop())
        ends = [await one.receive(timeout=5) for one in (subscriber, stream)]
        await ending

    assert [(one.type, one.data) for one in ends] == [(aiohttp.WSMsgType.CLOSE, 1001)] * 2


@pytest.mark.slow
async def test_subscribers_that_do_not_read_hold_up_no_end(tmp_path):
    async with running(tmp_path) as world:
        slow = [await slow_subscriber(world) for _ in range(4)]
        for number in range(100):
            await world.decide(number, text="x" * 60_000)
        async with asyncio.timeout(3):
            await world.api.stop()
    for one in slow:
        one.close()
