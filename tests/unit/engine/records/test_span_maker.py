"""Which spans a message has, what they say, and which messages are traced at all."""

from __future__ import annotations

import pytest

from engine.model.circumstances import NOWHERE, Circumstances
from engine.model.log_record import RecordKind, SourceAddress
from engine.model.message import FLAG_LOG_RECORD, Message, new_spool_id
from engine.model.reply import make_reply
from engine.records import span_maker
from engine.records.span_maker import SpanMaker, find_trace, read_traceparent, sampling_threshold

OK, LATER, NO = (
    make_reply(250, "2.0.0 ok r@y.test"),
    make_reply(451, "4.3.2 later r@y.test"),
    make_reply(550, "5.1.1 who is r@y.test"),
)
TRACE, ABOVE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
EPOCH = 1_700_000_000.0


class World:
    """A node's clock and what its maker made; monotonic instants count from the epoch."""

    def __init__(self, **options):
        self.now = 0.0
        self.spans = []
        self.maker = SpanMaker(
            self.spans.append, lambda: EPOCH + self.now, lambda mono: EPOCH + mono, **options
        )

    def note(self, kind, message, reply=OK, *, at, began=None, **where):
        self.now = at
        self.maker.note(
            kind, message, reply, Circumstances(began_mono=began, **where), ["r@y.test"]
        )

    @property
    def told(self):
        return [(s.name, s.start_at - EPOCH, s.end_at - EPOCH, s.is_error) for s in self.spans]


def make_message(meta=None, **changes):
    message = Message(
        new_spool_id(),
        "from@x.test",
        ["r@y.test"],
        data=b"",
        size=40,
        created_at=EPOCH + 1,
        meta=meta or {},
        **changes,
    )
    message.queue_name = "spring:shop@y.test"
    return message


def test_a_trace_has_the_reception_each_wait_and_each_attempt():
    world, message = World(), make_message()

    world.note(RecordKind.RECEPTION, message, at=2, began=0.5)
    world.note(RecordKind.TRANSIENT_FAILURE, message, LATER, at=6, began=5)
    world.note(RecordKind.DELIVERY, message, at=67, began=66)

    assert world.told == [
        ("receive", 0.5, 2, False),
        ("wait", 2, 5, False),
        ("deliver", 5, 6, True),
        ("wait", 6, 66, False),
        ("deliver", 66, 67, False),
    ]
    root, *children = world.spans
    assert root.parent_id is None
    assert root.kind == "server"
    assert {span.trace_id for span in world.spans} == {message.spool_id}
    assert {span.parent_id for span in children} == {root.span_id}
    assert len({span.span_id for span in world.spans}) == 5
    assert [span.kind for span in children] == ["internal", "client"] * 2


def test_after_a_restart_the_trace_goes_on_where_it_was():
    before, message = World(), make_message()
    before.note(RecordKind.RECEPTION, message, at=2, began=1)
    message.note_reply("451 later", EPOCH + 10, "ready")

    after = World()
    after.note(RecordKind.DELIVERY, message, at=31, began=30)

    assert after.told == [("wait", 10, 30, False), ("deliver", 30, 31, False)]
    assert {span.parent_id for span in after.spans} == {before.spans[0].span_id}
    assert {span.trace_id for span in after.spans} == {before.spans[0].trace_id}


def test_a_message_that_was_transferred_keeps_its_trace():
    first, other = World(), World()
    message = make_message()
    first.note(RecordKind.RECEPTION, message, at=2, began=1)
    there = make_message({"xfer_origin_id": message.id})

    other.note(RecordKind.XFER_IN, there, at=4)
    other.note(RecordKind.DELIVERY, there, at=9, began=8)

    root = first.spans[0]
    assert [span.name for span in other.spans] == ["receive", "wait", "deliver"]
    assert {(span.trace_id, span.parent_id) for span in other.spans} == {
        (root.trace_id, root.span_id)
    }


def test_recipients_with_different_outcomes_have_a_span_each_and_one_wait():
    world, message = World(), make_message()
    world.note(RecordKind.RECEPTION, message, at=2, began=1)
    world.note(RecordKind.DELIVERY, message, at=6, began=5)
    world.note(RecordKind.BOUNCE, message, NO, at=6, began=5)

    assert [one[0] for one in world.told] == ["receive", "wait", "deliver", "deliver"]


def test_what_costs_no_attempt_is_a_point_in_time():
    world, message = World(), make_message()
    world.note(RecordKind.RECEPTION, message, at=2, began=1)
    world.note(RecordKind.DELAYED, message, LATER, at=3)
    world.note(RecordKind.TRANSIENT_FAILURE, message, LATER, at=4)
    world.note(RecordKind.EXPIRATION, message, NO, at=9)

    assert world.told[1:] == [
        ("delayed", 3, 3, False),
        ("wait", 2, 4, False),
        ("deferred", 4, 4, True),
        ("wait", 4, 9, False),
        ("expired", 9, 9, True),
    ]


def test_what_has_no_trace_makes_no_span():
    world = World()
    for kind in (RecordKind.REJECTION, RecordKind.FEEDBACK, RecordKind.OOB):
        world.note(kind, make_message(), at=1)
    world.note(RecordKind.RECEPTION, make_message(flags=FLAG_LOG_RECORD), at=1)

    assert world.spans == []


