"""Lines of a segment as they come: while it grows, after a kill, when it is damaged or deleted."""

from __future__ import annotations

import os
import random

import pytest
import zstandard

from engine.records.segment_file import SegmentFile, complete_segment
from engine.tools import segment_stream
from engine.tools.segment_stream import SegmentStream, block_size


def numbered(first, last):
    return b"".join(b"line %d\n" % number for number in range(first, last))


def all_lines(stream):
    found = []
    while (line := stream.next_line()) is not None:
        found.append(line)
    return b"".join(found)


@pytest.fixture
def segment(tmp_path):
    return SegmentFile(tmp_path, "", opened_at=0.0)


def test_lines_come_as_they_are_written(segment):
    stream = SegmentStream(segment.path)
    assert stream.next_line() is None

    for first in range(0, 1000, 100):
        segment.write(numbered(first, first + 100))
        assert all_lines(stream) == numbered(first, first + 100)
        assert not stream.is_whole() and not stream.is_finished_file()
    segment.finish()

    assert stream.next_line() is None
    assert stream.is_whole() and stream.is_finished_file()
    stream.end()
    assert stream.trouble is None


def test_reading_goes_on_where_it_stopped(segment):
    segment.write(numbered(0, 100))
    first = SegmentStream(segment.path)
    for _ in range(37):
        first.next_line()
    segment.write(numbered(100, 200))

    second = SegmentStream(segment.path, first.offset)

    assert all_lines(second) == numbered(37, 200)
    assert second.offset == len(numbered(0, 200))


def test_to_look_at_a_line_does_not_take_it(segment):
    segment.write(numbered(0, 2))
    stream = SegmentStream(segment.path)

    assert stream.peek() == b"line 0\n"
    assert stream.offset == 0
    assert all_lines(stream) == numbered(0, 2)
    assert stream.peek() is None


@pytest.mark.parametrize("seed", range(5))
def test_wherever_a_kill_cuts_the_file_no_line_is_lost_or_made_up(tmp_path, seed):
    rng = random.Random(seed)
    segment = SegmentFile(tmp_path, "", opened_at=0.0)
    text = b""
    for _ in range(3):
        part = b"".join(b"%x\n" % rng.getrandbits(4000) for _ in range(200))
        segment.write(part)
        text += part
    raw = segment.path.read_bytes()
    for cut in sorted({0, 1, 5, 7, len(raw) - 1, *(rng.randrange(len(raw)) for _ in range(40))}):
        path = tmp_path / f"cut-{cut}"
        path.write_bytes(raw[:cut])
        stream = SegmentStream(path)
        before = all_lines(stream)
        complete_segment(path)
        after = all_lines(stream)

        assert text.startswith(before + after)
        fresh = SegmentStream(path)
        assert all_lines(fresh) == before + after
        assert fresh.is_finished_file() and fresh.trouble is None
        stream.close()
        fresh.close()


def test_a_large_batch_is_cut_into_blocks_and_a_kill_within_is_told(tmp_path):
    segment = SegmentFile(tmp_path, "", opened_at=0.0)
    segment.write(b"".join(os.urandom(600).hex().encode() + b"\n" for _ in range(1000)))
    raw = segment.path.read_bytes()
    segment.path.write_bytes(raw[: len(raw) // 2])
    complete_segment(segment.path)
    stream = SegmentStream(segment.path)

    lines = all_lines(stream).splitlines()
    stream.end()

    assert len(lines) > 300 and {len(line) for line in lines} == {1200}
    assert stream.trouble == "it ends in the middle of a record"


def test_a_copy_that_is_not_whole_is_told(tmp_path):
    (tmp_path / "x").write_bytes(zstandard.compress(numbered(0, 10))[:-3])
    stream = SegmentStream(tmp_path / "x")

    assert stream.next_line() is None
    stream.end()
    assert stream.trouble == "its end is cut off"


def test_damage_ends_it_after_the_lines_before(segment):
    segment.write(numbered(0, 100))
    end = segment.path.stat().st_size
    segment.write(numbered(100, 200))
    segment.finish()
    raw = bytearray(segment.path.read_bytes())
    raw[end] |= 6  # a block of no known type
    segment.path.chmod(0o600)
    segment.path.write_bytes(raw)
    stream = SegmentStream(segment.path)

    assert all_lines(stream) == numbered(0, 100)
    assert f"damaged at octet {end}" in stream.trouble


@pytest.mark.parametrize("seed", range(4))
def test_whatever_octets_are_wrong_it_ends_and_says_so_or_gives_lines(tmp_path, seed):
    rng = random.Random(seed)
    segment = SegmentFile(tmp_path, "", opened_at=0.0)
    for first in (0, 100, 200):
        segment.write(numbered(first, first + 100))
    segment.finish()
    whole = segment.path.read_bytes()
    for number in range(100):
        raw = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        path = tmp_path / f"damaged-{number}"
        path.write_bytes(raw)
        stream = SegmentStream(path)
        text = all_lines(stream)
        stream.end()

        assert text.endswith(b"\n") or (text == b"" and stream.trouble is not None)
        assert len(text) <= len(numbered(0, 300)) or stream.trouble is None


@pytest.mark.parametrize("raw", [b"no segment at all, but text", bytes(100)])
def test_what_is_no_segment_is_told(tmp_path, raw):
    (tmp_path / "x").write_bytes(raw)
    stream = SegmentStream(tmp_path / "x")

    assert stream.next_line() is None
    assert "damaged at octet 0" in stream.trouble


def test_frames_that_follow_each_other_are_read_one_by_one(tmp_path):
    cctx = zstandard.ZstdCompressor(write_checksum=True)
    (tmp_path / "x").write_bytes(cctx.compress(b"a\n") + cctx.compress(b"b\r\nc\n"))
    stream = SegmentStream(tmp_path / "x")

    assert [stream.next_line() for _ in range(4)] == [b"a\n", b"b\r\n", b"c\n", None]
    assert stream.is_whole()


def test_a_deleted_segment_is_read_to_its_end(segment):
    segment.write(numbered(0, 10))
    stream = SegmentStream(segment.path)
    stream.next_line()
    segment.path.unlink()
    segment.write(numbered(10, 20))

    assert all_lines(stream) == numbered(1, 20)
    assert stream.is_finished_file()


def test_what_a_failing_disk_had_taken_back_is_told(segment):
    segment.write(numbered(0, 10))
    safe = segment.path.stat().st_size
    stream = SegmentStream(segment.path)
    segment.write(numbered(10, 20))
    assert all_lines(stream) == numbered(0, 20)
    os.truncate(segment.path, safe)
    with segment.path.open("ab") as file:
        file.write(b"\x01\x00\x00")

    assert stream.next_line() is None
    assert "taken back" in stream.trouble


def test_a_line_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(segment_stream, "LINE_MAX", 1 << 20)
    (tmp_path / "x").write_bytes(zstandard.compress(b"a\n" + b"x" * (8 << 20)))
    stream = SegmentStream(tmp_path / "x")

    assert all_lines(stream) == b"a\n"
    assert "a line of more than" in stream.trouble


def test_the_size_of_a_block_is_in_its_header():
    assert block_size(b"\x01\x00\x00", 0) == (3, True)
    assert block_size(b"..\x08\x00\x00", 2) == (4, False)
    # One octet, a thousand times.
    assert block_size((1000 << 3 | 2).to_bytes(3, "little"), 0) == (4, False)
    assert block_size(b"\x01\x00", 0) == (0, False)
