"""A message's identity and its stored form."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.message import (
    FLAG_8BIT,
    REPLY_CHARS,
    HoldNote,
    Message,
    decode_envelope,
    encode_envelope,
    message_from,
    new_spool_id,
)
from engine.model.schedule_window import parse_schedule

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def make(**changes) -> Message:
    values = {"data": b"x", "size": 1, "created_at": 5.0, **changes}
    return Message(new_spool_id(), "a@x.test", ["b@y.test"], **values)


def test_ids_are_uuids_of_version_seven_and_unique():
    ids = [new_spool_id() for _ in range(5000)]

    assert len(set(ids)) == len(ids)
    assert all(len(one) == 16 and one[6] >> 4 == 7 and one[8] >> 6 == 2 for one in ids)


def test_ids_sort_by_creation():
    early, late = new_spool_id(1_000_000_000_000), new_spool_id(1_000_002_000_000)

    assert early < late


def test_a_message_is_its_own_body_unless_it_shares_one():
    alone = make()
    shared = make(body_id=alone.spool_id)

    assert alone.body_id == alone.spool_id
    assert shared.body_id == alone.spool_id
    assert alone.id == alone.spool_id.hex()
    assert alone.meta == {} and alone.meta is not shared.meta


@given(
    st.dictionaries(st.text(max_size=5), plain, max_size=4),
    st.lists(st.text(max_size=20), max_size=4),
    st.binary(max_size=30),
)
def test_what_is_stored_comes_back(meta, recipients, prefix):
    message = make(meta=meta, attempts=3, flags=FLAG_8BIT, prefix=prefix)
    message.recipients = recipients

    stored = decode_envelope(encode_envelope(message, 77.5))
    back = message_from(message.spool_id, stored, 12.0)

    assert stored.due_at == 77.5
    for name in (
        "spool_id",
        "sender",
        "recipients",
        "meta",
        "size",
        "created_at",
        "attempts",
        "flags",
        "prefix",
        "body_id",
    ):
        assert getattr(back, name) == getattr(message, name), name
    assert (back.data, back.due_mono) == (None, 12.0)


def test_a_schedule_comes_back():
    message = make(schedule=parse_schedule({"first_attempt": "2030-01-01T00:00:00Z"}))

    back = message_from(message.spool_id, decode_envelope(encode_envelope(message, 0.0)), 0.0)

    assert back.schedule == message.schedule


def test_an_entry_without_the_newest_fields_still_reads():
    raw = msgspec.msgpack.encode([1, "a@x.test", ["b@y.test"], {}, 1.0, 2.0, 0, b"i" * 16, 10, 0])

    stored = decode_envelope(raw)

    assert (stored.prefix, stored.schedule) == (b"", None)


@given(st.binary(max_size=60))
def test_damage_is_a_value_error(raw):
    with pytest.raises(ValueError):
        decode_envelope(raw)


@given(st.integers(0, 200))
def test_a_cut_entry_is_a_value_error(cut):
    raw = encode_envelope(make(meta={"k": "v" * 50}), 1.0)
    if cut < len(raw):
        with pytest.raises(ValueError):
            decode_envelope(raw[:cut])


def test_an_unknown_version_is_named():
    raw = msgspec.msgpack.encode([9, "", [], {}, 1.0, 2.0, 0, b"", 1, 0])

    with pytest.raises(ValueError, match="version 9"):
        decode_envelope(raw)


def test_what_is_noted_of_a_message_is_stored_with_it():
    message = Message(new_spool_id(), "s@x.test", ["r@y.test"], data=b"", size=0, created_at=1.0)
    assert decode_envelope(encode_envelope(message, 2.0)).notes is None

    message.note_reply("451 later" * 100, 3.0, "s->mx@smtp_client")
    message.note_hold(HoldNote("ann", "evidence", 4.0, 5.0))
    stored = decode_envelope(encode_envelope(message, 2.0))
    back = message_from(message.spool_id, stored, 0.0)

    assert back.hold == HoldNote("ann", "evidence", 4.0, 5.0)
    assert back.notes.reply == ("451 later" * 100)[:REPLY_CHARS]
    back.note_reply("452 full", 6.0, "q")
    assert back.hold is not None
    back.note_hold(None)
    assert (back.hold, back.notes.reply) == (None, "452 full")


def test_a_hold_that_was_never_there_is_nothing_to_note():
    message = Message(new_spool_id(), "", [], data=b"", size=0, created_at=1.0)
    message.note_hold(None)

    assert message.notes is None
