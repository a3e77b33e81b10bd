"""Following log directories: what is printed, when the checkpoint is saved, when it ends."""

from __future__ import annotations

import io
import os

import pytest

from engine.base.clock import Clock
from engine.model.record_filter import RecordFilter, compile_filter
from engine.records.segment_file import complete_segment
from engine.tools.record_printer import RecordPrinter
from engine.tools.segment_series import LogDirectories
from engine.tools.tail_checkpoint import Checkpoint
from engine.tools.tail_files import FileTail, TailOptions, is_finished
from tests.fakes.log_files import BEGAN_AT, lines, numbers_in, open_segment, whole_segment


class Killed(Exception):
    pass


class World:
    """A log directory, and tails of it that live in time of their own."""

    def __init__(self, log_dir):
        self.log_dir = log_dir
        self.now = 1000.0
        self.naps = 0
        self.told = []
        self.out = io.BytesIO()
        self.checkpoint = Checkpoint(log_dir / ".x")
        self.steps = []
        self.printer = self.tail = None

    def sleep(self, seconds):
        self.naps += 1
        self.now += seconds
        if self.steps:
            self.steps.pop(0)()
        else:
            self.tail.is_stopping = True

    def make(self, *, wanted=None, limit=None, begin=None, **options):
        clock = Clock(lambda: self.now, lambda: BEGAN_AT + self.now)
        matcher = compile_filter(wanted or RecordFilter(), clock.wall())
        self.printer = RecordPrinter(self.out, matcher, as_json=True, limit=limit)
        files = LogDirectories([self.log_dir], lambda *one: self.told.append(one), begin=begin)
        self.tail = FileTail(
            files,
            matcher,
            self.printer,
            TailOptions(**options),
            clock=clock,
            sleep=self.sleep,
            checkpoint=self.checkpoint,
        )
        return self.tail

    def run(self, **options):
        """Return the numbers that one run prints, from the checkpoint on."""
        self.out = io.BytesIO()
        self.make(begin=self.checkpoint.load(), **options).run()
        return numbers_in(self.out.getvalue())


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_it_stops_at_the_end_where_it_is_not_to_follow(world):
    whole_segment(world.log_dir, 0, 1)
    open_segment(world.log_dir, 2).write(lines(2))

    assert world.run(must_follow=False) == [0, 1, 2]
    assert world.naps == 0
    assert world.run(must_follow=False) == []


def test_it_follows_rotation_and_restarts_and_goes_on_after_its_own(world):
    first = open_segment(world.log_dir, 0)
    first.write(lines(0))

    def rotate():
        first.write(lines(1))
        first.finish()
        whole_segment(world.log_dir, 2)

    def die():
        left = open_segment(world.log_dir, 3)
        left.write(lines(3))
        os.truncate(left.path, left.path.stat().st_size + 2)

    def restart():
        for path in world.log_dir.glob("2*"):
            complete_segment(path)
        whole_segment(world.log_dir, 4)

    world.steps = [rotate, die, restart]

    assert world.run() == [0, 1, 2, 3, 4]
    whole_segment(world.log_dir, 5)
    assert world.run() == [5]
    assert world.told == []


def test_records_come_again_rather_than_never_when_it_is_killed(world):
    whole_segment(world.log_dir, *range(10))
    tail = world.make(batch_size=4)

    class Output(io.BytesIO):
        def flush(self):
            if len(numbers_in(self.getvalue())) >= 8:
                raise Killed

    world.printer._out = out = Output()
    with pytest.raises(Killed):
        tail.run()

    seen = numbers_in(out.getvalue())
    assert seen + world.run() == [*range(8), *range(4, 10)]


def test_the_checkpoint_says_nothing_that_was_not_flushed(world):
    whole_segment(world.log_dir, *range(10))
    tail = world.make(batch_size=3, must_follow=False)
    flushed = []
    flush, save = world.printer.flush, world.checkpoint.save
    world.printer.flush = lambda: (flush(), flushed.append(len(numbers_in(world.out.getvalue()))))
    saved = []
    world.checkpoint.save = lambda position: (saved.append(flushed[-1]), save(position))

    tail.run()

    assert saved[:4] == [3, 6, 9, 10]


def test_a_slow_stream_is_saved_by_time(world):
    whole_segment(world.log_dir, *range(200))
    tail = world.make(batch_size=10_000, batch_s=1.0, must_follow=False)
    saved = []
    world.checkpoint.save = lambda position: saved.append(world.printer.printed)
    show = world.printer.print

    def print_slowly(line):
        world.now += 0.02
        show(line)

    world.printer.print = print_slowly
    tail.run()

    assert saved[:-1] == [64, 128, 192, 200]


def test_at_the_limit_the_checkpoint_is_after_the_last_record_printed(world):
    whole_segment(world.log_dir, *range(5))

    assert world.run(limit=2) == [0, 1]
    assert world.run(limit=2) == [2, 3]
    assert world.naps == 0


def test_what_is_there_already_is_left_out_at_the_end(world):
    whole_segment(world.log_dir, 0, 1)
    growing = open_segment(world.log_dir, 2)
    growing.write(lines(2, 3))
    world.steps = [lambda: growing.write(lines(4))]

    assert world.run(is_at_end=True) == [4]


def test_segments_that_ended_before_what_is_wanted_are_not_opened(world, monkeypatch):
    old, new = whole_segment(world.log_dir, 0), whole_segment(world.log_dir, 900)
    os.utime(old, (BEGAN_AT, BEGAN_AT))
    os.utime(new, (BEGAN_AT + 901, BEGAN_AT + 901))
    old.chmod(0o400)
    opened = []
    start = os.open
    monkeypatch.setattr("os.open", lambda path, *rest: opened.append(path) or start(path, *rest))

    assert world.run(wanted=RecordFilter(since="200s"), must_follow=False) == [900]
    assert old not in opened and new in opened


def test_it_ends_when_nothing_wanted_can_come_any_more(world):
    whole_segment(world.log_dir, 0, 1)
    world.steps = [lambda: None] * 100

    assert world.run(wanted=RecordFilter(until="995s")) == [0, 1]
    assert world.naps == 0


def test_it_looks_no_more_often_than_its_interval_says(world):
    world.steps = [lambda: None] * 5
    world.run(poll_s=0.25)

    assert (world.naps, world.now) == (6, 1001.5)


def test_it_ends_after_the_record_at_hand_when_it_is_told_to(world):
    whole_segment(world.log_dir, *range(5))
    tail = world.make()
    show = world.printer.print

    def print_and_stop(line):
        show(line)
        tail.is_stopping = True

    world.printer.print = print_and_stop
    tail.run()

    assert numbers_in(world.out.getvalue()) == [0]
    assert world.run(must_follow=False) == [1, 2, 3, 4]


def test_a_segment_is_finished_when_it_is_read_only(tmp_path):
    assert is_finished(whole_segment(tmp_path, 0))
    assert not is_finished(open_segment(tmp_path, 1).path)
    assert not is_finished(tmp_path / "none")
