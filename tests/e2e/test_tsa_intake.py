"""Records into a running TSA: singly, in batches, over a websocket; bad ones beside good."""

from __future__ import annotations

import contextlib
import gzip
import json
import time

import aiohttp
import pytest

from tests.fakes.tsa_process import NDJSON, TsaProcess
from tests.fakes.tsa_world import record_line, rule_text

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

THREE = rule_text(trigger='{Threshold="3/hour"}')
ELSEWHERE = """\
import mta.tsa
from mta import on


@on("tsa_init")
def tsa_init():
    mta.tsa.configure_state(path="state")
    mta.tsa.start_http_listener(listen="127.0.0.1:{port}", trusted_hosts=["192.0.2.0/24"])


@on("load_shaping_data")
def load_shaping_data():
    return ["rules.toml"]
"""


@pytest.fixture
def tsa(tmp_path):
    with TsaProcess(tmp_path, THREE).running() as daemon:
        yield daemon


def counts(tsa):
    return [one["count"] for one in tsa.decisions()]


def metric(tsa, name):
    lines = tsa.http("/metrics")[1].decode().splitlines()
    return [float(line.split()[-1]) for line in lines if line.startswith(name)][0]


def test_single_records_count_up_to_the_threshold(tsa):
    now = time.time()

    assert [tsa.publish(record_line(now)) for _ in range(2)] == [200, 200]
    assert tsa.decisions() == []

    assert tsa.publish(record_line(now)) == 200
    (decision,) = tsa.decisions()
    assert decision["kind"] == "ReadyQSuspension"
    assert decision["scope"]["ready_queue"] == "ip-1->mx.big.example@smtp_client"
    assert decision["place"] == f"{tsa.rules}:1"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_batch_is_taken_as_a_whole(tsa, packed):
    now = time.time()

    status, answer = tsa.publish_batch([record_line(now) for _ in range(5)], packed=packed)

    assert (status, answer) == (200, {"refused": 0, "errors": []})
    assert counts(tsa) == [3]


def test_a_record_that_comes_again_counts_once(tsa):
    line = record_line(time.time())

    for _ in range(5):
        assert tsa.publish(line) == 200
    tsa.publish_batch([line] * 5)

    assert tsa.decisions() == []


def test_records_without_an_id_of_their_own_are_known_by_their_content(tsa):
    # Two deferrals of one message share its id; they are two records all the same.
    lines = [record_line(time.time() - age, record_id="") for age in range(3)]

    tsa.publish_batch(lines[:2] * 3)
    assert tsa.decisions() == []
    tsa.publish_batch(lines)

    assert len(tsa.decisions()) == 1


def test_malformed_lines_are_named_and_the_good_ones_beside_them_count(tsa):
    now = time.time()
    good = [record_line(now) for _ in range(3)]
    bad = [b"{", b'{"type": "Parcel"}', b"\xff\xfe", b'["a"]', b'{"type": 3}']

    status, answer = tsa.publish_batch([good[0], *bad[:2], good[1], b"", *bad[2:], good[2]])

    assert status == 200
    assert answer["refused"] == len(bad)
    assert [one["line"] for one in answer["errors"]] == [1, 2, 5, 6, 7]
    assert all(one["error"] for one in answer["errors"])
    assert counts(tsa) == [1]
    assert metric(tsa, "tsa_records_refused") == len(bad)
    assert metric(tsa, "tsa_records_received") == 3


def test_a_single_malformed_record_is_refused_for_good(tsa):
    status, body = tsa.http("/publish_log_v1", b"{")

    assert status == 422
    assert "no log record" in json.loads(body)["error"]


def test_a_record_from_the_future_does_not_stop_the_counting(tsa):
    now = time.time()
    status, answer = tsa.publish_batch([record_line(now + 86_400)])

    assert (status, answer["refused"]) == (200, 1)
    tsa.publish_batch([record_line(now) for _ in range(3)])
    assert len(tsa.decisions()) == 1


def test_an_oversized_body_is_refused_and_the_next_one_taken(tsa):
    large = b"\n".join([record_line(time.time(), queue="x" * 100_000)] * 90)

    for body in (large, bytes(1 << 26)):
        status, _ = tsa.http(
            "/publish_log_v1", gzip.compress(body), kind=NDJSON, Content_Encoding="gzip"
        )
        assert status == 413
    assert tsa.publish_batch([record_line(time.time()) for _ in range(3)])[0] == 200
    assert len(tsa.decisions()) == 1


async def test_batches_over_a_websocket_are_answered_in_order(tsa):
    now = time.time()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{tsa.url}/publish_stream_v1") as socket,
    ):
        for number in range(20):
            lines = [record_line(now), *[b"{"] * number, record_line(now)]
            send = socket.send_bytes if number % 2 else lambda data: socket.send_str(data.decode())
            await send(b"\n".join(lines))
        answers = [await socket.receive_json(timeout=10) for _ in range(20)]

    assert [one["refused"] for one in answers] == list(range(20))
    assert metric(tsa, "tsa_records_received") == 40
    assert counts(tsa) == [38]


async def test_an_oversized_batch_ends_its_websocket_and_no_other(tsa):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{tsa.url}/publish_stream_v1") as good,
        session.ws_connect(f"{tsa.url}/publish_stream_v1") as bad,
    ):
        # It may be gone before all of it was sent.
        with contextlib.suppress(ConnectionError):
            await bad.send_bytes(bytes(9 << 20))
        ended = await bad.receive(timeout=10)
        await good.send_bytes(record_line(time.time()))
        answer = await good.receive_json(timeout=10)

    assert ended.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert answer["refused"] == 0


def test_a_peer_that_is_not_trusted_may_only_ask_whether_it_is_up(tmp_path):
    with TsaProcess(tmp_path, THREE, script=ELSEWHERE).running() as tsa:
        paths = ["/decisions", "/get_config_v1/shaping.toml", "/get_bounce_v1/bounced.json"]
        paths += ["/get_suspension_v1/suspended.json", "/subscribe_event_v1", "/publish_stream_v1"]
        paths += ["/subscribe_suspension_v1", "/metrics"]

        assert tsa.publish(record_line(time.time())) == 403
        assert {path: tsa.http(path)[0] for path in paths} == dict.fromkeys(paths, 403)
        assert tsa.http("/tsa/status") == (200, b"OK")


def test_internal_replies_of_a_suspension_do_not_feed_it(tmp_path):
    reply = {"code": 451, "content": "KumoMTA internal: slow down: suspended", "command": None}
    with TsaProcess(tmp_path, rule_text()).running() as tsa:
        for _ in range(3):
            assert tsa.publish(record_line(time.time(), response=reply)) == 200
        assert tsa.decisions() == []
