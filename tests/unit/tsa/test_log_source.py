"""Log records of files and folders in the order of their time."""

from __future__ import annotations

import os
import threading

import pytest
import zstandard

from engine.model.log_record import RecordKind
from tests.fakes.tsa_world import NOON, record_line
from tsa.errors import ConfigurationError
from tsa.log_source import LogSource, find_logs


def lines_of(*names_and_times):
    return b"".join(record_line(at, record_id=name) + b"\n" for name, at in names_and_times)


def ids(source):
    return [one.record_id for one in source.records()]


def test_a_finished_segment_an_open_one_and_plain_lines_are_read_alike(tmp_path):
    plain = lines_of(("a", NOON), ("b", NOON + 1))
    codec = zstandard.ZstdCompressor().compressobj()
    unfinished = codec.compress(plain) + codec.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    contents = {
        "finished": zstandard.ZstdCompressor().compress(plain),
        "open": unfinished,
        "plain": plain,
        "no newline at the end": plain.rstrip(),
        "two frames": b"".join(
            zstandard.ZstdCompressor().compress(one + b"\n") for one in plain.splitlines()
        ),
    }
    for name, octets in contents.items():
        path = tmp_path / name
        path.write_bytes(octets)
        source = LogSource([path])

        assert ids(source) == ["a", "b"], name
        assert (source.tally.records, source.tally.bad_lines) == (2, 0), name


def test_a_segment_larger_than_what_is_read_at_once_is_read_whole(tmp_path):
    path = tmp_path / "large"
    wanted = [f"r{number}" for number in range(5000)]
    plain = lines_of(*((name, NOON + number) for number, name in enumerate(wanted)))
    path.write_bytes(zstandard.ZstdCompressor(level=1).compress(plain))

    assert ids(LogSource([path])) == wanted


def test_segments_of_several_nodes_are_merged_by_time(tmp_path):
    for node, first in (("one", NOON), ("two", NOON + 0.5)):
        folder = tmp_path / node
        folder.mkdir()
        for hour in range(2):
            at = first + 3600 * hour
            content = lines_of(*((f"{node}-{hour}-{n}", at + n) for n in range(2)))
            (folder / f"{hour}.zst").write_bytes(zstandard.ZstdCompressor().compress(content))

    found = ids(LogSource(find_logs([tmp_path / "two", tmp_path / "one"])))

    assert found == [
        f"{node}-{hour}-{n}" for hour in range(2) for n in range(2) for node in ("one", "two")
    ]


def test_files_are_read_by_their_times_whatever_their_names(tmp_path):
    (tmp_path / "a").write_bytes(lines_of(("late", NOON + 100)))
    (tmp_path / "b").write_bytes(lines_of(("early", NOON)))

    assert ids(LogSource(find_logs([tmp_path]))) == ["early", "late"]


def test_kinds_that_nobody_wants_are_counted_and_tell_the_time(tmp_path):
    path = tmp_path / "log"
    delivered = record_line(NOON, type="Delivery") + b"\n"
    last = record_line(NOON + 60, type="Delivery") + b"\n"
    path.write_bytes(delivered + lines_of(("a", NOON + 1)) + last)
    source = LogSource([path], [RecordKind.DELIVERY])

    assert ids(source) == ["a"]
    assert source.tally.records == 3
    assert (source.tally.first_at, source.tally.last_at) == (NOON, NOON + 60)


def test_lines_that_are_no_records_are_left_out_and_named(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(lines_of(("a", NOON)) + b"nonsense\n\n" + lines_of(("b", NOON)))
    source = LogSource([path])

    assert ids(source) == ["a", "b"]
    assert (source.tally.records, source.tally.bad_lines) == (2, 1)
    assert source.tally.problems[0].startswith(f"{path}:2: no log record")


def test_what_is_behind_the_damage_of_a_segment_is_left_out_and_said(tmp_path):
    path = tmp_path / "log"
    first = zstandard.ZstdCompressor().compress(lines_of(("a", NOON)))
    path.write_bytes(first + b"\x28\xb5\x2f\xfd" + b"\xff" * 40)
    source = LogSource([path])

    assert ids(source) == ["a"]
    assert "damaged" in source.tally.problems[0]


def test_a_pipe_can_be_replayed(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[lines_of(("a", NOON))])
    writer.start()

    assert ids(LogSource(find_logs([path]))) == ["a"]
    writer.join()


def test_a_missing_file_an_empty_folder_and_an_endless_line_are_errors(tmp_path, monkeypatch):
    monkeypatch.setattr("tsa.log_source.LINE_MAX_BYTES", 1000)
    (tmp_path / "empty").mkdir()
    endless = tmp_path / "endless"
    endless.write_bytes(b"x" * 200_000)

    with pytest.raises(ConfigurationError, match="no such file"):
        find_logs([tmp_path / "missing"])
    with pytest.raises(ConfigurationError, match="holds no file"):
        find_logs([tmp_path / "empty"])
    with pytest.raises(ConfigurationError, match="without an end"):
        ids(LogSource([endless]))
