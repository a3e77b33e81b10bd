"""What the store says of itself, also while it has no database to ask."""

from __future__ import annotations

import asyncio

import pytest

from engine.base.clock import Clock
from engine.base.metric_names import SPOOL_METRICS
from engine.model.message import Message, new_spool_id
from engine.spool.disk_store import DiskStore
from engine.spool.store_measures import PROPERTIES, StoreMeasures

pytestmark = pytest.mark.real_time


@pytest.fixture
async def store(tmp_path):
    made = DiskStore(tmp_path / "spool", Clock(), asyncio.get_running_loop())
    made.open()
    yield made
    await made.close()


async def test_every_gauge_has_a_property_that_the_database_knows(store):
    assert {one.name for one in SPOOL_METRICS} == set(PROPERTIES)
    values = {name: store.measures.property(name) for name in PROPERTIES}
    assert None not in values.values()
    assert values["rocks_spool_write_stopped"] == 0
    assert values["rocks_spool_mem_table_total"] > 0


async def test_bodies_and_envelopes_are_timed_apart(store):
    bodies, envelopes = [], []
    store.measures.note_body, store.measures.note_envelope = bodies.append, envelopes.append
    message = Message(new_spool_id(), "a@x.test", ["b@y.test"], data=b"x", size=1, created_at=1.0)
    await store.commit([message], relaxed=False)

    store.load_body(message.body_id)
    store.load_body(message.body_id)
    store.load(message.spool_id)

    assert (len(bodies), len(envelopes)) == (2, 1)
    assert all(0 <= seconds < 60 for seconds in bodies + envelopes)


class Closed:
    def property_int_value(self, name):
        raise RuntimeError(f"DB instance already closed, {name}")


@pytest.mark.parametrize("database", [None, Closed()])
def test_a_database_that_cannot_be_asked_says_nothing(database):
    measures = StoreMeasures(lambda: database)
    assert measures.property("rocks_spool_write_stopped") is None
