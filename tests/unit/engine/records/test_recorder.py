"""The single exit: one record, every sink, nothing that stops a producer."""

from __future__ import annotations

import time

import msgspec

from engine.base.clock import Clock
from engine.model.circumstances import Circumstances
from engine.model.log_record import RecordKind, SourceAddress, encode_record
from engine.model.message import FLAG_LOG_RECORD, Message, new_spool_id
from engine.model.reply import make_reply
from engine.records.record_selection import make_selection
from engine.records.recorder import HookSink, Recorder

OK = make_reply(250, "2.0.0 ok\nsecond line")


class ListSink:
    is_hook = False
    must_wait = False

    def __init__(self, *kinds, selection=None):
        self.kinds = kinds or tuple(RecordKind)
        self.selection = selection or make_selection()
        self.records = []
        self.waited = 0

    def wants(self, kind):
        return kind in self.kinds

    def write(self, record, message):
        self.records.append(record)

    async def wait_capacity(self):
        self.waited += 1
        self.must_wait = False


def make_message(**changes):
    values = {
        "data": b"Subject: hi\r\nX-A: 1\r\nX-A: 2\r\n\r\nbody",
        "size": 40,
        "created_at": 1_700_000_000.5,
        "meta": {"tenant": "t", "campaign": "c", "secret": "s", "reception_protocol": "ESMTP"},
        "attempts": 2,
        **changes,
    }
    message = Message(new_spool_id(), "from@x.example", ["a@y.example", "b@y.example"], **values)
    message.queue_name = "c:t@y.example"
    return message


def make_recorder(*sinks, **options):
    clock = Clock(time.monotonic, lambda: 1_700_000_060.25)
    recorder = Recorder(clock, "node-1", "mta.example", **options)
    for sink in sinks:
        recorder.add_sink(sink)
    return recorder


def test_a_record_tells_what_the_message_and_the_stage_know():
    sink = ListSink()
    message = make_message()

    record = make_recorder(sink).record(
        RecordKind.DELIVERY,
        message,
        reply=OK,
        where=Circumstances(
            ready_queue="ip-1->mx.y.example@smtp_client",
            site_name="mx.y.example",
            egress_source="ip-1",
            peer=("mx.y.example", "127.0.0.9"),
            source_address=SourceAddress("127.0.0.1:4000"),
        ),
        command=".",
        recipients=["a@y.example"],
    )

    assert sink.records == [record]
    assert record.id == message.id
    assert record.recipient == "a@y.example"
    assert record.queue == "c:t@y.example"
    assert record.site == record.ready_queue == "ip-1->mx.y.example@smtp_client"
    assert record.response.content == "ok second line"
    assert record.response.enhanced_code.klass == 2
    assert record.event_time == "2023-11-14T22:14:20.250000Z"
    assert (record.timestamp, record.created) == (1_700_000_060, 1_700_000_000)
    assert record.num_attempts == 2
    assert record.reception_protocol == "ESMTP"
    assert record.source_address.address == "127.0.0.1:4000"
    assert record.meta == {}


def test_without_a_message_the_record_is_about_a_session():
    record = make_recorder(ListSink()).record(
        RecordKind.REJECTION, None, sender="x@y.example", reply=make_reply(550, "5.7.1 no")
    )

    assert (record.id, record.recipient, record.size) == ("", "", 0)
    assert record.sender == "x@y.example"


def test_several_recipients_are_a_list():
    record = make_recorder(ListSink()).record(RecordKind.RECEPTION, make_message(), reply=OK)

    assert record.recipient == ["a@y.example", "b@y.example"]


def test_each_sink_gets_its_own_selection_of_the_same_record():
    plain = ListSink()
    rich = ListSink(selection=make_selection(["tenant", "c*", "absent"], ["subject", "X-*"]))

    make_recorder(plain, rich).record(RecordKind.BOUNCE, make_message(), reply=OK)

    assert plain.records[0].meta == {}
    assert rich.records[0].meta == {"tenant": "t", "campaign": "c"}
    assert rich.records[0].headers == {"subject": "hi", "X-A": ["1", "2"]}
    assert plain.records[0].record_id == rich.records[0].record_id


