"""Segments as one stream of lines: rotation, restarts, several series, deletion, positions."""

from __future__ import annotations

import os

import pytest

from engine.records.segment_file import complete_segment
from engine.tools.segment_series import LogDirectories, SegmentSeries, SeriesPosition
from tests.fakes.log_files import lines, numbers_in, open_segment, whole_segment


class Told(list):
    def __call__(self, text, is_lost):
        self.append((text, is_lost))


@pytest.fixture
def told():
    return Told()


def read(files, count=None):
    files.look()
    found = []
    while (count is None or len(found) < count) and (line := files.next_line()) is not None:
        found.append(line)
    return numbers_in(b"".join(found))


def test_the_stream_goes_on_over_rotation(tmp_path, told):
    files = LogDirectories([tmp_path], told)
    first = open_segment(tmp_path, 0)
    first.write(lines(0, 1))
    assert read(files) == [0, 1]
    first.write(lines(2))
    first.finish()
    second = open_segment(tmp_path, 3)
    second.write(lines(3))
    assert read(files) == [2, 3]
    second.write(lines(4))

    assert read(files) == [4]
    assert told == []


def test_what_a_killed_node_left_is_watched_until_the_next_node_ends_it(tmp_path, told):
    files = LogDirectories([tmp_path], told)
    left = open_segment(tmp_path, 0)
    left.write(lines(0, 1))
    whole = left.path.stat().st_size
    left.write(lines(2))
    with left.path.open("r+b") as file:
        file.truncate(whole + 5)
    assert read(files) == [0, 1]
    fresh = open_segment(tmp_path, 3)
    fresh.write(lines(3))
    assert read(files) == [3]
    (series,) = files.position[str(tmp_path)].values()
    assert set(series.unfinished) == {left.path.name, fresh.path.name}

    complete_segment(left.path)
    fresh.write(lines(4))

    assert read(files) == [4]
    (series,) = files.position[str(tmp_path)].values()
    assert set(series.unfinished) == {fresh.path.name}
    assert told == []


def test_segments_that_two_write_at_once_are_both_followed(tmp_path, told):
    files = LogDirectories([tmp_path], told)
    one, two = open_segment(tmp_path, 0), open_segment(tmp_path, 0)
    one.write(lines(0))
    two.write(lines(1))
    assert read(files) == [0, 1]
    one.write(lines(2))
    two.write(lines(3))

    assert read(files) == [2, 3]


def test_a_copy_that_anybody_may_write_to_ends_with_its_frame(tmp_path, told):
    whole_segment(tmp_path, 0).chmod(0o644)
    whole_segment(tmp_path, 1).chmod(0o644)
    files = LogDirectories([tmp_path], told)

    assert read(files) == [0, 1]
    (series,) = files.position[str(tmp_path)].values()
    assert len(series.unfinished) == 1


def test_several_series_come_in_the_order_of_their_times(tmp_path, told):
    (tmp_path / "b").mkdir()
    whole_segment(tmp_path, 0, 3, 4)
    whole_segment(tmp_path, 9, suffix=".bounces")
    whole_segment(tmp_path, 1, 6, suffix=".bounces")
    whole_segment(tmp_path / "b", 2, 5, 7, 8)
    files = LogDirectories([tmp_path, tmp_path / "b", tmp_path], told)

    assert read(files) == list(range(10))


def test_lines_that_are_no_records_have_no_time_and_come_first(tmp_path, told):
    segment = open_segment(tmp_path, 0, ".csv")
    segment.write(b"header\n")
    whole_segment(tmp_path, 1)
    files = LogDirectories([tmp_path], told)
    files.look()

    assert files.next_line() == b"header\n"
    assert numbers_in(files.next_line()) == [1]


def test_other_files_and_names_that_do_not_fit_are_not_looked_at(tmp_path, told):
    whole_segment(tmp_path, 0)
    whole_segment(tmp_path, 1, suffix=".bounces")
    (tmp_path / "notes").write_text("no segment")
    (tmp_path / ".checkpoint").write_text("{}")

    assert read(LogDirectories([tmp_path], told, pattern="*.bounces")) == [1]
    assert read(LogDirectories([tmp_path], told, pattern="*")) == [0, 1]


@pytest.mark.parametrize("count", range(8))
def test_who_starts_at_a_position_misses_nothing(tmp_path, told, count):
    whole_segment(tmp_path, 0, 2)
    whole_segment(tmp_path, 1, 4, suffix=".b")
    open_segment(tmp_path, 3).write(lines(3, 5, 6))
    files = LogDirectories([tmp_path], told)
    before = read(files, count)
    position = files.position
    files.close()

    after = read(LogDirectories([tmp_path], told, begin=position))

    assert before + after == list(range(7))
    assert told == []


