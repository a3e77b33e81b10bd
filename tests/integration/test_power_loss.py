"""A disk that is slow, fails, fills or turns read-only under a running node.

What must hold each time: no 250 before its flush, no delivery of what was answered 4xx, nothing
accepted lost, a loop that goes on, and a node that recovers by itself.
"""

from __future__ import annotations

import contextlib
import signal
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.failing_disk import (
    EIO,
    EIO_ONCE,
    READ_ONLY,
    SLOW,
    failing,
    remount,
    small_disk,
)
from tests.fakes.loopback_sink import LoopbackSink
from tests.fakes.node_process import NodeProcess, reply_to, submit
from tests.samples.running_node import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.real_time, pytest.mark.timeout(180)]

SENDERS = 6
LIVENESS = "/api/check-liveness/v1"


@pytest.fixture
def sink() -> Iterator[LoopbackSink]:
    with LoopbackSink().listening() as sink:
        yield sink


@pytest.fixture
def make_node(tmp_path, sink) -> Iterator[Callable[..., NodeProcess]]:
    made: list[NodeProcess] = []

    def make(floor: str | None = None) -> NodeProcess:
        node = NodeProcess(
            tmp_path, sink.port, queue="dict(retry_interval='1s', max_retry_interval='2s')"
        )
        if floor is not None:
            text = node.policy.read_text()
            old = f"mta.define_spool(path={str(node.spool)!r}"
            assert old in text
            node.policy.write_text(text.replace(old, f"{old}, {floor}"))
        made.append(node)
        return node.start()

    yield make
    for node in made:
        node.kill()


class Traffic:
    """Clients that send one message after the other and note what each was answered.

    Attributes:
        replies: The reply to each message by its subject; "" where the connection broke.
        turned_away: What clients heard instead of a greeting.
        delays_s: How long each reply that took the message was waited for, from the final dot on.
    """

    def __init__(self, node: NodeProcess, body: str = "") -> None:
        self.replies: dict[str, str] = {}
        self.turned_away: list[str] = []
        self.delays_s: list[float] = []
        self._node = node
        self._headers = "".join(f"X-{n}: {'x' * 60}\r\n" for n in range(len(body) // 64))
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._send_many, args=(number,)) for number in range(SENDERS)
        ]

    @contextlib.contextmanager
    def flowing(self) -> Iterator[Traffic]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join(30)

    def _send_many(self, number: int) -> None:
        serial = 0
        while not self._enough.is_set():
            try:
                with self._node.client() as client:
                    while not self._enough.is_set():
                        serial += 1
                        self._send(client, f"m-{number}-{serial}")
            except smtplib.SMTPConnectError as error:
                self.turned_away.append(f"{error.smtp_code} {error.smtp_error!r}")
            except (OSError, smtplib.SMTPException):
                pass
            # Refused or without a connection: a client comes back a little later.
            self._enough.wait(0.05)

    def _send(self, client: smtplib.SMTP, subject: str) -> None:
        self.replies[subject] = ""
        began = time.monotonic()
        reply = reply_to(lambda: submit(client, subject, headers=self._headers))
        if reply == "250":
            self.delays_s.append(time.monotonic() - began)
        self.replies[subject] = reply
        if reply.startswith("421"):
            raise smtplib.SMTPServerDisconnected

    def taken(self) -> set[str]:
        return {subject for subject, reply in self.replies.items() if reply == "250"}

    def refused(self) -> set[str]:
        return {subject for subject, reply in self.replies.items() if reply[:1] in ("4", "5")}

    def wait_taken(self, more: int) -> None:
        wanted = len(self.taken()) + more
        wait_until(f"{wanted} messages taken", lambda: len(self.taken()) >= wanted)

    def wait_refused(self, more: int) -> None:
        """Wait until so many more messages were refused or clients turned away."""

        def count() -> int:
            return len(self.refused()) + len(self.turned_away)

        wanted = count() + more
        wait_until(f"{wanted} refusals", lambda: count() >= wanted)


