"""Records shown as they happen: in nobody's way while nobody watches."""

from __future__ import annotations

import msgspec

from engine.base.record_hub import RecordHub
from engine.model.log_record import RecordKind
from engine.model.message import FLAG_LOG_RECORD
from engine.model.record_filter import RecordFilter, compile_filter
from engine.records.record_selection import make_selection
from engine.records.record_tap import RecordTap, metadata_of
from tests.unit.engine.records.test_recorder import OK, ListSink, make_message, make_recorder


def watched(*sinks):
    recorder, hub = make_recorder(*sinks), RecordHub()
    RecordTap(recorder, hub)
    return recorder, hub


def everything(hub):
    return hub.subscribe(compile_filter(RecordFilter(), 0.0))


def test_the_recorder_knows_of_it_only_while_somebody_watches():
    sink = ListSink()
    recorder, hub = watched(sink)
    assert recorder.sinks == (sink,)

    reader = everything(hub)
    assert len(recorder.sinks) == 2
    reader.close()

    assert recorder.sinks == (sink,)


async def test_who_watches_sees_records_that_no_sink_wants():
    recorder, hub = watched()
    assert recorder.record(RecordKind.RECEPTION, make_message(), reply=OK) is None
    reader = everything(hub)
    recorder.record(RecordKind.DELIVERY, make_message(), reply=OK)
    recorder.record(RecordKind.BOUNCE, make_message(flags=FLAG_LOG_RECORD), reply=OK)

    kinds = [(await reader.next()).record.kind for _ in range(2)]

    assert kinds == [RecordKind.DELIVERY, RecordKind.BOUNCE]


async def test_a_record_shows_the_metadata_that_log_files_have_and_no_headers():
    loads = []
    recorder, hub = watched(ListSink(selection=make_selection(["tenant"], ["X-A"])))
    recorder.load_headers = loads.append
    reader = everything(hub)

    recorder.record(RecordKind.DELIVERY, make_message(), reply=OK)

    record = (await reader.next()).record
    assert (record.meta, record.headers) == ({"tenant": "t"}, {})


def test_metadata_is_what_any_sink_selects():
    joined = metadata_of(
        [make_selection(["a", "x_*"], ["Subject"]), make_selection(["b", "a", "x_*"], ["X-*"])]
    )

    assert joined == make_selection(["a", "b", "x_*"])


async def test_it_makes_nobody_wait(monkeypatch):
    monkeypatch.setattr("engine.base.event_hub.EVENTS_MAX", 2)
    recorder, hub = watched()
    reader = everything(hub)
    for _ in range(5):
        recorder.record(RecordKind.DELIVERY, make_message(), reply=OK)

    assert not recorder.must_wait
    await recorder.wait_capacity()
    got = [await reader.next() for _ in range(3)]
    assert got[2] == 3
    assert msgspec.json.decode(got[0].line)["type"] == "Delivery"
