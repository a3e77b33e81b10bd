"""A TSA that is killed, whose disk is full, or that sees records in another order than its twin."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import defaultdict

import pytest

from tests.fakes.node_process import wait_for
from tests.fakes.tsa_process import NDJSON, TsaProcess
from tests.fakes.tsa_world import record_line, rule_text
from tests.samples.running_node import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

ENOUGH = 400
COUNTED = rule_text('"SuspendTenant"', regex="slow down", trigger=f'{{Threshold="{ENOUGH}/hour"}}')
AT_ONCE = rule_text('"Bounce"', regex="gone")
DOMAINS = [f"d{number}.example" for number in range(8)]


class Sender(threading.Thread):
    """Sends records, singly or in batches, until the daemon is gone; notes what is acknowledged.

    Attributes:
        sent: Lines sent, by domain, whether or not they were answered.
        acknowledged: Domains of acknowledged bounces.
    """

    def __init__(self, port, number, started_at):
        super().__init__()
        self.sent = defaultdict(list)
        self.acknowledged = set()
        self.answers = 0
        self._port, self._number, self._started_at = port, number, started_at

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        rounds = 0
        try:
            while True:
                rounds += 1
                self._send(connection, rounds)
                self.answers += 1
        except (OSError, http.client.HTTPException):
            connection.close()

    def _send(self, connection, rounds):
        size = 10 if self._number % 2 else 1
        lines = []
        for index in range(size):
            domain = DOMAINS[(rounds + index + self._number) % len(DOMAINS)]
            if len(self.sent[domain]) < ENOUGH // 40:
                lines.append(record_line(self._started_at, queue=f"acme@{domain}"))
                self.sent[domain].append(lines[-1])
        gone = f"gone-{self._number}-{rounds}.example"
        lines.append(record_line(self._started_at, reply="550 gone", queue=gone))
        kind = NDJSON if len(lines) > 1 else "application/json"
        connection.request(
            "POST", "/publish_log_v1", b"\n".join(lines), headers={"Content-Type": kind}
        )
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        if kind == NDJSON:
            assert json.loads(body)["refused"] == 0
        self.acknowledged.add(gone)


def test_a_kill_under_load_loses_nothing_acknowledged(tmp_path):
    """Twelve kills. Whatever was sent is sent again, as a node does with what was not answered.

    If a record that counted were forgotten, the last one would not complete the threshold; if one
    counted twice, the threshold would be complete too early.
    """
    tsa = TsaProcess(tmp_path, COUNTED + AT_ONCE)
    now = time.time()
    sent, acknowledged = defaultdict(dict), set()
    for number in range(12):
        try:
            tsa.start()
            known = {one["scope"]["domain"] for one in tsa.decisions()}
            assert acknowledged <= known
            senders = [Sender(tsa.port, 10 * number + one, now) for one in range(3)]
            for sender in senders:
                sender.start()
            wait_until("some answers", lambda s=senders: all(one.answers > 5 for one in s))
            wait_for(random.Random(number).uniform(0.0, 0.1))
        finally:
            tsa.kill()
        for sender in senders:
            sender.join(20)
            acknowledged |= sender.acknowledged
            for domain, lines in sender.sent.items():
                sent[domain].update(dict.fromkeys(lines))
    assert len(acknowledged) > 100

    def held():
        return {one["scope"]["domain"] for one in tsa.decisions() if "tenant" in one["scope"]}

    with tsa.running():
        for domain in DOMAINS:
            missing = ENOUGH - 1 - len(sent[domain])
            more = [record_line(now, queue=f"acme@{domain}") for _ in range(missing)]
            assert tsa.publish_batch([*sent[domain], *more])[0] == 200
        assert held() == set()
        for domain in DOMAINS:
            assert tsa.publish(record_line(now, queue=f"acme@{domain}")) == 200
        assert held() == set(DOMAINS)


def test_acknowledged_records_count_on_after_a_kill_without_being_sent_again(tmp_path):
    rules = rule_text(trigger='{Threshold="50/hour"}')
    now = time.time()
    tsa = TsaProcess(tmp_path, rules)
    try:
        tsa.start()
        for _ in range(48):
            assert tsa.publish(record_line(now)) == 200
    finally:
        tsa.kill()

    with tsa.running():
        assert tsa.publish(record_line(now)) == 200
        assert tsa.decisions() == []
        assert tsa.publish(record_line(now)) == 200
        assert len(tsa.decisions()) == 1


def test_proportions_and_adjusted_values_are_the_same_after_a_kill(tmp_path):
    share = '{Proportion={of="Deferred", over="50%", within="10m", at_least=20}}'
    adjust = '{AdjustConfig={name="max_message_rate", factor=0.5, floor="1/s", quiet="1h"}}'
    rules = (
        '[default]\nmx_rollup = false\nmax_message_rate = "100/s"\n'
        + rule_text(trigger=share)
        + rule_text(adjust, regex="too fast")
    )
    # Of a while ago: nothing more is expected of that second, so it is judged with the next tick.
    at = time.time() - 10
    tsa = TsaProcess(tmp_path, rules)
    try:
        tsa.start()
        tsa.publish_batch([record_line(at) for _ in range(18)])
        tsa.publish(record_line(at, reply="451 too fast", queue="x.example"))
        wait_until("the value", tsa.decisions)
        before = tsa.decisions()
    finally:
        tsa.kill()

    with tsa.running():
        assert tsa.decisions() == before
        tsa.publish(record_line(at))
        wait_until("the share", lambda: len(tsa.decisions()) == 2)
        kinds = {one["kind"] for one in tsa.decisions()}

    assert [one["value"] for one in before] == ["50/s"]
    assert kinds == {"ConfigOverride", "ReadyQSuspension"}


def test_a_full_disk_is_an_answer_of_503_until_there_is_room_again(tmp_path):
    rules = rule_text('"Bounce"')
    now = time.time()
    with TsaProcess(tmp_path, rules).running() as tsa:
        lines = [record_line(now, queue=f"d{number}.example") for number in range(400)]
        assert tsa.publish_batch(lines[:100])[0] == 200
        with tsa.full_disk():
            status, answer = tsa.publish_batch(lines)
            assert status == 503
            assert answer["error"]
            # A record that comes again is known by now, and not safe for all that.
            assert tsa.publish(lines[399]) == 503
            assert tsa.http("/tsa/status")[0] == 503
            assert tsa.http("/api/check-liveness/v1")[0] == 503
            assert tsa.http("/api/check-alive/v1")[0] == 200
            assert b"tsa_store_failing 1" in tsa.http("/metrics")[1]
            # It obeys what it knows, and reads what leads to nothing.
            assert len(tsa.decisions()) == 400
            assert tsa.wait_log("cannot be written")
        wait_until("room", lambda: tsa.http("/tsa/status")[0] == 200)
        tsa.wait_log("can be written again")
        assert tsa.publish_batch(lines)[0] == 200
        assert tsa.log_text().count("cannot be written") == 1
    with tsa.running():
        assert len(tsa.decisions()) == 400


def test_a_damaged_file_of_decisions_is_set_aside_with_a_line(tmp_path):
    tsa = TsaProcess(tmp_path, rule_text())
    tsa.state.mkdir()
    (tsa.state / "tsa.db").write_bytes(b"no database" * 1000)

    with tsa.running():
        assert tsa.publish(record_line(time.time())) == 200
        assert len(tsa.decisions()) == 1

    assert "damaged" in tsa.log_text()
    assert list(tsa.state.glob("*.damaged"))


TWINS = "".join(
    [
        rule_text(trigger='{Threshold="5/10m"}', regex="slow down"),
        rule_text('"SuspendTenant"', trigger='{Threshold="9/30m"}', regex="slow"),
        rule_text('"BounceTenant"', regex="gone"),
        rule_text(
            '{SetConfig={name="connection_limit", value=2}}',
            trigger='{Threshold="3/5m"}',
            regex="too many",
        ),
    ]
)


def test_two_daemons_fed_by_two_nodes_come_to_the_same_decisions(tmp_path):
    """Each node sends its own records in order; how the two mix differs from daemon to daemon."""
    rng = random.Random(5)
    end = time.time()
    nodes = [
        [
            record_line(
                end - 3000 + second * 3 + node,
                reply=f"451 {rng.choice(['slow down', 'too many', 'slow', 'gone', 'fine'])}",
                queue=f"tenant-{rng.randint(1, 4)}@big.example",
                site_name=f"mx{rng.randint(1, 6)}.big.example",
                record_id=f"{node}-{second}",
            )
            for second in range(1000)
        ]
        for node in (0, 1)
    ]
    twins = [TsaProcess(tmp_path / name, TWINS) for name in "ab"]
    shown = []
    for number, tsa in enumerate(twins):
        with tsa.running():
            mixed = random.Random(number)
            waiting = [list(lines) for lines in nodes]
            while any(waiting):
                lines = mixed.choice([one for one in waiting if one])
                size = mixed.randint(1, 60)
                assert tsa.publish_batch(lines[:size])[0] == 200
                del lines[:size]
            # Which record completed a threshold, and how many came after, is up to the order.
            shown.append([(one["id"], one["scope"], one["expires"]) for one in tsa.decisions()])

    assert len(shown[0]) > 10
    assert shown[0] == shown[1]
