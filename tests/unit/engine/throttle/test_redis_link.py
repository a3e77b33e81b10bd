"""The link to a Redis that is away, slow, refuses, or answers nonsense."""

from __future__ import annotations

import asyncio

import pytest

from engine.model.throttle_spec import parse_throttle
from engine.throttle import redis_link
from engine.throttle.redis_scripts import NOTE_NODE
from engine.throttle.shared_link import Question
from tests.fakes.redis_server import free_port, redis_cluster, redis_server
from tests.fakes.scripted_peer import certificate as certificate_for
from tests.fakes.shared_redis import SharingNode, options_of, sharing_nodes, take_until_refused

pytestmark = pytest.mark.real_time


async def test_a_node_whose_redis_is_away_goes_on_with_its_share_and_comes_back(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(redis_link, "RETRY_S", 0.05)
    monkeypatch.setattr(redis_link, "SIGN_S", 0.2)
    caplog.set_level("INFO")
    with redis_server(tmp_path) as server:
        async with sharing_nodes(options_of(server.url), 2) as (one, other):
            await one.link.sign()
            assert one.link.nodes == 2
            held = await one.lease("away", 4)
            server.stop()
            spec = parse_throttle("100/h")

            assert await take_until_refused(one, "away", spec) == 50
            assert one.link.is_alone
            # One lease is held from before, and one of the two that are this node's share.
            assert await one.lease("away", 4, 0.5)
            assert await one.lease("away", 4, 0.3) is None

            async with asyncio.timeout(5):
                while not other.link.is_alone:
                    await asyncio.sleep(0.02)
            server.start()
            async with asyncio.timeout(5):
                while one.link.is_alone or other.link.is_alone:
                    await asyncio.sleep(0.02)
            one.leases.sweep_shared()
            await asyncio.sleep(0.1)
            assert held.renew(60.0)
            # The two that the first node held meanwhile count for all.
            got = [await other.lease("away", 4, 1.0) for _ in range(3)]
            assert [bool(lease) for lease in got] == [True, True, False]
    messages = [record.message for record in caplog.records if "Redis" in record.message]
    assert sum("goes on with its share, one of 2" in one for one in messages) == 2
    assert sum("limits are shared" in one for one in messages) == 4


async def test_a_redis_that_refuses_the_password_leaves_each_node_its_share(tmp_path):
    with redis_server(tmp_path, "--requirepass", "right") as server:
        node = SharingNode(options_of(server.url), "node", nodes=4)
        await node.start()
        assert await take_until_refused(node, "refused", parse_throttle("40/h")) == 10
        assert "uthentication" in node.link.trouble
        await node.stop()


async def test_a_redis_that_never_answers_holds_nobody_up(monkeypatch):
    held = []

    async def swallow(_reader, writer):
        held.append(writer)

    hole = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = hole.sockets[0].getsockname()[1]
    options = options_of(
        f"redis://127.0.0.1:{port}", connect_timeout="0.2s", response_timeout="0.2s"
    )
    node = SharingNode(options, "node", nodes=2)
    await node.start()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await take_until_refused(node, "hole", parse_throttle("10/h")) == 5
    assert loop.time() - began < 0.1
    assert node.link.trouble == "no answer in time"
    await node.stop()
    hole.close()
    for writer in held:
        writer.close()


async def test_a_slow_redis_slows_each_question_and_loses_none(server, monkeypatch):
    async def carry(reader, writer):
        try:
            while data := await reader.read(65_536):
                await asyncio.sleep(0.1)
                writer.write(data)
        finally:
            writer.close()

    async def relay(reader, writer):
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(carry(reader, to_writer), carry(to_reader, writer))

    slow = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = slow.sockets[0].getsockname()[1]
    async with sharing_nodes(options_of(f"redis://127.0.0.1:{port}/0"), 1) as (node,):
        spec = parse_throttle("30/h")
        results = await asyncio.gather(*(node.limiter.take("slow", spec) for _ in range(40)))
        assert sum(not result.throttled for result in results) == 30
        assert not node.link.is_alone
        assert node.report.trips < 10
    slow.close()


async def test_a_key_of_another_kind_leaves_the_other_limits_shared(pair):
    one, other = pair
    spec = parse_throttle("5/h")
    await one.limiter.take("first", spec)
    await one.link._client.lpush(one.limiter.bucket("spoilt", spec).redis_key, "x")

    # A list where a rate should be: this limit is not shared, the others are.
    assert await take_until_refused(one, "spoilt", spec) in (2, 5)
    assert await take_until_refused(one, "good", spec) == 5
    assert await take_until_refused(other, "good", spec) == 0
    assert not one.link.is_alone


async def test_a_cluster_keeps_limits_together_while_one_of_its_masters_dies(tmp_path, caplog):
    with redis_cluster(tmp_path) as cluster:
        async with sharing_nodes(options_of(*cluster.urls[:2]), 2) as (one, other):
            spec = parse_throttle("5/h")
            names = [f"limit-{number}" for number in range(12)]
            for name in names:
                assert await take_until_refused(one, name, spec) == 5
                assert await take_until_refused(other, name, spec) == 0
            held = await one.lease("shared", 1)
            assert held
            assert await other.lease("shared", 1, 0.5) is None
            held.release()
            assert await other.lease("shared", 1) is not None

            await one.link.sign()
            cluster.servers[2].stop()
            fresh = [f"after-{number}" for number in range(12)]
            counts = [
                (
                    await take_until_refused(one, name, spec),
                    await take_until_refused(other, name, spec),
                )
                for name in fresh
            ]

    # What the dead one had goes by shares, two of five each; the others are shared as before.
    assert set(counts) <= {(5, 0), (2, 2)}
    assert counts.count((5, 0)) >= 4


async def test_a_redis_with_tls_is_asked_only_if_its_certificate_is_good(tmp_path):
    certificate, key = certificate_for("localhost")
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    port = free_port()
    options = (
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(tmp_path / "cert.pem")),
        *("--tls-key-file", str(tmp_path / "key.pem")),
    )
    url = f"rediss://localhost:{port}"
    with redis_server(tmp_path, *options):
        for choice, is_shared in (
            ({"tls_ca": str(tmp_path / "cert.pem")}, True),
            ({"tls_verify": False}, True),
            ({}, False),
        ):
            async with sharing_nodes(options_of(url, **choice), 1) as (node,):
                assert not node.link.is_alone == is_shared, node.link.trouble


