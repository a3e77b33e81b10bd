"""The waiting messages of one queue name."""

from engine.model.queue_name import parse_queue_name
from engine.schedule.scheduled_queue import ScheduledQueue
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