class Pulse:
    """A client that asks NOOP all the time: how long the loop lets it wait, seconds."""

    def __init__(self, node: NodeProcess) -> None:
        self.waits_s: list[float] = []
        self._port = node.smtp_port
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    @contextlib.contextmanager
    def beating(self) -> Iterator[Pulse]:
        self._thread.start()
        try:
            yield self
        finally:
            self._enough.set()
            self._thread.join(30)

    def _ask(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=20) as one:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.recv(1000)
            while not self._enough.wait(0.002):
                began = time.monotonic()
                one.sendall(b"NOOP\r\n")
                if not one.recv(1000).startswith(b"250"):
                    return
                self.waits_s.append(time.monotonic() - began)

    def check(self) -> None:
        """Assert that no flush held the loop.

        One that does takes 300 ms each time. This process and the machine have more to do than to
        ask, so a few answers may be late.
        """
        waits_s = sorted(self.waits_s)
        assert len(waits_s) > 100
        assert waits_s[int(len(waits_s) * 0.9)] < 0.02, waits_s[-50:]
        assert waits_s[-1] < 0.25, waits_s[-20:]


def check_mail(traffic: Traffic, sink: LoopbackSink) -> None:
    """Assert that all that was taken arrives once, and nothing that was refused."""
    taken, refused = traffic.taken(), traffic.refused()
    wait_until("all mail taken", lambda: taken <= set(sink.subjects()))
    arrived = sink.subjects()
    assert not refused & set(arrived)
    assert [subject for subject in taken if arrived[subject] != 1] == []


def check_after_restart(node: NodeProcess, traffic: Traffic, sink: LoopbackSink) -> None:
    """Assert the same after the node was stopped and started again."""
    assert node.stop() == 0, node.log_text()
    node.start()
    node.send("the last one")
    wait_until("the last message", lambda: sink.subjects()["the last one"])
    check_mail(traffic, sink)


def test_no_message_is_taken_before_its_flush_and_the_loop_goes_on(make_node, sink, tmp_path):
    node = make_node()
    traffic, pulse = Traffic(node), Pulse(node)
    with failing(node.process.pid, SLOW, tmp_path) as fault:
        with traffic.flowing(), pulse.beating():
            traffic.wait_taken(40)
        assert fault.count() > 5
    assert min(traffic.delays_s) > 0.29
    assert traffic.refused() == set()
    pulse.check()
    check_mail(traffic, sink)
    assert node.stop() == 0


@pytest.mark.parametrize(
    ("octets", "count"), [(100, 50), (100_000, 300)], ids=["short-log", "long-log"]
)
def test_a_flush_that_fails_once_loses_nothing_and_delivers_nothing_refused(
    make_node, sink, tmp_path, octets, count
):
    node = make_node()
    traffic, pulse = Traffic(node, body="x" * octets), Pulse(node)
    with traffic.flowing(), pulse.beating():
        traffic.wait_taken(count)
        with failing(node.process.pid, EIO_ONCE, tmp_path):
            node.wait_log("the spool can be written again")
        traffic.wait_taken(50)
    assert traffic.refused()
    pulse.check()
    check_mail(traffic, sink)
    assert node.is_live()
    check_after_restart(node, traffic, sink)


def test_flushes_that_fail_for_long_are_told_to_clients_and_operators(make_node, sink, tmp_path):
    node = make_node()
    traffic, pulse = Traffic(node), Pulse(node)
    with traffic.flowing(), pulse.beating():
        traffic.wait_taken(50)
        with failing(node.process.pid, EIO, tmp_path):
            node.wait_log("the spool still cannot be written", 2)
            status, _, reason = node.http(LIVENESS)
            traffic.wait_refused(10)
            assert "421 b'4.3.2 mx.test cannot store mail now'" in traffic.turned_away
            assert status == 503
            assert b"the spool cannot be written" in reason
        wait_until("the node to take mail again", node.is_live)
        traffic.wait_taken(50)
    pulse.check()
    check_mail(traffic, sink)
    check_after_restart(node, traffic, sink)


