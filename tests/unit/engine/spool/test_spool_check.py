"""Whether a spool is sound: each kind of damage is found, and nothing else is."""

from __future__ import annotations

import pytest

from engine.base.clock import Clock
from engine.model.message import FLAG_SHARED_BODY, encode_envelope
from engine.spool.spool_check import FindingKind, SpoolCheck
from engine.spool.spool_reader import SpoolReader
from tests.fakes.stored_mail import BODY, change, damage, mail, shared, store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool"


def findings(path):
    with SpoolReader(path) as reader:
        return list(SpoolCheck(reader, lambda check: None).run())


def kinds(path):
    return [one.kind for one in findings(path)]


def only(path):
    (found,) = findings(path)
    return found.kind, found.id, found.text


def envelope(message, **changes):
    for name, value in changes.items():
        setattr(message, name, value)
    return encode_envelope(message, Clock().wall())


@pytest.mark.parametrize("flush", [False, True])
def test_a_sound_spool_has_no_finding(path, flush):
    one = mail(0)
    own = mail(1)
    own.body_id = mail(2).spool_id
    store(path, [one], shared(3, "a@a.test", "b@b.test", "c@c.test"), [own], flush=flush)
    change(path, {b"probe": b""})

    with SpoolReader(path) as reader:
        told = []
        check = SpoolCheck(reader, lambda at: told.append(at.messages + at.bodies))
        assert list(check.run()) == []

    assert (check.messages, check.bodies, check.octets) == (5, 3, 3 * len(BODY))
    assert told == [1, 2, 3, 4, 5, 6, 7, 8]


def test_an_empty_spool_is_sound(path):
    store(path)
    assert findings(path) == []


def test_a_missing_body_is_found(path):
    message = mail(0)
    store(path, [message], [mail(1)])
    change(path, {b"b" + message.body_id: None})

    kind, spool_id, text = only(path)
    assert (kind, spool_id) == (FindingKind.MISSING_BODY, message.id)
    assert "missing" in text


def test_a_missing_body_is_told_of_a_message_that_uses_it(path):
    message = mail(0)
    message.body_id = mail(1).spool_id
    store(path, [message])
    change(path, {b"b" + message.body_id: None})

    kind, spool_id, text = only(path)
    assert (kind, spool_id) == (FindingKind.MISSING_BODY, message.id)
    assert message.body_id.hex() in text


def test_a_body_of_the_wrong_size_is_found(path):
    message = mail(0)
    store(path, [message])
    change(path, {b"b" + message.body_id: BODY[:-4]})

    kind, spool_id, text = only(path)
    assert (kind, spool_id) == (FindingKind.WRONG_SIZE, message.id)
    assert text == f"{len(BODY)} octets of content by its envelope, {len(BODY) - 4} are stored"


def test_an_envelope_that_does_not_count_what_stands_in_front_is_sound(path):
    store(path, [mail(0, size=len(BODY))])

    assert findings(path) == []


def test_envelopes_that_share_a_body_have_to_agree_on_its_size(path):
    messages = shared(0, "a@a.test", "b@b.test")
    store(path, messages)
    change(path, {b"m" + messages[1].spool_id: envelope(messages[1], size=messages[1].size + 7)})

    kind, spool_id, text = only(path)
    assert (kind, spool_id) == (FindingKind.WRONG_SIZE, messages[1].id)
    assert "by another" in text


def test_an_orphan_is_found(path):
    store(path, [mail(0)])
    orphan = mail(1)
    change(path, {b"b" + orphan.body_id: b"x" * 10})

    assert only(path) == (FindingKind.ORPHAN_BODY, orphan.id, "10 octets belong to no message")


def test_an_envelope_that_does_not_decode_is_found_and_its_body_is_no_orphan(path):
    message = mail(0)
    store(path, [message])
    change(path, {b"m" + message.spool_id: b"no envelope"})

    kind, spool_id, text = only(path)
    assert (kind, spool_id) == (FindingKind.DAMAGED_ENVELOPE, message.id)
    assert "damaged envelope" in text


@pytest.mark.parametrize("is_readable", [False, True])
def test_what_was_set_aside_is_told_and_its_body_is_no_orphan(path, is_readable):
    message = mail(0)
    message.body_id = mail(1).spool_id if is_readable else message.body_id
    store(path, [message])
    raw = envelope(message) if is_readable else b"no envelope"
    change(path, {b"m" + message.spool_id: None, b"q" + message.spool_id: raw})

    kind, spool_id, text = only(path)
    assert (kind, spool_id) == (FindingKind.SET_ASIDE, message.id)
    assert ("can be read" in text) is is_readable


def test_a_message_for_nobody_is_found(path):
    message = mail(0, [])
    store(path, [message])

    assert only(path)[:2] == (FindingKind.NO_RECIPIENT, message.id)


def test_a_reference_that_is_missing_and_one_that_is_left_over_are_found(path):
    messages = shared(0, "a@a.test", "b@b.test")
    store(path, messages)
    body_id, gone = messages[0].body_id, mail(5)
    change(path, {b"r" + body_id + messages[1].spool_id: None, b"r" + body_id + gone.spool_id: b""})

    assert [(one.kind, one.id) for one in findings(path)] == [
        (FindingKind.STALE_REFERENCE, gone.id),
        (FindingKind.MISSING_REFERENCE, messages[1].id),
    ]


def test_a_reference_of_a_message_that_cannot_be_asked_is_not_left_over(path):
    messages = shared(0, "a@a.test", "b@b.test")
    store(path, messages)
    change(path, {b"m" + messages[1].spool_id: b"no envelope"})

    assert kinds(path) == [FindingKind.DAMAGED_ENVELOPE]
    assert messages[0].flags & FLAG_SHARED_BODY


@pytest.mark.parametrize("key", [b"a", b"bshort", b"cc", b"qlonger than any id is", b"r", b"zz"])
def test_a_key_that_the_spool_does_not_write_is_found(path, key):
    store(path, shared(0, "a@a.test", "b@b.test"))
    change(path, {key: b"what is this"})

    assert only(path)[:2] == (FindingKind.STRANGE_KEY, key.hex())


def test_a_message_with_a_key_that_is_no_id_is_found(path):
    store(path, [mail(0)])
    change(path, {b"mine": b"what is this"})

    assert only(path)[:2] == (FindingKind.DAMAGED_ENVELOPE, b"ine".hex())


def test_a_damaged_block_of_bodies_is_told_of_each_message_in_it(path):
    messages = [mail(number, data=b"%06d" % number + b"x" * 3000) for number in range(30)]
    store(path, messages, flush=True)
    damage(path, b"000011x")

    found = findings(path)

    assert {one.kind for one in found} == {FindingKind.DAMAGED_BODY}
    assert messages[11].id in [one.id for one in found]
    assert found[-1].id == "" and "may not have been found" in found[-1].text
    assert len(found) < 6


def test_a_damaged_block_of_envelopes_makes_nobody_an_orphan(path):
    messages = [mail(number, meta={"filler": "x" * 2000}) for number in range(20)]
    store(path, messages, flush=True)
    damage(path, b"sender-7@x.test")

    assert kinds(path) == [FindingKind.DAMAGED_ENVELOPE]


def test_damaged_references_are_told(path):
    messages = shared(0, *(f"user-{number}@a.test" for number in range(600)))
    store(path, messages, flush=True)
    damage(path, b"r" + messages[0].body_id + messages[0].spool_id)

    assert FindingKind.DAMAGED_REFERENCE in kinds(path)
    assert FindingKind.MISSING_REFERENCE not in kinds(path)
