"""Handlers of a running node that wait for other servers, while it is reloaded and stopped."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.fakes.node_process import reply_to, wait_until
from tests.fakes.redis_server import redis_server

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


class SlowServer(ThreadingHTTPServer):
    """Answers when the gate is open.

    Attributes:
        waiting: How many requests wait.
        connections: How many connections there have been.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.gate = threading.Event()
        self.gate.set()
        self.lock = threading.Lock()
        self.waiting = 0
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SlowServer

    def setup(self) -> None:
        with self.server.lock:
            self.server.connections += 1
        super().setup()

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.waiting += 1
        self.server.gate.wait(30)
        with self.server.lock:
            self.server.waiting -= 1
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"gold\n")

    def log_message(self, *_what: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[SlowServer]:
    with SlowServer() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.gate.set()
        made.shutdown()
        thread.join()


ASKING = """
client = mta.http.build_client(timeout="5s")

@on("message_received")
async def message_received(msg):
    answer = await client.get({url!r}).send()
    msg.prepend_header("X-Class", answer.text().strip() + {mark!r})
"""


def marks(sink) -> list[str]:
    return [
        line[9:].decode()
        for one in sink.taken
        for line in one.content.split(b"\r\n")
        if line.startswith(b"X-Class: ")
    ]


def test_a_handler_uses_what_other_servers_say(make_node, sink, server, tmp_path):
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as redis:
        node = make_node(
            f"""
            client = mta.http.build_client()
            redis = mta.redis.open(node={redis.url!r})
            db = mta.sqlite.open("seen.db")

            @on("message_received")
            async def message_received(msg):
                answer = await client.get({server.url!r}).send()
                count = await redis.query("INCR", "messages")
                await db.execute("CREATE TABLE IF NOT EXISTS seen (n)")
                await db.execute("INSERT INTO seen VALUES (?)", count)
                msg.prepend_header("X-Class", f"{{answer.text().strip()}}-{{count}}")
            """
        )
        with node.running():
            for subject in "abc":
                node.send(subject)
            wait_until("delivery", lambda: len(sink.taken) == 3)

    assert sorted(marks(sink)) == ["gold-1", "gold-2", "gold-3"]
    with sqlite3.connect(tmp_path / "seen.db") as seen:
        assert seen.execute("SELECT sum(n) FROM seen").fetchall() == [(6,)]
    seen.close()
    assert server.connections == 1


def test_reloads_break_no_call_under_way(make_node, sink, server):
    node = make_node(ASKING.format(url=server.url, mark="-old"))

    with node.running(), ThreadPoolExecutor(6) as clients:
        server.gate.clear()
        sending = [clients.submit(node.send, f"m{n}") for n in range(6)]
        wait_until("requests", lambda: server.waiting == 6)
        for count in (2, 3):
            node.write(ASKING.format(url=server.url, mark=f"-new{count}"))
            node.wait_log("policy loaded", count)
        server.gate.set()
        for one in sending:
            one.result()
        node.send("after")
        wait_until("delivery", lambda: len(sink.taken) == 7)

    assert sorted(marks(sink)) == ["gold-new3", *["gold-old"] * 6]
    assert server.connections == 6


def test_a_server_that_is_silent_delays_its_message_only(make_node, sink, server):
    script = ASKING.format(url=server.url, mark="").replace('"5s"', '"500ms"')
    node = make_node(
        script.replace(
            "answer =",
            "if 'slow' in msg.get_first_named_header_value('Subject'):\n        answer =",
        ).replace("    msg.prepend_header", "        msg.prepend_header")
    )

    with node.running():
        server.gate.clear()
        assert reply_to(lambda: node.send("slow")).startswith("451 4.3.0")
        node.send("quick")
        wait_until("delivery", lambda: len(sink.taken) == 1)
        said = node.wait_log("no whole answer in 0.5 s")

    assert f"{node.policy}:" in said
    assert "Traceback" not in node.log_text()


def test_a_node_that_stops_waits_for_no_server(make_node, sink, server):
    node = make_node(ASKING.format(url=server.url, mark=""))

    with node.running(), ThreadPoolExecutor(1) as clients:
        server.gate.clear()
        sending = clients.submit(lambda: reply_to(lambda: node.send("late")))
        wait_until("the request", lambda: server.waiting == 1)
        status = node.stop(10)
        outcome = sending.exception() or sending.result()

    assert status == 0
    assert not str(outcome).startswith("250")
    assert "Traceback" not in node.log_text()


def test_checking_a_script_reaches_nothing(make_node, server):
    node = make_node(
        f"""
        client = mta.http.build_client()

        @on("get_egress_source")
        async def get_egress_source(name):
            await client.get({server.url!r}).send()
            return mta.make_egress_source(name=name)
        """
    )

    with node.running():
        assert server.connections == 0
