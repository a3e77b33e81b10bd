"""Pipes are lent, not given away, and never more than there may be."""

from __future__ import annotations

import errno
import os

import pytest

from proxy import pipe_pool
from proxy.pipe_pool import PipePool


@pytest.fixture
def pool():
    pool = PipePool(3)
    yield pool
    pool.close()


def test_a_pipe_that_came_back_is_lent_again(pool):
    pipe = pool.take()
    pool.give(pipe)

    assert pool.take() is pipe
    pool.drop(pipe)


def test_beyond_the_limit_there_is_none(pool):
    taken = [pool.take() for _ in range(4)]

    assert [pipe is None for pipe in taken] == [False, False, False, True]
    pool.drop(taken[0])
    again = pool.take()
    assert again is not None
    for pipe in (*taken[1:3], again):
        pool.give(pipe)


def test_a_pipe_that_is_dropped_is_closed(pool):
    pipe = pool.take()
    os.write(pipe.writer, b"left behind")
    pool.drop(pipe)

    for descriptor in (pipe.reader, pipe.writer):
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(descriptor)


def test_neither_end_blocks(pool):
    pipe = pool.take()

    with pytest.raises(BlockingIOError):
        os.read(pipe.reader, 1)
    pool.give(pipe)


def test_only_a_few_are_kept_that_nobody_uses(monkeypatch):
    monkeypatch.setattr(pipe_pool, "_SPARE_MAX", 1)
    pool = PipePool(2)
    first, second = pool.take(), pool.take()
    pool.give(first)
    pool.give(second)

    with pytest.raises(OSError, match="descriptor"):
        os.fstat(second.reader)
    pool.close()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(first.reader)


def test_without_descriptors_there_is_none_and_later_there_is(pool, monkeypatch):
    def refuse(_flags):
        raise OSError(errno.EMFILE, "too many")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pipe2", refuse)
        assert pool.take() is None
    pipe = pool.take()
    assert pipe is not None
    pool.give(pipe)


def test_where_the_system_cannot_splice_there_is_none(monkeypatch):
    monkeypatch.delattr(os, "splice")

    assert PipePool(3).take() is None
