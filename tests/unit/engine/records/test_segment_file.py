"""One segment: whole frames, whatever cut them."""

from __future__ import annotations

import os

import pytest
import zstandard

from engine.records.segment_file import SegmentFile, complete_segment


def make_cut_segment(tmp_path, cut):
    segment = SegmentFile(tmp_path, "", opened_at=1.0)
    segment.write(b"first\n" * 100)
    first_end = segment.path.stat().st_size
    segment.write(b"second\n" * 100)
    os.truncate(segment.path, cut(first_end, segment.path.stat().st_size))
    return segment.path


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        (lambda _first, end: end, b"first\n" * 100 + b"second\n" * 100),
        (lambda _first, end: end - 1, b"first\n" * 100),
        (lambda first, _end: first + 1, b"first\n" * 100),
        (lambda first, _end: first, b"first\n" * 100),
    ],
)
def test_a_segment_cut_anywhere_becomes_a_whole_frame(tmp_path, cut, expected):
    path = make_cut_segment(tmp_path, cut)

    assert complete_segment(path) is True

    with open(path, "rb") as file:
        text = zstandard.ZstdDecompressor().decompressobj()
        assert text.decompress(file.read()) == expected
        assert text.eof
    assert complete_segment(path) is False


def test_a_finished_segment_is_left_as_it_is(tmp_path):
    segment = SegmentFile(tmp_path, "", opened_at=1.0)
    segment.write(b"line\n")
    segment.finish()
    content = segment.path.read_bytes()
    segment.path.chmod(0o644)

    assert complete_segment(segment.path) is False
    assert segment.path.read_bytes() == content


def test_two_segments_of_one_instant_get_two_names(tmp_path):
    one = SegmentFile(tmp_path, "", opened_at=1.5)
    two = SegmentFile(tmp_path, "", opened_at=1.5)

    assert one.path != two.path
    one.abandon()
    two.abandon()


def test_what_is_no_segment_is_only_marked_as_done(tmp_path):
    path = tmp_path / "20200101-000000.000001"
    path.write_bytes(b"plain text, not a compressed frame at all")

    assert complete_segment(path) is False
    assert path.read_bytes().startswith(b"plain text")
    assert path.stat().st_mode & 0o222 == 0
