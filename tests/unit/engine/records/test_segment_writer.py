"""Segments: readable at every instant, rotated, completed, kept when the disk is full."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import zstandard

from engine.base.clock import Clock
from engine.base.disk_guard import Floor
from engine.model.log_record import LogRecord, RecordKind, decode_record, encode_record
from engine.records import segment_file
from engine.records.segment_file import find_segments
from engine.records.segment_writer import SegmentOptions, SegmentTarget, SegmentWriter

pytestmark = pytest.mark.real_time
NO_FLOOR = Floor(None, 0)


def options(**changes):
    return SegmentOptions(**{"min_free_space": NO_FLOOR, "min_free_inodes": NO_FLOOR, **changes})


def read_segment(path):
    with open(path, "rb") as file:
        return zstandard.ZstdDecompressor().stream_reader(file).read()


def read_all(log_dir, suffix=""):
    return b"".join(read_segment(path) for path in find_segments(log_dir, suffix))


def record(number):
    return LogRecord(kind=RecordKind.DELIVERY, id=f"{number:032d}", record_id=str(number))


def numbers(raw):
    return [int(decode_record(line).record_id) for line in raw.splitlines()]


async def until(condition, deadline_s=10.0):
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "it never happened"
        await asyncio.sleep(0.01)


async def test_everything_appended_is_in_the_segments_in_order(tmp_path):
    target = SegmentTarget(tmp_path)
    writer = SegmentWriter("t", Clock(), options())
    writer.start([target])

    for number in range(2500):
        assert writer.append(target, encode_record, record(number))
    lost = await writer.close()

    assert lost == 0
    assert numbers(read_all(tmp_path)) == list(range(2500))
    (path,) = find_segments(tmp_path, "")
    assert path.stat().st_mode & 0o222 == 0


async def test_lines_are_readable_within_a_second_while_the_segment_is_open(tmp_path):
    target = SegmentTarget(tmp_path, "_x", b"header\n")
    writer = SegmentWriter("t", Clock(), options())
    writer.start([target])
    writer.append(target, encode_record, record(1))
    appended_mono = time.monotonic()

    await until(lambda: b"Delivery" in read_all(tmp_path, "_x"))

    assert time.monotonic() - appended_mono < 1.5
    (path,) = find_segments(tmp_path, "_x")
    assert read_segment(path).startswith(b"header\n")
    assert path.stat().st_mode & 0o200
    await writer.close()


async def test_a_segment_ends_at_its_size(tmp_path):
    size = len(encode_record(record(1)))
    target = SegmentTarget(tmp_path)
    writer = SegmentWriter("t", Clock(), options(max_file_size=size * 10))
    writer.start([target])
    for number in range(35):
        writer.append(target, encode_record, record(number))

    await writer.close()

    counts = [len(numbers(read_segment(path))) for path in find_segments(tmp_path, "")]
    assert counts == [10, 10, 10, 5]


async def test_a_segment_ends_at_its_age(tmp_path):
    target = SegmentTarget(tmp_path)
    writer = SegmentWriter("t", Clock(), options(max_segment_duration_s=0.2))
    writer.start([target])
    writer.append(target, encode_record, record(1))

    await until(lambda: any(p.stat().st_mode & 0o222 == 0 for p in find_segments(tmp_path, "")))

    await writer.close()


async def test_a_full_queue_asks_producers_to_wait_and_lets_them_go_on(tmp_path):
    target = SegmentTarget(tmp_path)
    writer = SegmentWriter("t", Clock(), options(back_pressure=10))
    for number in range(10):
        writer.append(target, encode_record, record(number))

    assert writer.must_wait
    writer.start([target])
    async with asyncio.timeout(5):
        await writer.wait_capacity()

    assert not writer.must_wait
    await writer.close()


async def test_past_twice_the_bound_records_are_dropped_and_counted(tmp_path):
    target = SegmentTarget(tmp_path)
    writer = SegmentWriter("t", Clock(), options(back_pressure=10))

    taken = [writer.append(target, encode_record, record(n)) for n in range(25)]

    assert taken.count(True) == 20
    assert writer.dropped == 5


async def test_a_failing_disk_loses_and_doubles_nothing(tmp_path, monkeypatch):
    failing = [True]
    real = os.write

    def write(fd, data):
        if failing[0] and len(data) > 40:
            real(fd, bytes(data[:7]))
            raise OSError(errno.EIO, "injected")
        return real(fd, data)

    monkeypatch.setattr(segment_file.os, "write", write)
    target = SegmentTarget(tmp_path)
    writer = SegmentWriter("t", Clock(), options())
    writer.start([target])
    for number in range(20):
        writer.append(target, encode_record, record(number))
    await until(lambda: writer.write_errors >= 2)
    for number in range(20, 40):
        writer.append(target, encode_record, record(number))

    assert writer.backlog == 40
    failing[0] = False
    await until(lambda: writer.backlog == 0)
    await writer.close()

    assert numbers(read_all(tmp_path)) == list(range(40))


async def test_a_full_disk_goes_on_where_it_stopped(tmp_path, monkeypatch):
    room = [30]
    real = os.write

    def write(fd, data):
        if not room[0]:
            raise OSError(errno.ENOSPC, "injected")
        count = real(fd, bytes(data[: room[0]]))
        room[0] -= count
        return count

    monkeypatch.setattr(segment_file.os, "write", write)
    target = SegmentTarget(tmp_path)
    writer = SegmentWriter("t", Clock(), options())
    writer.start([target])
    for number in range(40):
        writer.append(target, encode_record, record(number))
    await until(lambda: writer.write_errors >= 2)
    room[0] = 10**9

    await writer.close()

    assert numbers(read_all(tmp_path)) == list(range(40))
    assert len(find_segments(tmp_path, "")) == 1


async def test_a_segment_that_grows_too_old_on_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    is_full = [True]
    real = os.write

    def write(fd, data):
        if is_full[0]:
            raise OSError(errno.ENOSPC, "injected")
        return real(fd, data)

    monkeypatch.setattr(segment_file.os, "write", write)
    target = SegmentTarget(tmp_path)
    writer = SegmentWriter("t", Clock(), options(max_segment_duration_s=0.1))
    writer.start([target])
    for number in range(40):
        writer.append(target, encode_record, record(number))
    await until(lambda: writer.write_errors >= 3)
    is_full[0] = False

    await writer.close()

    assert numbers(read_all(tmp_path)) == list(range(40))


async def test_closing_on_a_dead_disk_ends_within_its_deadline_and_says_what_is_lost(
    tmp_path, monkeypatch
):
    def write(fd, data):
        raise OSError(errno.ENOSPC, "injected")

    target = SegmentTarget(tmp_path)
    writer = SegmentWriter("t", Clock(), options())
    writer.start([target])
    monkeypatch.setattr(segment_file.os, "write", write)
    for number in range(5):
        writer.append(target, encode_record, record(number))

    lost = await writer.close(0.5)

    assert lost == 5


async def test_a_line_that_cannot_be_made_costs_only_itself(tmp_path):
    target = SegmentTarget(tmp_path)
    writer = SegmentWriter("t", Clock(), options())
    writer.start([target])

    def broken(_record):
        raise RuntimeError("template")

    writer.append(target, encode_record, record(1))
    writer.append(target, broken, record(2))
    writer.append(target, encode_record, record(3))
    await writer.close()

    assert numbers(read_all(tmp_path)) == [1, 3]


async def test_left_over_segments_are_completed_but_not_those_of_a_running_writer(tmp_path):
    target = SegmentTarget(tmp_path)
    first = SegmentWriter("first", Clock(), options())
    first.start([target])
    first.append(target, encode_record, record(1))
    await until(lambda: len(find_segments(tmp_path, "")) == 1)
    stray = tmp_path / "20200101-000000.000001"
    stray.write_bytes(b"")
    other = tmp_path / "notes.txt"
    other.write_text("not ours")

    second = SegmentWriter("second", Clock(), options())
    second.start([SegmentTarget(tmp_path)])

    assert stray.stat().st_mode & 0o222 == 0
    assert other.stat().st_mode & 0o200
    assert find_segments(tmp_path, "")[1].stat().st_mode & 0o200
    await first.close()
    await second.close()


async def test_old_segments_are_deleted_and_nothing_else(tmp_path):
    target = SegmentTarget(tmp_path, "_a")
    old, other, notes = (
        tmp_path / "20200101-000000.000001_a",
        tmp_path / "20200101-000000.000001_b",
        tmp_path / "notes_a",
    )
    fresh = tmp_path / "20200101-000000.000002_a"
    for path in (old, other, notes, fresh):
        path.write_bytes(b"")
    for path in (old, other, notes):
        os.utime(path, (0, 0))
    writer = SegmentWriter("t", Clock(), options(keep_s=3600))
    writer.start([target])

    assert writer.delete_expired() == 1

    assert not old.exists()
    assert other.exists() and notes.exists() and fresh.exists()
    await writer.close()


async def test_too_little_space_is_a_reason_to_take_no_mail(tmp_path):
    short = SegmentWriter("t", Clock(), options(min_free_space=Floor(None, 1 << 60)))
    enough = SegmentWriter("t", Clock(), options())
    for writer in (short, enough):
        writer.start([SegmentTarget(tmp_path)])

    assert "too little free space" in short.disk_state()
    assert enough.disk_state() is None
    for writer in (short, enough):
        await writer.close()


@pytest.mark.slow
def test_a_killed_process_leaves_readable_segments_up_to_the_last_second(tmp_path):
    script = textwrap.dedent(
        """
        import asyncio, sys, time
        from pathlib import Path
        from engine.base.clock import Clock
        from engine.base.disk_guard import Floor
        from engine.model.log_record import LogRecord, RecordKind, encode_record
        from engine.records.segment_writer import SegmentOptions, SegmentTarget, SegmentWriter

        none = Floor(None, 0)
        options = SegmentOptions(min_free_space=none, min_free_inodes=none)
        writer = SegmentWriter("t", Clock(), options)
        target = SegmentTarget(Path(sys.argv[1]))
        writer.start([target])
        number = 0
        while True:
            record = LogRecord(kind=RecordKind.DELIVERY, record_id=str(number))
            writer.append(target, encode_record, record)
            number += 1
            print(number, time.time(), flush=True)
            time.sleep(0.001)
        """
    )
    root = Path(__file__).parents[4]
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    lines = []
    end = time.monotonic() + 20
    while time.monotonic() < end:
        lines.append(process.stdout.readline())
        if len(lines) > 10 and float(lines[-1].split()[1]) - float(lines[0].split()[1]) > 2.5:
            break
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=10)
    lines += rest.splitlines()
    # The last line may have been cut by the kill.
    times = [float(line.split()[1]) for line in lines[:-1]]
    due = sum(1 for appended_at in times if appended_at < times[-1] - 1.0)

    found = numbers(read_all(tmp_path))

    assert found == list(range(len(found)))
    assert len(found) >= due > 0