def test_what_was_refused_does_not_come_back_when_the_node_dies_in_the_trouble(
    make_node, sink, tmp_path
):
    node = make_node()
    traffic = Traffic(node)
    with traffic.flowing():
        traffic.wait_taken(50)
        with failing(node.process.pid, EIO, tmp_path):
            node.wait_log("the spool still cannot be written")
            traffic.wait_refused(10)
            traffic.stop()
            node.signal(signal.SIGKILL)
            node.process.wait(20)

    node.start()
    node.send("the last one")
    wait_until("the last message", lambda: sink.subjects()["the last one"])

    wait_until("all mail taken", lambda: traffic.taken() <= set(sink.subjects()))
    assert not traffic.refused() & set(sink.subjects())
    assert node.stop() == 0


def fill(disk: Path) -> Path:
    """Fill a disk to the last octet; return the file that does."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x")
    return filler


def test_a_disk_that_fills_and_empties_costs_no_mail(make_node, sink, tmp_path):
    with small_disk(tmp_path / "spool") as disk:
        node = make_node(floor="min_free_space=0, min_free_inodes=0")
        traffic, pulse = Traffic(node), Pulse(node)
        with traffic.flowing(), pulse.beating():
            traffic.wait_taken(50)
            filler = fill(disk)
            traffic.wait_refused(20)
            status, _, reason = node.http(LIVENESS)
            assert (status, b"No space left" in reason) == (503, True), reason
            filler.unlink()
            wait_until("the node to take mail again", node.is_live)
            traffic.wait_taken(50)
        pulse.check()
        check_mail(traffic, sink)
        check_after_restart(node, traffic, sink)
        assert node.stop() == 0


def test_mail_is_refused_before_the_disk_is_full(make_node, sink, tmp_path):
    with small_disk(tmp_path / "spool") as disk:
        node = make_node()
        node.send("before")
        filler = fill(disk)
        wait_until("the node to notice", lambda: not node.is_live())
        status, _, reason = node.http(LIVENESS)
        refusal = reply_to(lambda: node.send("during"))
        filler.unlink()
        wait_until("the node to take mail again", node.is_live)
        node.send("after")
        wait_until("both messages", lambda: set(sink.subjects()) >= {"before", "after"})
        assert node.stop() == 0
    assert (status, b"too little free space for" in reason) == (503, True)
    assert refusal == "421 4.3.2 mx.test too little disk space"
    assert "during" not in sink.subjects()


def test_mail_that_fills_the_disk_gives_it_back_when_it_is_delivered(make_node, sink, tmp_path):
    with small_disk(tmp_path / "spool"):
        sink.judge = lambda _stage, _address: "451 4.2.1 later"
        node = make_node()
        traffic = Traffic(node, body="x" * 40_000)
        with traffic.flowing():
            traffic.wait_refused(5)
        sink.judge = lambda _stage, _address: None
        check_mail(traffic, sink)
        wait_until("the node to take mail again", node.is_live)
        node.send("after")
        wait_until("the last message", lambda: sink.subjects()["after"])
        assert node.stop() == 0


def test_a_disk_that_turns_read_only_is_told_and_recovers(make_node, sink, tmp_path):
    node = make_node()
    traffic = Traffic(node)
    with traffic.flowing():
        traffic.wait_taken(20)
        with failing(node.process.pid, READ_ONLY, tmp_path):
            traffic.wait_refused(10)
            status, _, reason = node.http(LIVENESS)
        wait_until("the node to take mail again", node.is_live)
        traffic.wait_taken(20)
    assert (status, b"Read-only file system" in reason) == (503, True), reason
    check_mail(traffic, sink)
    check_after_restart(node, traffic, sink)


def test_a_read_only_disk_at_the_start_is_one_clear_line(make_node, tmp_path):
    with small_disk(tmp_path / "spool") as disk:
        remount(disk, "ro")
        with pytest.raises(AssertionError):
            make_node()
    said = (tmp_path / "run.log").read_text().splitlines()
    assert said[-1] == f"Error: the spool folder {disk} cannot be used: Read-only file system"
    assert "Traceback" not in "".join(said)