def test_a_span_says_where_and_what_and_shows_nobody_s_address():
    world, message = World(), make_message({"reception_protocol": "ESMTP"}, attempts=3)
    message.pool = "pool-a"
    world.note(RecordKind.RECEPTION, message, at=2, began=1, peer=("client.test", "192.0.2.1"))
    world.note(
        RecordKind.BOUNCE,
        message,
        NO,
        at=6,
        began=5,
        ready_queue="src->mx.y@smtp_client",
        site_name="mx.y",
        egress_source="src",
        provider_name="provider",
        delivery_protocol="ESMTP",
        session_id="session",
        peer=("mx.y.test", "192.0.2.9"),
        source_address=SourceAddress("192.0.2.2"),
        tls=("AES", "TLSv1.3", []),
    )

    received, _, attempt = (span.attributes for span in world.spans)
    assert received["client.address"] == "client.test"
    assert received["network.protocol.name"] == "esmtp"
    assert attempt == {
        "messaging.system": "smtp",
        "messaging.destination.name": "spring:shop@y.test",
        "messaging.message.id": message.id,
        "messaging.message.body.size": 40,
        "cirrus.tenant": "shop",
        "cirrus.campaign": "spring",
        "cirrus.domain": "y.test",
        "cirrus.disposition": "failed",
        "cirrus.recipient_count": 1,
        "cirrus.attempts": 3,
        "cirrus.reply.code": 550,
        "cirrus.reply.enhanced_code": "5.1.1",
        "cirrus.site": "mx.y",
        "cirrus.ready_queue": "src->mx.y@smtp_client",
        "cirrus.egress_source": "src",
        "cirrus.egress_pool": "pool-a",
        "cirrus.provider": "provider",
        "cirrus.session_id": "session",
        "error.type": "550",
        "network.protocol.name": "esmtp",
        "server.address": "mx.y.test",
        "network.peer.address": "192.0.2.9",
        "network.local.address": "192.0.2.2",
        "tls.cipher": "AES",
        "tls.protocol.version": "TLSv1.3",
    }
    assert "r@y.test" not in str(world.spans)
    assert "from@x.test" not in str(world.spans)


def test_addresses_and_replies_are_shown_where_the_script_asks_for_them():
    world, message = World(addresses=True), make_message()
    world.note(RecordKind.RECEPTION, message, at=2)

    shown = world.spans[0].attributes
    assert shown["cirrus.sender"] == "from@x.test"
    assert shown["cirrus.recipients"] == ["r@y.test"]
    assert shown["cirrus.reply.text"] == "250 2.0.0 ok r@y.test"


def test_the_share_that_is_traced_is_the_share_that_was_asked_for():
    messages = [make_message() for _ in range(4000)]
    for share in (0.0, 0.1, 0.5, 1.0):
        least = sampling_threshold(share)
        traced = [m for m in messages if find_trace(m, least) is not None]
        assert len(traced) == pytest.approx(share * 4000, abs=250)
    # Who is in a small sample is in each larger one: nodes with other shares agree.
    tenth, half = sampling_threshold(0.1), sampling_threshold(0.5)
    assert all(find_trace(m, half) for m in messages if find_trace(m, tenth))


@pytest.mark.parametrize(("flag", "share"), [("01", 0.0), ("00", 1.0)])
def test_the_trace_that_a_script_names_is_taken_with_its_decision(flag, share):
    message = make_message({"traceparent": f"00-{TRACE}-{ABOVE}-{flag}"})
    world = World(sample=share)
    world.note(RecordKind.RECEPTION, message, at=2, began=1)
    world.note(RecordKind.DELIVERY, message, at=4, began=3)

    if flag == "00":
        assert world.spans == []
        return
    root, *children = world.spans
    assert (root.trace_id.hex(), root.parent_id.hex()) == (TRACE, ABOVE)
    assert {span.parent_id for span in children} == {root.span_id}
    assert {span.trace_id.hex() for span in children} == {TRACE}


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "",
        f"ff-{TRACE}-{ABOVE}-01",
        f"00-{TRACE}-{ABOVE}",
        f"00-{'0' * 32}-{ABOVE}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{ABOVE}-01",
        f"00-{TRACE}-{ABOVE}-01\n",
    ],
)
def test_what_is_no_traceparent_is_none(value):
    assert read_traceparent(value) is None


def test_a_later_version_of_the_header_is_read_as_far_as_it_is_known():
    assert read_traceparent(f"01-{TRACE}-{ABOVE}-03-more") == (
        bytes.fromhex(TRACE),
        bytes.fromhex(ABOVE),
        True,
    )


def test_an_origin_that_is_none_is_not_believed():
    message = make_message({"xfer_origin_id": "../../etc"})
    assert find_trace(message, 0).trace_id == message.spool_id


def test_what_is_remembered_of_messages_is_bounded(monkeypatch):
    monkeypatch.setattr(span_maker, "REMEMBERED_MAX", 2)
    world = World()
    first, *others = (make_message() for _ in range(3))
    world.note(RecordKind.RECEPTION, first, at=2)
    for message in others:
        world.note(RecordKind.RECEPTION, message, at=3)
    world.note(RecordKind.DELIVERY, first, at=9, began=8)

    # Forgotten: its wait counts from when it was made, and not from when it was stored.
    assert world.told[-2:] == [("wait", 1, 8, False), ("deliver", 8, 9, False)]


def test_a_clock_that_steps_back_makes_no_span_that_ends_before_it_starts():
    world, message = World(), make_message()
    world.note(RecordKind.RECEPTION, message, at=50, began=49)
    world.note(RecordKind.DELIVERY, message, at=20, began=19)

    assert all(span.start_at <= span.end_at for span in world.spans)
    assert [one[0] for one in world.told] == ["receive", "deliver"]


def test_nowhere_is_no_attempt():
    world, message = World(), make_message()
    world.now = 5
    world.maker.note(RecordKind.BOUNCE, message, NO, NOWHERE, ["r@y.test"])
    assert [span.name for span in world.spans] == ["wait", "failed"]
