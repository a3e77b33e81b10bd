"""What the fake has beside the contract (tests/contracts/test_spool_store.py)."""

from __future__ import annotations

import pytest

from engine.model.errors import SpoolUnavailableError
from engine.spool.memory_store import MemoryStore
from tests.fakes.faulty_disk import make_message, make_shared


async def test_it_refuses_with_the_reason_it_was_given():
    store = MemoryStore(float)
    store.refusing = "full"
    with pytest.raises(SpoolUnavailableError, match="full"):
        await store.commit([make_message()])
    assert store.trouble() == "full"
    assert store.envelopes == {}


async def test_all_of_a_commit_is_stored_or_nothing():
    store = MemoryStore(float)
    with pytest.raises(AssertionError):
        await store.commit([make_message(), make_message(None)])
    assert (store.envelopes, store.bodies) == ({}, {})


async def test_what_was_set_aside_is_kept():
    store = MemoryStore(float)
    message = make_message()
    await store.commit([message])
    raw = store.envelopes[message.spool_id]
    store.quarantine(message.spool_id)
    assert store.set_aside == {message.spool_id: raw}


async def test_a_damaged_neighbour_does_not_keep_a_removal_from_working():
    store = MemoryStore(float)
    one, two = make_shared(2)
    await store.commit([one, two])
    store.envelopes[two.spool_id] = b"\xc1"
    store.remove(one)
    assert one.spool_id not in store.envelopes
