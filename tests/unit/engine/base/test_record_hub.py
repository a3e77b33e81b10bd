"""Records as they happen: chosen by a filter, made a line once."""

from __future__ import annotations

from engine.base import event_hub, record_hub
from engine.base.record_hub import RecordHub, SeenRecord
from engine.model.log_record import LogRecord, RecordKind, decode_record
from engine.model.record_filter import RecordFilter, compile_filter


def seen(kind=RecordKind.DELIVERY, **fields):
    return SeenRecord(LogRecord(kind=kind, **fields))


def matcher(**wanted):
    return compile_filter(RecordFilter(**wanted), 0.0)


async def test_a_reader_gets_the_records_that_fit_its_filter():
    hub = RecordHub()
    reader = hub.subscribe(matcher(type=["Bounce"], grep="a.test"))
    hub.publish(seen(sender="x@a.test"))
    hub.publish(seen(RecordKind.BOUNCE, sender="x@b.test"))
    hub.publish(seen(RecordKind.BOUNCE, sender="x@a.test"))
    reader.close()

    got = await reader.next()
    assert decode_record(got.line).sender == "x@a.test"
    assert await reader.next() is None


async def test_a_record_is_made_a_line_once_and_only_if_it_may_be_wanted(monkeypatch):
    made = []
    encode = record_hub.encode_record
    monkeypatch.setattr(record_hub, "encode_record", lambda one: made.append(one) or encode(one))
    hub = RecordHub()
    readers = [hub.subscribe(matcher(type=["Bounce"])) for _ in range(3)]
    hub.publish(seen(RecordKind.DELIVERY))
    assert made == []

    hub.publish(seen(RecordKind.BOUNCE))

    assert {(await reader.next()).line for reader in readers} == {encode(made[0])}
    assert len(made) == 1


async def test_large_records_are_bounded_by_their_octets(monkeypatch):
    monkeypatch.setattr(event_hub, "OCTETS_MAX", 100_000)
    hub = RecordHub()
    reader = hub.subscribe(matcher())
    for _ in range(50):
        hub.publish(seen(meta={"text": "x" * 10_000}))

    kept = 0
    while not isinstance(missed := await reader.next(), int):
        kept += 1
    assert (kept, missed) == (4, 46)
