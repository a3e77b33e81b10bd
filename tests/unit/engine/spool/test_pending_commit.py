"""Commits in batches, whole ones."""

from __future__ import annotations

import asyncio

import pytest

from engine.model.errors import SpoolUnavailableError
from engine.model.message import FLAG_SHARED_BODY
from engine.spool.pending_commit import WRITE_BYTES, PendingCommit, batches_of, operations_of
from tests.fakes.faulty_disk import make_message, make_shared


def commit(*sizes: int) -> PendingCommit:
    operations = [(b"key-%d" % index, bytes(size)) for index, size in enumerate(sizes)]
    return PendingCommit(operations, asyncio.get_running_loop().create_future())


def shape(commits) -> list[tuple[int, int]]:
    """Return keys and commits of each batch."""
    return [(len(batch), count) for batch, count in batches_of(commits)]


async def test_small_commits_share_a_batch():
    assert shape([commit(10, 10), commit(10), commit(10, 10)]) == [(5, 3)]


async def test_a_large_commit_ends_its_batch_and_is_not_split():
    half = WRITE_BYTES // 2
    commits = [commit(half), commit(half, half, half), commit(1), commit(1)]
    assert shape(commits) == [(4, 2), (2, 2)]


async def test_no_commits_are_no_batch():
    assert shape([]) == []


async def test_an_empty_commit_is_counted():
    assert shape([commit()]) == [(0, 1)]


async def test_what_takes_it_back_deletes_each_key():
    assert commit(1, 1).undone == {b"key-0": None, b"key-1": None}


async def test_a_refusal_wakes_the_caller_with_the_reason():
    refused = commit(1)
    refused.refuse("full")
    with pytest.raises(SpoolUnavailableError, match="full"):
        await refused.done


async def test_a_caller_that_is_gone_is_left_alone():
    gone = commit(1)
    gone.done.cancel()
    gone.resolve()
    gone.refuse("full")
    assert gone.done.cancelled()


def kinds(messages) -> list[bytes]:
    """Return the kinds of keys that storing messages writes."""
    return [key[:1] for key, _ in operations_of(messages, float)]


def test_a_message_is_a_body_and_an_envelope():
    message = make_message()
    assert kinds([message]) == [b"b", b"m"]
    assert not message.flags & FLAG_SHARED_BODY


def test_a_shared_body_is_written_once_with_a_reference_from_each():
    messages = [*make_shared(2), make_message()]
    assert kinds(messages) == [b"b", b"r", b"m", b"r", b"m", b"b", b"m"]
    assert [bool(one.flags & FLAG_SHARED_BODY) for one in messages] == [True, True, False]