async def test_questions_that_are_put_while_the_link_ends_have_an_answer(server):
    async with sharing_nodes(options_of(f"{server.url}/0"), 1) as (node,):
        spec = parse_throttle("5/h")
        asked = [asyncio.ensure_future(node.limiter.take(f"end-{n}", spec)) for n in range(50)]
        await asyncio.sleep(0)
        await node.link.stop()
        results = await asyncio.gather(*asked)
    assert all(not result.throttled for result in results)


def question(told, number=0, arguments=tuple):
    def answered(answer):
        told.append((number, answer))

    return Question(NOTE_NODE, "cirrus:test", arguments, answered)


def sign():
    return "node", 1_000_000


async def test_what_is_asked_while_a_hanging_link_ends_has_an_answer_too(server, monkeypatch):
    monkeypatch.setattr(redis_link, "CLOSE_S", 0.05)
    told = []
    async with sharing_nodes(options_of(f"{server.url}/0"), 1) as (node,):
        hangs = asyncio.Event()
        monkeypatch.setattr(node.link, "_run", lambda _calls: hangs.wait())
        node.link.ask(question(told, 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stopping = asyncio.ensure_future(node.link.stop())
        await asyncio.sleep(0)
        node.link.ask(question(told, 2))
        await stopping
        await asyncio.sleep(0)

    assert sorted(told) == [(1, None), (2, None)]


async def test_a_defect_of_one_who_asks_leaves_the_others_their_answers(pair):
    link, told = pair[0].link, []

    def defect():
        raise ZeroDivisionError

    def answered_badly(_answer):
        raise ZeroDivisionError

    for _ in range(2 * redis_link.FLUSHERS):
        link.ask(question(told, 1, defect))
        await asyncio.sleep(0.01)
    link.ask(Question(NOTE_NODE, "cirrus:test", sign, answered_badly))
    link.ask(question(told, 2, sign))
    async with asyncio.timeout(5):
        while (2, 1) not in told:
            await asyncio.sleep(0.01)

    assert told.count((1, None)) == 2 * redis_link.FLUSHERS
    assert not link.is_alone


async def test_a_defect_of_who_is_told_of_the_return_does_not_keep_a_node_alone(pair):
    link = pair[0].link
    link.on_return.insert(0, lambda: 1 // 0)
    returns = []
    link.on_return.append(lambda: returns.append(True))
    link.is_alone = True
    await link.sign()

    assert not link.is_alone
    assert returns == [True]
