"""A message from node to node: each octet, each field, and nothing that is not checked."""

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.message import (
    FLAG_8BIT,
    FLAG_HELD,
    FLAG_LOG_RECORD,
    FLAG_SHARED_BODY,
    FLAG_SMTPUTF8,
    FLAG_WIRE_READY,
    Message,
    SpoolId,
    new_spool_id,
)
from engine.model.transfer_wire import created_of, decode_transfer, encode_head

ID = "0195f00000007000800000000000abcd"


def make(**options):
    values = {"data": b"body", "size": 4, "created_at": 1_800_000_000.5, "meta": {"tenant": "t"}}
    recipients = options.pop("recipients", ["b@y.test"])
    return Message(
        options.pop("spool_id", new_spool_id()), "a@x.test", recipients, **{**values, **options}
    )


def sent(message):
    return encode_head(message, "node-1", message.meta) + message.prefix + message.data


@given(
    data=st.binary(min_size=1),
    prefix=st.binary(max_size=50),
    recipients=st.lists(st.sampled_from(["a@y.test", "b@y.test", "ä@y.test"]), min_size=1),
)
def test_what_is_sent_is_what_is_received(data, prefix, recipients):
    message = make(data=data, prefix=prefix, recipients=recipients, meta={"x": [1, {"ä": None}]})

    got = decode_transfer(sent(message))

    assert (got.prefix, got.data) == (prefix, data)
    assert (got.sender, got.recipients) == ("a@x.test", recipients)
    assert (got.prior_id, got.prior_node) == (message.id, "node-1")
    assert (got.meta, got.created_at) == (message.meta, 1_800_000_000.5)


def test_flags_that_are_about_this_node_stay_here():
    kept = FLAG_8BIT | FLAG_SMTPUTF8 | FLAG_LOG_RECORD | FLAG_WIRE_READY
    message = make(flags=kept | FLAG_HELD | FLAG_SHARED_BODY)
    assert decode_transfer(sent(message)).flags == kept


def test_the_line_has_the_fields_that_other_systems_know():
    line = json.loads(sent(make()).partition(b"\n")[0])
    assert line["recipient"] == "b@y.test"
    several = json.loads(sent(make(recipients=["a@y.test", "b@y.test"])).partition(b"\n")[0])
    assert several["recipient"] == ["a@y.test", "b@y.test"]
    assert line.keys() >= {"id", "sender", "recipient", "meta"}


@pytest.mark.parametrize(("body", "flags"), [(b"ascii\n", 0), (b"\xe4\n", FLAG_8BIT)])
def test_a_line_without_our_fields_is_taken(body, flags):
    made = uuid.uuid1()
    line = {"id": made.hex, "sender": "", "recipient": "b@y.test", "meta": {}, "more": 1}

    got = decode_transfer(json.dumps(line).encode() + b"\n" + body)

    assert (got.data, got.prefix, got.flags, got.prior_node) == (body, b"", flags, "")
    seconds = (made.time - 0x01B21DD213814000) / 1e7
    assert got.created_at == pytest.approx(seconds)


def line(**changes):
    values = {"id": ID, "sender": "a@x.test", "recipient": "b@y.test", "meta": {}, **changes}
    return json.dumps(values).encode() + b"\nbody"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no line",
        b"no json\nbody",
        b"[]\nbody",
        b'{"id": "x"}\nbody',
        b"[" * 100_000 + b"\nbody",
        line()[: -len(b"body")],
        line(id="zz"),
        line(id=ID[:-2]),
        line(id=uuid.UUID(int=5).hex),
        line(recipient=[]),
        line(recipient=""),
        line(recipient=["a@y.test", ""]),
        line(recipient=[5]),
        line(recipient="a@y.test\r\nX: y"),
        line(sender="a\x00@x.test"),
        line(sender=None),
        line(meta=[]),
        line(prefix=-1),
        line(prefix=5),
        line(created=-1),
        line(created=1e300),
        line(created="now"),
        line(flags="x"),
    ],
)
def test_what_is_no_message_is_an_error_of_its_sender(raw):
    with pytest.raises(ValueError, match=r"."):
        decode_transfer(raw)


@given(st.binary(max_size=200))
def test_random_octets_are_nothing_but_an_error(raw):
    with pytest.raises(ValueError, match=r"."):
        decode_transfer(raw)


def test_metadata_that_json_does_not_know_cannot_be_sent():
    with pytest.raises(ValueError, match="metadata"):
        encode_head(make(), "node-1", {"x": object()})
    with pytest.raises(ValueError, match="metadata"):
        encode_head(make(), "node-1", {"x": "\ud800"})


def test_an_id_of_ours_tells_when_it_was_made():
    spool_id = new_spool_id(1_800_000_000_123_000_000)
    assert created_of(SpoolId(spool_id)) == 1_800_000_000.123
