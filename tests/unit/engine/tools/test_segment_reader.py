"""Records are read from segments, also while a node still writes them."""

from __future__ import annotations

import zstandard

from engine.model.log_record import LogRecord, RecordKind, encode_record
from engine.records.segment_file import SegmentFile
from engine.tools.segment_reader import read_records, read_segment


def lines_of(first: int, last: int) -> bytes:
    kind = RecordKind.DELIVERY
    return b"".join(encode_record(LogRecord(kind=kind, id=f"{n:032d}")) for n in range(first, last))


def test_each_line_written_so_far_is_there_however_much_it_is(tmp_path):
    segment = SegmentFile(tmp_path, "", opened_at=0.0)

    for first in range(0, 2000, 100):
        segment.write(lines_of(first, first + 100))
        assert [int(record.id) for record in read_records(tmp_path)] == list(range(first + 100))
    segment.finish()

    assert len(read_records(tmp_path)) == 2000


def test_frames_that_follow_each_other_are_one_segment(tmp_path):
    frames = [zstandard.compress(line) for line in (b"a\n", b"b\n")]
    (tmp_path / "two").write_bytes(b"".join(frames))
    assert read_segment(tmp_path / "two") == b"a\nb\n"


def test_what_is_no_segment_is_passed_over(tmp_path):
    (tmp_path / "1").write_bytes(b"")
    (tmp_path / "2").write_bytes(b"no zstd at all")
    (tmp_path / "3").write_bytes(zstandard.compress(b"no record\n" + lines_of(7, 8)) + b"rest")

    assert [int(record.id) for record in read_records(tmp_path)] == [7]


def test_there_are_no_records_before_there_is_a_directory(tmp_path):
    assert read_records(tmp_path / "none") == []
