"""Spools and log segments of each format that was ever written still load (make_fixtures.py)."""

from __future__ import annotations

import asyncio
import tarfile
from pathlib import Path

import pytest

from engine.model.log_record import EnhancedCode, RecordKind
from engine.model.message import FLAG_8BIT, FLAG_HELD, FLAG_LOG_RECORD, message_from
from engine.model.schedule_window import parse_schedule
from engine.spool.disk_store import DiskStore
from engine.spool.spool_check import SpoolCheck
from engine.spool.spool_reader import SpoolReader
from engine.spool.spool_store import StoredMessage
from engine.tools.segment_reader import read_records
from tests.upgrade.make_fixtures import CLOCK, CREATED_AT, SCHEDULE

HERE = Path(__file__).parent


@pytest.fixture
async def store(tmp_path):
    with tarfile.open(HERE / "spool-1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    store = DiskStore(tmp_path / "spool", CLOCK, asyncio.get_running_loop())
    store.open()
    yield store
    await store.close()


def found(store) -> dict[str, StoredMessage]:
    """Return the stored messages by the number in their sender."""
    entries = list(store.enumerate())
    assert all(isinstance(one, StoredMessage) for one in entries)
    return {one.envelope.sender.split("@")[0].removeprefix("number-"): one for one in entries}


@pytest.mark.real_time
async def test_a_spool_of_format_1_holds_what_it_held(store):
    assert sorted(found(store)) == ["1", "4", "5", "6", "7"]


@pytest.mark.real_time
async def test_every_part_of_a_message_of_format_1_is_read(store):
    plain, held = found(store)["1"], found(store)["6"]
    assert plain.envelope.meta == {"tenant": "t", "n": 1, "deep": [1, {}]}
    assert plain.envelope.prefix == b"Received: by mx.test\r\n"
    assert store.load_body(plain.envelope.body_id) == b"Subject: plain\r\n\r\n1\r\n"
    message = message_from(held.spool_id, held.envelope, 0.0)
    assert message.recipients == ["b@y.test", "c@y.test"]
    assert (message.attempts, message.created_at) == (7, CREATED_AT)
    assert message.flags == FLAG_8BIT | FLAG_HELD | FLAG_LOG_RECORD
    assert message.schedule == parse_schedule(SCHEDULE)
    assert held.envelope.due_at == CREATED_AT + 3600.0
    assert held.envelope.size == len(store.load_body(held.envelope.body_id))


@pytest.mark.real_time
async def test_what_a_crash_left_in_the_log_of_format_1_is_read(store):
    late = found(store)["7"]
    assert late.envelope.attempts == 1
    assert store.load_body(late.envelope.body_id) == b"Subject: late\r\n\r\n7\r\n"


@pytest.mark.real_time
async def test_a_spool_of_format_1_is_read_and_sound_for_tools_but_for_what_was_set_aside(store):
    await store.close()
    with SpoolReader(store.path) as reader:
        findings = list(SpoolCheck(reader, lambda check: None).run())
        senders = [one.envelope.sender for one in reader.messages()]

    assert [one.kind for one in findings] == ["set-aside"]
    assert len(senders) == 5


@pytest.mark.real_time
async def test_a_body_shared_in_format_1_is_freed_with_the_last_envelope(store):
    four, five = found(store)["4"], found(store)["5"]
    store.remove(message_from(four.spool_id, four.envelope, 0.0))
    assert store.load_body(five.envelope.body_id) == b"Subject: shared\r\n\r\n3\r\n"
    store.remove(message_from(five.spool_id, five.envelope, 0.0))
    assert store._db.get(b"b" + five.envelope.body_id) is None


@pytest.mark.real_time
async def test_a_spool_of_format_1_can_be_written(store):
    changed = found(store)["1"]
    message = message_from(changed.spool_id, changed.envelope, 0.0)
    message.attempts = 9
    store.update(message)
    assert store.load(changed.spool_id).attempts == 9


def test_a_log_segment_of_the_first_format_is_read(tmp_path):
    (tmp_path / "segment").write_bytes((HERE / "segment-1.zst").read_bytes())
    delivery, rejection = read_records(tmp_path)
    assert (delivery.kind, rejection.kind) == (RecordKind.DELIVERY, RecordKind.REJECTION)
    assert delivery.recipients == ["b@y.test", "c@y.test"]
    assert delivery.response is not None
    assert delivery.response.enhanced_code == EnhancedCode(2, 0, 0)
    assert delivery.event_time == "2027-01-15T08:00:00.123456Z"
    assert delivery.meta == {"tenant": "t"}
    assert delivery.tls_protocol_version == "TLSv1.3"
    assert rejection.session_id != delivery.session_id
