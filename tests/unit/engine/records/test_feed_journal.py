"""The journal of the record feed: order, crashes, bounds."""

from __future__ import annotations

import os

import pytest

from engine.records.feed_journal import FeedJournal, Position


@pytest.fixture
def journal(tmp_path):
    made = FeedJournal(tmp_path, segment_octets=100, limit_octets=1000)
    made.open()
    yield made
    made.close()


def read_all(journal, position, lines_max=1000):
    found = []
    while True:
        stretch = journal.read(position, lines_max, 1 << 20)
        if not stretch.lines:
            return found, stretch.end
        found += stretch.lines
        position = stretch.end


def lines(first, last):
    return [f'{{"n":{number}}}'.encode() for number in range(first, last)]


def test_a_reader_gets_all_lines_in_order_across_segments(journal):
    for start in range(0, 60, 10):
        journal.append(lines(start, start + 10))

    assert read_all(journal, journal.start)[0] == lines(0, 60)
    assert journal.end.segment >= 3


def test_a_reader_goes_on_behind_its_position(journal):
    journal.append(lines(0, 5))
    position = journal.read(journal.start, 3, 1 << 20).end
    journal.append(lines(5, 7))

    assert read_all(journal, position)[0] == lines(3, 7)


def test_at_least_one_line_is_given_however_long_it_is(journal):
    journal.append([b"x" * 5000, b"y"])

    assert journal.read(journal.start, 10, 10).lines == [b"x" * 5000]


def test_nothing_new_leaves_the_reader_where_it_is(journal):
    journal.append(lines(0, 2))
    end = journal.end

    assert journal.read(end, 10, 1000) == ([], end)


def test_a_restart_goes_on_at_the_checkpoint(journal, tmp_path):
    journal.append(lines(0, 4))
    position = journal.read(journal.start, 2, 1 << 20).end
    journal.save_checkpoints({"http://a": position})
    journal.close()

    again = FeedJournal(tmp_path)
    checkpoints = again.open()
    again.append(lines(4, 6))

    assert read_all(again, checkpoints["http://a"])[0] == lines(2, 6)
    again.close()


def test_a_line_that_a_crash_tore_is_skipped(journal, tmp_path):
    journal.append(lines(0, 2))
    journal.close()
    (segment,) = tmp_path.glob("*.ndjson")
    with segment.open("ab") as file:
        file.write(b'{"n":')

    again = FeedJournal(tmp_path)
    again.open()
    again.append(lines(2, 3))

    assert read_all(again, again.start)[0] == lines(0, 3)
    again.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": "b"}', '{"a": [1]}'])
def test_checkpoints_that_cannot_be_read_mean_from_the_start(journal, tmp_path, text):
    journal.close()
    (tmp_path / "checkpoints.json").write_text(text)

    again = FeedJournal(tmp_path)
    assert again.open() == {}
    again.close()


def test_a_checkpoint_behind_the_end_of_its_segment_counts_as_its_end(journal, tmp_path):
    journal.append(lines(0, 1))
    number, offset = journal.end
    journal.save_checkpoints({"a": Position(number, offset + 500)})
    journal.close()

    again = FeedJournal(tmp_path)
    assert again.open() == {"a": Position(number, offset)}
    again.close()


def test_segments_go_when_every_reader_is_past_them(journal):
    for start in range(0, 40, 10):
        journal.append(lines(start, start + 10))
    behind = journal.read(journal.start, 15, 1 << 20).end
    behind = journal.read(behind, 5, 1 << 20).end

    missed = journal.trim({"fast": journal.end, "slow": behind}, 0.0)

    assert missed == {"fast": 0, "slow": 0}
    assert journal.start.segment == behind.segment
    assert read_all(journal, behind)[0] == lines(20, 40)


def test_segments_too_old_to_matter_go_and_what_is_missed_is_counted(journal, tmp_path):
    journal.append(lines(0, 20))
    journal.append(lines(20, 30))
    position = journal.read(journal.start, 5, 1 << 20).end
    for path in tmp_path.glob("*1.ndjson"):
        os.utime(path, (1000, 1000))

    assert journal.trim({"slow": position, "fast": journal.end}, 2000.0) == {"slow": 15, "fast": 0}
    assert read_all(journal, position)[0] == lines(20, 30)


def test_the_oldest_segments_go_when_all_are_too_large(journal):
    for start in range(0, 400, 10):
        journal.append(lines(start, start + 10))
    assert journal.octets > 1000

    missed = journal.trim({"slow": journal.start}, 0.0)

    assert journal.octets <= 1000
    left, _ = read_all(journal, Position(1, 0))
    assert left == lines(missed["slow"], 400)


def test_a_disk_that_takes_half_a_batch_leaves_no_half_line(journal, monkeypatch):
    journal.append(lines(0, 1))
    write = os.write
    calls = []

    def full(descriptor, octets):
        calls.append(len(octets))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(descriptor, octets[:5])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            journal.append(lines(1, 3))
    journal.append(lines(1, 3))

    assert read_all(journal, journal.start)[0] == lines(0, 3)


def test_what_a_reader_has_not_had_is_known(journal):
    journal.append(lines(0, 30))
    journal.append(lines(30, 40))

    assert journal.octets_behind(journal.start) == journal.octets
    assert journal.octets_behind(journal.end) == 0
