"""The waiting messages of one queue name."""

from types import SimpleNamespace

from engine.model.message_mark import bits_of, mark_of
from engine.model.queue_name import parse_queue_name
from engine.schedule.scheduled_queue import STALE_MAX, ScheduledQueue
from engine.schedule.timer_wheel import Waiting


def queue(name="t@d.test"):
    return ScheduledQueue(name, parse_queue_name(name), 0.0)


def entry(key, owner, due_mono=1.0):
    return Waiting(key, due_mono, owner)


def test_knows_what_was_added_until_it_is_discarded():
    one = queue()
    first = entry(b"a", one)
    one.add(first)
    assert one.knows(first)
    assert len(one) == 1

    one.discard(first)

    assert not one.knows(first)
    assert len(one) == 0


def test_an_entry_in_place_of_another_is_another():
    one = queue()
    first, second = entry(b"a", one), entry(b"a", one, 2.0)
    one.add(first)
    one.add(second)
    one.discard(first)

    assert not one.knows(first)
    assert one.knows(second)


def test_the_head_is_the_first_that_still_waits():
    one = queue()
    entries = [entry(key, one) for key in (b"a", b"b", b"c")]
    for each in entries:
        one.add(each)
        one.backlog.append(each)
    one.discard(entries[0])
    one.discard(entries[1])

    assert one.head() is entries[2]
    assert list(one.backlog) == [entries[2]]


def test_an_empty_backlog_has_no_head():
    one = queue()
    stale = entry(b"a", one)
    one.backlog.append(stale)

    assert one.head() is None
    assert not one.backlog


def test_mail_is_routed_by_the_routing_domain():
    assert queue("t@d.test").domain == "d.test"
    assert queue("t@d.test!via.test").domain == "via.test"


def test_what_is_held_is_so_until_it_leaves_or_all_is_released():
    one = queue()
    first, second = entry(b"a", one), entry(b"b", one)
    one.hold(first)
    one.hold(second)
    one.discard(first)

    assert list(one.held) == [b"b"]
    assert one.release() == [second]
    assert (one.held, one.knows(second)) == ({}, True)


def test_the_sum_of_marks_is_forgotten_with_the_last_message():
    one = queue()
    first = Waiting(b"a", 1.0, one, 0, mark_of("s@x.test", ["r@a.test"]))
    one.add(first)
    assert one.marks & bits_of(first.mark)[0]

    one.discard(first)

    assert one.marks == 0


def test_a_backlog_that_cannot_go_on_keeps_no_more_stale_entries_than_it_has_messages():
    one = queue()
    for _ in range(5):
        entries = [entry(bytes([number % 256, number // 256]), one) for number in range(1000)]
        for each in entries:
            one.discard(one.entries.get(each.spool_id, each))
            one.add(each)
            one.append(each)

    assert len(one.backlog) <= 2 * 1000 + STALE_MAX + 1
    assert [each for each in one.backlog if one.knows(each)] == entries


def test_what_was_asked_about_a_message_is_forgotten_with_its_entry():
    one = queue()
    first = entry(b"a", one)
    one.add(first)
    one.asked = SimpleNamespace(message=SimpleNamespace(spool_id=b"a"))

    one.discard(entry(b"b", one))
    assert one.asked is not None
    one.discard(first)

    assert one.asked is None
