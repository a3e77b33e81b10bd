"""Operators' tools beside a real node: records followed through its deaths, and its spool read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.fakes.node_process import submit, wait_until
from tests.samples.running_node import ROOT

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
#: Each is found by its entry point where the package is installed; here it is run by its module.
RUN = """\
import sys
from engine.base import command_line
from {module} import {name}
command_line.cirrus_command = lambda: {name}
command_line.main(sys.argv[1:])
"""


class Tool:
    """A command as a process of its own, whose output goes into a file."""

    def __init__(self, folder, module, name, *arguments):
        self.out = (folder / f"{name}-{time.monotonic_ns()}.out").open("w+b")
        self.err = (folder / f"{name}-{time.monotonic_ns()}.err").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN.format(module=module, name=name), *map(str, arguments)],
            stdout=self.out,
            stderr=self.err,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def lines(self):
        self.out.seek(0)
        return self.out.read().decode().splitlines()

    def said(self):
        self.err.seek(0)
        return self.err.read().decode()

    def end(self, number=None):
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.out.close()
        self.err.close()


@pytest.fixture
def tool(tmp_path):
    made = []

    def make(module, name, *arguments):
        made.append(Tool(tmp_path, module, name, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def tail(tool):
    return lambda *arguments: tool("engine.tools.tail", "tail", *arguments)


@pytest.fixture
def spool(tool):
    return lambda *arguments: tool("engine.spool_tool", "spool", *arguments)


def send_many(node, count):
    with node.client() as client:
        for number in range(count):
            submit(client, f"message {number}")


def record_ids(lines):
    # A killed tail may have written the last line in part.
    lines = [line for line in lines if line.endswith("}")]
    return [json.loads(line)["record_id"] for line in lines]


def test_no_record_is_missed_while_node_and_tail_are_killed(make_node, tail):
    node = make_node(log_options="max_file_size=20_000")
    node.start()
    arguments = (node.logs, "--checkpoint", "x", "--json", "--batch-size", "20")
    first = tail(*arguments)
    send_many(node, 60)
    wait_until("records in the tail", lambda: len(first.lines()) > 30)
    first.end(signal.SIGKILL)
    send_many(node, 60)
    node.wait_records("Delivery", 120)
    node.kill()

    second = tail(*arguments)
    node.start()
    send_many(node, 30)
    expected = {one["record_id"] for one in node.wait_records("Delivery", 150)}
    wait_until(
        "all records in both tails",
        lambda: expected <= {*record_ids(first.lines()), *record_ids(second.lines())},
    )
    assert node.stop() == 0
    assert second.end(signal.SIGTERM) == 0

    seen = record_ids(second.lines())
    assert len(seen) == len(set(seen))
    assert second.said() == ""
    assert len(list(node.logs.glob("2*"))) > 3
    rest = tail(*arguments, "--no-follow")
    assert rest.end() == 0
    everything = {*record_ids(first.lines()), *seen, *record_ids(rest.lines())}
    assert everything >= {one["record_id"] for one in node.records()}


def test_records_of_a_node_are_seen_as_they_happen(make_node, tail):
    node = make_node()
    with node.running():
        endpoint = f"http://127.0.0.1:{node.http_port}"
        watching = tail("--endpoint", endpoint, "--type", "delivery", "--limit", "3")
        find = "/api/admin/audit/v1?act=watch-records"
        wait_until("the tail", lambda: node.json(find)["entries"])
        send_many(node, 3)

        assert watching.end() == 0
        lines = watching.lines()
        (entry,) = node.json(find)["entries"]

    assert [line.split()[2] for line in lines] == ["Delivery"] * 3
    assert all("b@y.test" in line and "->" in line for line in lines)
    assert entry["arguments"]["type"] == ["delivery"]


def test_the_spool_of_a_killed_node_is_sound_and_can_be_taken_out(make_node, spool, tmp_path):
    node = make_node(
        """
        @on("message_received")
        def message_received(msg):
            msg.set_meta("tenant", "acme")
            msg.prepend_header("X-Seen", "yes")
        """,
        sink=9,
    )
    node.start()
    with node.client() as client:
        for number in range(20):
            submit(client, f"message {number}", "ann@a.test", "bob@b.test", "carl@b.test")
    node.wait_records("TransientFailure", 20)
    refused = spool("list", node.spool)
    assert refused.end() == 1
    assert f"a node is running on the spool {node.spool} (process {node.process.pid})" in (
        refused.said()
    )
    node.kill()

    verified = spool("verify", node.spool)
    assert (verified.end(), verified.lines()) == (0, [])
    listed = spool("list", node.spool, "--queue", "acme@b.test", "--json")
    assert listed.end() == 0
    messages = [json.loads(line) for line in listed.lines()]
    recipients = sorted(one["recipients"] for one in messages)
    assert recipients == [["bob@b.test"]] * 20 + [["carl@b.test"]] * 20
    out = tmp_path / "rescue"
    assert spool("export", node.spool, "--all", "--to", out).end() == 0
    mails = [path.read_bytes() for path in out.glob("*.eml")]
    assert len(mails) == len(list(out.glob("*.json"))) == 60
    assert all(b"X-Seen: yes\r\n" in mail and mail.endswith(b"\r\nhello\r\n") for mail in mails)

    # What was looked at goes on as it was.
    node.start()
    assert node.stop() == 0