def test_headers_of_a_body_on_disk_are_loaded_through_the_port():
    sink = ListSink(selection=make_selection(headers=["Subject"]))
    recorder = make_recorder(sink, load_headers=lambda message: b"Subject: loaded\r\n\r\n")

    recorder.record(RecordKind.BOUNCE, make_message(data=None), reply=OK)

    assert sink.records[0].headers == {"Subject": "loaded"}


def test_a_kind_nobody_wants_is_counted_and_not_built():
    recorder = make_recorder(ListSink(RecordKind.DELIVERY))

    assert recorder.record(RecordKind.BOUNCE, make_message(), reply=OK) is None

    assert recorder.counts[RecordKind.BOUNCE] == 1


def test_a_sink_that_raises_keeps_nobody_from_the_record():
    def broken(record, message):
        raise RuntimeError("sink")

    good = ListSink()
    recorder = make_recorder(HookSink("broken", broken), good)

    recorder.record(RecordKind.BOUNCE, make_message(), reply=OK)

    assert len(good.records) == 1
    assert recorder.sink_errors == 1


def test_a_message_made_from_a_record_reaches_files_but_no_hook():
    hooked = []
    log_sink = ListSink()
    recorder = make_recorder(log_sink, HookSink("h", lambda r, m: hooked.append(r)))

    recorder.record(RecordKind.DELIVERY, make_message(flags=FLAG_LOG_RECORD), reply=OK)

    assert len(log_sink.records) == 1
    assert hooked == []


def test_a_removed_sink_gets_nothing_more():
    sink = ListSink()
    recorder = make_recorder(sink)

    recorder.remove_sink(sink)
    recorder.record(RecordKind.BOUNCE, make_message(), reply=OK)

    assert sink.records == []


async def test_producers_wait_for_the_sink_that_is_full():
    full, free = ListSink(), ListSink()
    full.must_wait = True
    recorder = make_recorder(full, free)

    assert recorder.must_wait
    await recorder.wait_capacity()

    assert not recorder.must_wait
    assert (full.waited, free.waited) == (1, 0)


def test_what_is_not_known_is_null_or_left_out():
    sink = ListSink()
    recorder = make_recorder(sink)

    recorder.record(
        RecordKind.TRANSIENT_FAILURE,
        make_message(),
        reply=OK,
        where=Circumstances(tls=("AES", "TLSv1.3", [])),
    )

    line = msgspec.json.decode(encode_record(sink.records[0]))
    assert (line["egress_source"], line["delivery_protocol"]) == (None, None)
    assert line["tls_cipher"] == "AES"
    assert "tls_peer_subject_name" not in line


def test_traces_are_told_of_what_happens_to_messages_also_where_no_sink_wants_it():
    told = []

    class Spans:
        def note(self, kind, message, reply, where, recipients):
            told.append((kind, message, list(recipients)))

    recorder = make_recorder()
    recorder.spans = Spans()
    message = make_message()

    recorder.record(RecordKind.REJECTION, None, reply=OK)
    recorder.record(RecordKind.RECEPTION, message, reply=OK)
    recorder.record(RecordKind.DELIVERY, message, reply=OK, recipients=["a@y.example"])

    assert told == [
        (RecordKind.RECEPTION, message, ["a@y.example", "b@y.example"]),
        (RecordKind.DELIVERY, message, ["a@y.example"]),
    ]


def test_a_trace_that_cannot_be_made_costs_no_record(caplog):
    class Spans:
        def note(self, *_):
            raise RuntimeError("no span")

    sink = ListSink()
    recorder = make_recorder(sink)
    recorder.spans = Spans()
    recorder.record(RecordKind.RECEPTION, make_message(), reply=OK)

    assert len(sink.records) == 1
    assert recorder.sink_errors == 1
    assert "no span" in caplog.text