def test_a_position_of_another_directory_stays(tmp_path, told):
    begin = {"/elsewhere": {"": SeriesPosition("20260101-000000.0", {})}}
    files = LogDirectories([tmp_path], told, begin=begin)
    files.look()

    assert files.position == begin


def test_a_segment_that_is_gone_is_told_and_the_oldest_is_next(tmp_path, told):
    gone = whole_segment(tmp_path, 0, 1, 2)
    files = LogDirectories([tmp_path], told)
    assert read(files, 1) == [0]
    gone.unlink()
    whole_segment(tmp_path, 3)
    whole_segment(tmp_path, 4)

    assert read(LogDirectories([tmp_path], told, begin=files.position)) == [3, 4]
    ((text, is_lost),) = told
    assert gone.name in text and "going on with the oldest" in text and is_lost
    # Who has it open reads it to its end.
    assert read(files) == [1, 2, 3, 4]


def test_that_the_last_segment_read_is_gone_is_told_as_others_may_be_too(tmp_path, told):
    whole_segment(tmp_path, 0).unlink()
    first = whole_segment(tmp_path, 1)
    files = LogDirectories([tmp_path], told)
    assert read(files) == [1]
    first.unlink()
    whole_segment(tmp_path, 3)

    assert read(LogDirectories([tmp_path], told, begin=files.position)) == [3]
    ((text, is_lost),) = told
    assert first.name in text and "others after it may be too" in text and not is_lost


def test_what_only_has_the_name_of_a_segment_is_told_and_passed_over(tmp_path, told):
    names = ["20260101-000000.1", "20260101-000000.2"]
    (tmp_path / names[0]).mkdir()
    os.mkfifo(tmp_path / names[1])
    whole_segment(tmp_path, 0)

    assert read(LogDirectories([tmp_path], told)) == [0]
    assert [text.partition(":")[0] for text, _ in told] == [str(tmp_path / one) for one in names]


def test_segments_deleted_before_they_were_read_are_told(tmp_path, told):
    paths = [whole_segment(tmp_path, number) for number in range(5)]
    files = LogDirectories([tmp_path], told)
    assert read(files, 1) == [0]
    for path in paths[1:4]:
        path.unlink()
    assert read(files) == [4]

    assert told == [(f"{tmp_path}: deleted before they were read: 3 segments", True)]


def test_a_segment_deleted_at_the_last_moment_is_told(tmp_path, told):
    paths = [whole_segment(tmp_path, number) for number in range(3)]
    files = LogDirectories([tmp_path], told)
    files.look()
    paths[1].unlink()

    found = [files.next_line() for _ in range(3)]

    assert numbers_in(b"".join(found[:2])) == [0, 2] and found[2] is None
    assert told == [(f"{paths[1]}: deleted before it was read", True)]


def test_a_damaged_segment_is_told_and_the_next_is_read(tmp_path, told):
    path = whole_segment(tmp_path, 0)
    path.chmod(0o600)
    path.write_bytes(b"this is no segment at all")
    whole_segment(tmp_path, 1)

    assert read(LogDirectories([tmp_path], told)) == [1]
    ((text, is_lost),) = told
    assert text.startswith(f"{path}: it is damaged at octet 0") and is_lost


def test_a_directory_that_goes_away_is_told_once_and_read_again_when_it_is_back(tmp_path, told):
    log_dir = tmp_path / "log"
    files = LogDirectories([log_dir], told)
    assert read(files) == read(files) == []
    assert told == [(f"{log_dir}: No such file or directory", True)]
    log_dir.mkdir()
    whole_segment(log_dir, 0)

    assert read(files) == [0]


def test_old_segments_are_left_out_and_count_as_read(tmp_path, told):
    old, new = whole_segment(tmp_path, 0), whole_segment(tmp_path, 1)
    files = LogDirectories([tmp_path], told)
    files.look()
    files.skip(is_old=lambda path: path == old)
    position = files.position

    assert read(files) == [1]
    assert position[str(tmp_path)][""] == SeriesPosition(old.name, {})
    assert read(LogDirectories([tmp_path], told, begin=position)) == [1]
    assert new.exists()


def test_only_the_oldest_are_left_out(tmp_path, told):
    names = [whole_segment(tmp_path, number).name for number in range(3)]
    series = SegmentSeries(tmp_path, told)
    series.note(names)
    series.skip(is_old=lambda path: path.name != names[0])

    assert series.position == SeriesPosition()


def test_a_segment_with_an_older_name_is_read_too_while_it_runs(tmp_path, told):
    whole_segment(tmp_path, 10)
    files = LogDirectories([tmp_path], told)
    assert read(files) == [10]
    whole_segment(tmp_path, 5)

    assert read(files) == [5]
