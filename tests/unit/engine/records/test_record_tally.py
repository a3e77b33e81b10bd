"""Counts by provider and by reason: bounded, and of the last hour only."""

from __future__ import annotations

import pytest

from engine.model.circumstances import NOWHERE, Circumstances
from engine.model.log_record import RecordKind
from engine.model.message import Message, new_spool_id
from engine.model.reply import make_reply
from engine.records.record_tally import (
    PROVIDERS_MAX,
    REASONS_MAX,
    SLOT_S,
    SLOTS_KEPT,
    TEXT_MAX,
    RecordTally,
)

BUSY = make_reply(451, "4.7.1 greylisted, come back")
GONE = make_reply(550, "5.1.1 no such user")
OK = make_reply(250, "2.0.0 ok")
BIG = Circumstances(site_name="mx.big.test", provider_name="big")


class Time:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def tally(time):
    return RecordTally(time)


def mail(queue: str = "t@a.test") -> Message:
    message = Message(new_spool_id(), "s@x.test", ["r@a.test"], data=b"", size=0, created_at=0.0)
    message.queue_name = queue
    return message


def defer(tally, reply=BUSY, where=BIG, queue="t@a.test"):
    tally.note(RecordKind.TRANSIENT_FAILURE, mail(queue), reply, where)


def test_what_became_of_mail_is_counted_by_provider_until_it_is_taken(tally):
    tally.note(RecordKind.DELIVERY, mail(), OK, BIG)
    tally.note(RecordKind.DELIVERY, mail(), OK, BIG)
    defer(tally)
    tally.note(RecordKind.BOUNCE, mail(), GONE, Circumstances(site_name="mx.b.test"))

    assert tally.take_providers() == {"big": [2, 1, 0], "mx.b.test": [0, 0, 1]}
    assert tally.take_providers() == {}


def test_what_went_nowhere_counts_for_the_domain_of_its_queue(tally):
    defer(tally, where=NOWHERE, queue="camp:t@a.test")

    assert tally.take_providers() == {"a.test": [0, 1, 0]}


def test_receptions_and_rejections_are_nobodys_outcome(tally):
    tally.note(RecordKind.RECEPTION, mail(), OK, NOWHERE)
    tally.note(RecordKind.REJECTION, None, GONE, NOWHERE)
    tally.note(RecordKind.TRANSIENT_FAILURE, None, BUSY, NOWHERE)

    assert tally.take_providers() == {}
    assert tally.reasons(10) == []


def test_reasons_are_the_same_whatever_their_words_and_show_the_latest(tally, time):
    defer(tally, queue="t@a.test")
    time.now += 5
    defer(tally, make_reply(451, "4.7.1 greylisted, id 77"), queue="t@b.test")
    tally.note(RecordKind.BOUNCE, mail(), GONE, BIG)

    first, second = tally.reasons(10)
    assert (first.provider, first.code, str(first.enhanced), first.count) == (
        "big",
        451,
        "4.7.1",
        2,
    )
    assert (first.text, first.queue_name, first.last_mono) == (
        "greylisted, id 77",
        "t@b.test",
        1005.0,
    )
    assert (second.is_permanent, second.code, second.count) == (True, 550, 1)


def test_only_as_many_reasons_are_shown_as_are_wanted(tally):
    for code in (451, 451, 452, 421):
        defer(tally, make_reply(code, "x"))

    assert [one.code for one in tally.reasons(1)] == [451]
    assert tally.reasons(0) == []


def test_a_reason_is_summed_up_over_slots_and_forgotten_after_an_hour(tally, time):
    defer(tally)
    time.now += SLOT_S
    defer(tally)
    assert [one.count for one in tally.reasons(10)] == [2]

    time.now += SLOT_S * SLOTS_KEPT - 1
    assert [one.count for one in tally.reasons(10)] == [2]
    time.now += SLOT_S * 2
    assert tally.reasons(10) == []


def test_a_long_silence_forgets_everything(tally, time):
    defer(tally)
    time.now += 1e7

    assert tally.reasons(10) == []
    defer(tally)
    assert [one.count for one in tally.reasons(10)] == [1]


def test_a_flood_of_strange_sites_does_not_hide_what_is_frequent(tally):
    for number in range(20 * REASONS_MAX):
        defer(tally, where=Circumstances(site_name=f"mx{number}.test"))
        defer(tally)

    first = tally.reasons(1)[0]
    outcomes = tally.take_providers()
    assert (first.provider, first.count) == ("big", 20 * REASONS_MAX)
    assert outcomes["big"] == [0, 20 * REASONS_MAX, 0]
    assert len(outcomes) <= 2 * PROVIDERS_MAX
    assert len(tally.reasons(10_000)) <= 2 * REASONS_MAX


def test_long_names_and_texts_are_cut(tally):
    long = "x" * 10_000
    defer(tally, make_reply(451, long), Circumstances(site_name=long), f"t@{long}")
    defer(tally, make_reply(451, long), Circumstances(site_name=long), f"t@{long}")

    (reason,) = tally.reasons(10)
    assert reason.count == 2
    assert {len(reason.provider), len(reason.text), len(reason.queue_name)} == {TEXT_MAX}
    assert tally.take_providers() == {"x" * TEXT_MAX: [0, 2, 0]}
