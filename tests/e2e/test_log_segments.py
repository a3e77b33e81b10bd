"""Log segments survive what happens to a node: kills, full disks, rotation."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import smtplib
import subprocess
import threading
import time
from datetime import datetime

import pytest
import zstandard

from tests.fakes.node_process import read_segment, reply_to, submit, wait_for, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def test_a_kill_loses_at_most_the_last_second_and_leaves_every_segment_readable(make_node, sink):
    node = make_node(log_options="max_file_size=4000")
    answered: dict[str, float] = {}

    def send():
        with contextlib.suppress(smtplib.SMTPException, OSError), node.client() as client:
            for serial in range(100_000):
                text = submit(client, f"m{serial}")
                answered[text.partition("ids=")[2]] = time.time()

    for _ in range(3):
        node.start()
        thread = threading.Thread(target=send)
        thread.start()
        wait_for(2.0)
        node.kill()
        killed_at = time.time()
        thread.join(10)
        segments = sorted(node.logs.iterdir())
        recorded = set()
        for segment in segments:
            records, rest = read_segment(segment)
            assert rest == b"", segment
            recorded |= {r["id"] for r in records if r["type"] == "Reception"}
        lost = {key: at for key, at in answered.items() if key not in recorded}
        assert all(killed_at - at <= 1.1 for at in lost.values())
        assert len(recorded) > 20
        for key in lost:
            del answered[key]
    # A segment left behind is marked as done at the next start, so that a shipper takes it.
    node.start()
    assert node.stop() == 0
    assert [s.name for s in node.logs.iterdir() if s.stat().st_mode & 0o222] == []


def test_other_tools_read_a_finished_segment(make_node, sink):
    node = make_node()
    with node.running():
        node.send("x")
        node.wait_records("Delivery", 1)

    (segment,) = node.logs.iterdir()
    with segment.open("rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file).read()
    records = [json.loads(line) for line in text.splitlines()]
    assert [record["type"] for record in records] == ["Reception", "Delivery"]
    for record in records:
        at = datetime.fromisoformat(record["event_time"])
        assert abs(at.timestamp() - time.time()) < 60
        assert len(record["event_time"].rpartition(".")[2]) == 7
        assert record["record_id"]
    assert len({record["record_id"] for record in records}) == 2
    assert len({record["id"] for record in records}) == 1


@pytest.fixture
def small_disk(tmp_path):
    """Yield a folder on a file system of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs the right to mount a tmpfs")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)])
    if done.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_log_disk_stops_reception_before_records_are_lost(make_node, sink, small_disk):
    node = make_node()
    node.logs = small_disk / "logs"
    text = node.policy.read_text().replace(str(node.folder / "logs"), str(node.logs))
    node.policy.write_text(text)

    with node.running():
        node.send("before")
        node.wait_records("Delivery", 1)
        filler = small_disk / "filler"
        fill(filler)
        wait_until("a node that notices", lambda: not node.is_live())
        refused = reply_to(lambda: node.send("meanwhile"))
        liveness = node.http("/api/check-liveness/v1")[2]
        filler.unlink()
        wait_until("a node that recovers", node.is_live)
        node.send("after")
        node.wait_records("Delivery", 2)

    assert refused.startswith("421 4.3.2")
    assert b"log" in liveness
    assert sink.subjects() == {"before": 1, "after": 1}
    assert node.summary() == {"Reception": 2, "Delivery": 2}


def test_records_of_a_disk_without_any_room_are_written_when_there_is_some(
    make_node, sink, small_disk
):
    """The mail that is under way makes records although reception has stopped."""
    sink.judge = lambda stage, address: "451 4.3.2 later" if len(sink.tried[address]) < 3 else None
    node = make_node(queue="retry_interval='1s', max_retry_interval='1s'")
    node.logs = small_disk / "logs"
    text = node.policy.read_text().replace(str(node.folder / "logs"), str(node.logs))
    node.policy.write_text(text)

    with node.running():
        with node.client() as client:
            for index in range(20):
                submit(client, f"m{index}", f"u{index}@y.test")
        wait_until("first attempts", lambda: len(sink.tried) == 20)
        node.wait_records("TransientFailure", 20)
        filler = small_disk / "filler"
        fill(filler)
        wait_until("everything", lambda: len(sink.taken) == 20)
        filler.unlink()
        node.wait_records("Delivery", 20)

    assert node.summary() == {"Reception": 20, "TransientFailure": 40, "Delivery": 20}
    identities = [record["record_id"] for record in node.records()]
    assert len(set(identities)) == len(identities)


def fill(path):
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 65536)
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(b"x")
