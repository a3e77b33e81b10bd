"""The bounded queue of mail that may go now."""

import asyncio

import pytest

from engine.model.egress import make_egress_path, make_egress_source
from engine.model.insert_reason import InsertReason
from engine.model.message import Message, new_spool_id
from engine.ready.ready_queue import (
    CALLED_A_TURN,
    CALLED_AT_ONCE,
    FAILURE_PAUSE_MAX_S,
    SLOT_RETRY_S,
    ReadyQueue,
    ideal_sessions,
)
from engine.ready.slot_line import SlotLine
from engine.throttle.lease import MemoryLeases

REASON = InsertReason.MESSAGE_RATE_THROTTLE


class Node:
    """The ports of a ready queue; its dispatchers wait for messages until they are told to end."""

    def __init__(self):
        self.leases = MemoryLeases(asyncio.get_running_loop().time)
        self.line = SlotLine(self.leases)
        self.suspended = set()
        self.delivering = True
        self.requeued = []
        self.examined_away = set()
        self.failed = []
        self.taken = []
        self.tasks = []
        self.idle_s = 5.0
        self.go = asyncio.Event()

    def queue(self, name="s1->d", **path):
        return ReadyQueue(
            name,
            site_name="d",
            source=make_egress_source(name="s1"),
            path=make_egress_path(**path),
            route=None,
            routing_domain="d",
            protocol=None,
            ports=self,
            slot_line=self.line,
            now_mono=asyncio.get_running_loop().time(),
        )

    def requeue(self, message, reason, delay_s):
        self.requeued.append((message, reason, delay_s))

    def may_deliver(self):
        return self.delivering

    def is_suspended(self, name, _source):
        return name in self.suspended

    def examine(self, message):
        return message not in self.examined_away

    def start_dispatcher(self, queue):
        task = asyncio.ensure_future(self._dispatch(queue))
        self.tasks.append(task)
        return task

    async def _dispatch(self, queue):
        await self.go.wait()
        while (message := await queue.wait_message(self.idle_s)) is not None:
            self.taken.append(message)
            await asyncio.sleep(0)

    def report_failures(self, queue):
        self.failed.append(queue)


@pytest.fixture
async def node():
    made = Node()
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.sleep(0)


def message():
    return Message(new_spool_id(), "", ["r@d"], data=b"x", size=1, created_at=0.0)


def fill(queue, count):
    for _ in range(count):
        queue.push(message())


# -- sessions


@pytest.mark.parametrize(
    ("messages", "limit", "sessions"),
    [(0, 32, 0), (1, 32, 1), (2, 32, 2), (10, 32, 7), (50, 32, 22), (1000, 32, 32), (1000, 1, 1)],
)
def test_the_number_of_sessions_follows_the_number_of_messages(messages, limit, sessions):
    assert ideal_sessions(messages, limit) == sessions


async def test_mail_starts_sessions_up_to_the_limit(node):
    queue = node.queue(connection_limit=3)
    fill(queue, 200)

    assert len(queue.dispatchers) == 3
    assert node.leases.count("connection_limit.s1->d") == 3


async def test_a_limit_shared_with_others_is_kept(node):
    queues = [
        node.queue(f"s{number}->d", additional_connection_limits={"all": 2}) for number in range(3)
    ]
    for queue in queues:
        fill(queue, 50)

    assert sum(len(queue.dispatchers) for queue in queues) == 2
    assert queues[2].limited_by == "all"


async def test_a_shared_limit_starves_no_queue(node):
    first = node.queue("a->d", additional_connection_limits={"all": 1})
    second = node.queue("b->d", additional_connection_limits={"all": 1})
    fill(first, 50)
    fill(second, 50)
    for _ in range(4):
        for task in [*first.dispatchers, *second.dispatchers]:
            task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)

    assert [len(node.tasks), len(first.dispatchers), len(second.dispatchers)] == [5, 1, 0]
    # They took turns: the second had two of the four that followed.
    assert second.limited_by == "all"


async def test_slots_are_free_after_the_last_session(node):
    queue = node.queue(connection_limit=2)
    fill(queue, 50)
    node.go.set()
    await asyncio.sleep(10)

    assert len(node.taken) == 50
    assert not queue.dispatchers
    assert node.leases.count("connection_limit.s1->d") == 0


async def test_a_session_that_ends_with_mail_left_is_followed_by_another(node):
    queue = node.queue(connection_limit=1)
    fill(queue, 5)
    node.tasks[0].cancel()
    await asyncio.sleep(0.01)

    assert len(node.tasks) == 2
    assert len(queue.messages) == 5


async def test_sessions_that_could_not_be_started_leave_no_slot_taken_and_are_tried_again(node):
    queue = node.queue(connection_limit=1)
    start, node.start_dispatcher = node.start_dispatcher, None
    queue.push(message())
    assert node.leases.count("connection_limit.s1->d") == 0
    node.start_dispatcher = start
    await asyncio.sleep(SLOT_RETRY_S + 0.1)

    assert len(queue.dispatchers) == 1


async def test_a_slot_whose_lease_ran_out_is_found_without_a_release(node):
    queue = node.queue(connection_limit=1)
    node.leases.acquire_nowait("connection_limit.s1->d", 1, 60.0)
    queue.push(message())
    assert not queue.dispatchers
    await asyncio.sleep(60 + SLOT_RETRY_S)

    assert len(queue.dispatchers) == 1


async def test_a_slow_session_takes_its_lost_slot_anew(node):
    queue = node.queue(connection_limit=1)
    queue.push(message())
    (task,) = queue.dispatchers
    await asyncio.sleep(queue.path.lease_s + 1)
    other = node.leases.acquire_nowait("connection_limit.s1->d", 1, 5.0)
    assert other is not None
    queue.renew_slots(task)
    assert node.leases.count("connection_limit.s1->d") == 1
    other.release()

    queue.renew_slots(task)

    assert node.leases.acquire_nowait("connection_limit.s1->d", 1, 5.0) is None


async def test_connection_failures_pause_the_next_session_a_little_longer_each_time(node):
    queue = node.queue(connection_limit=1)
    queue.connect_failed()
    queue.push(message())
    assert not queue.dispatchers
    await asyncio.sleep(0.1)
    assert len(queue.dispatchers) == 1

    for _ in range(20):
        queue.connect_failed()

    pause_s = queue.paused_until_mono - asyncio.get_running_loop().time()
    assert pause_s == pytest.approx(FAILURE_PAUSE_MAX_S, abs=0.1)


async def test_too_many_failures_in_a_row_defer_the_whole_queue(node):
    queue = node.queue(consecutive_connection_failures_before_delay=3)
    for _ in range(3):
        queue.connect_failed()
    assert node.failed == []
    queue.connect_failed()

    assert node.failed == [queue]


async def test_a_session_in_between_makes_failures_count_anew(node):
    queue = node.queue(consecutive_connection_failures_before_delay=3)
    for _ in range(3):
        queue.connect_failed()
    queue.connected()
    queue.connect_failed()

    assert node.failed == []


# -- taking


async def test_messages_are_taken_in_order_and_those_that_may_not_go_are_passed_over(node):
    queue = node.queue(connection_limit=1)
    fill(queue, 3)
    first, second, third = queue.messages
    node.examined_away.add(second)

    assert [queue.take_nowait() for _ in range(3)] == [first, third, None]


async def test_a_message_that_cannot_be_judged_goes_back_and_the_next_is_taken(node):
    queue = node.queue(connection_limit=1)
    fill(queue, 2)
    first, second = queue.messages
    node.examine = lambda one: one is second or 1 / 0

    assert queue.take_nowait() is second
    assert [one for one, _, _ in node.requeued] == [first]


async def test_an_idle_session_gets_the_next_message(node):
    queue = node.queue(connection_limit=1)
    queue.push(message())
    node.go.set()
    await asyncio.sleep(2)
    queue.push(message())
    await asyncio.sleep(0.01)

    assert len(node.taken) == 2
    assert len(node.tasks) == 1


async def test_an_idle_session_ends_after_its_time(node):
    queue = node.queue()
    queue.push(message())
    node.go.set()
    await asyncio.sleep(node.idle_s + 0.1)

    assert not queue.dispatchers


async def test_a_session_that_is_cancelled_when_it_is_woken_strands_nothing(node):
    queue = node.queue(connection_limit=1)
    queue.push(message())
    node.go.set()
    await asyncio.sleep(1)
    queue.push(message())
    node.tasks[0].cancel()
    await asyncio.sleep(0.1)

    assert len(node.taken) == 2


async def test_idle_sessions_of_a_suspended_queue_end(node):
    queue = node.queue()
    queue.push(message())
    node.go.set()
    await asyncio.sleep(1)
    node.suspended.add(queue.name)
    queue.wake_all()
    await asyncio.sleep(0.01)

    assert not queue.dispatchers


@pytest.mark.parametrize("why", ["suspended", "spool", "retired"])
async def test_nothing_starts_while_nothing_may_work(node, why):
    queue = node.queue()
    if why == "suspended":
        node.suspended.add(queue.name)
    elif why == "spool":
        node.delivering = False
    else:
        queue.retire()
    queue.push(message())

    assert not queue.dispatchers
    assert await queue.wait_message(1.0) is None


async def test_work_goes_on_when_the_suspension_is_over(node):
    queue = node.queue()
    node.suspended.add(queue.name)
    queue.push(message())
    node.suspended.clear()
    queue.maintain()

    assert len(queue.dispatchers) == 1


# -- room


class Room:
    """Those that wait for room; some no longer do when they are called."""

    def __init__(self, queue, names, useless=()):
        self.called = []
        self.useless = useless
        for name in names:
            queue.waiters[name] = self.call

    def call(self, name):
        self.called.append(name)
        return name not in self.useless


async def test_those_that_wait_are_called_when_a_quarter_is_free(node):
    queue = node.queue(max_ready=8, connection_limit=1)
    fill(queue, 8)
    room = Room(queue, "ab")
    assert not queue.has_room
    queue.take_nowait()
    assert room.called == []
    queue.take_nowait()

    assert room.called == ["a", "b"]
    assert not queue.waiters


async def test_the_only_place_is_announced_too(node):
    queue = node.queue(max_ready=1)
    fill(queue, 1)
    room = Room(queue, "a")
    queue.take_nowait()

    assert room.called == ["a"]


async def test_a_few_are_called_at_a_time_in_order(node):
    queue = node.queue(max_ready=8, connection_limit=1)
    fill(queue, 8)
    room = Room(queue, range(100))
    queue.take_nowait()
    queue.take_nowait()

    assert room.called == list(range(CALLED_AT_ONCE))


async def test_those_that_no_longer_wait_count_for_nothing(node):
    queue = node.queue(max_ready=8, connection_limit=1)
    fill(queue, 8)
    room = Room(queue, range(30), useless=range(20))
    queue.take_nowait()
    queue.take_nowait()

    assert room.called[-1] == 19 + CALLED_AT_ONCE


async def test_all_are_called_when_nothing_is_left(node):
    queue = node.queue(max_ready=2, connection_limit=1)
    fill(queue, 2)
    room = Room(queue, range(100))
    queue.take_nowait()
    queue.take_nowait()
    await asyncio.sleep(0.01)

    assert room.called == list(range(100))


async def test_all_are_called_when_the_messages_went_back(node):
    queue = node.queue(max_ready=20, connection_limit=1)
    fill(queue, 20)
    room = Room(queue, range(100))
    queue.return_all(REASON, 30.0)
    await asyncio.sleep(0.01)

    assert room.called == list(range(100))


async def test_of_thousands_that_wait_some_are_called_in_each_turn(node):
    queue = node.queue(max_ready=20, connection_limit=1)
    fill(queue, 20)
    room = Room(queue, range(5000), useless=range(4000))
    queue.return_all(REASON, 30.0)
    before, most = 0, 0
    while queue.waiters:
        most = max(most, len(room.called) - before)
        before = len(room.called)
        await asyncio.sleep(0)

    assert most == CALLED_A_TURN


async def test_nobody_is_called_any_more_once_there_is_no_room(node):
    queue = node.queue(max_ready=2, connection_limit=1)
    fill(queue, 2)
    room = Room(queue, range(1000))
    queue.return_all(REASON, 30.0)
    fill(queue, 2)
    await asyncio.sleep(0.01)

    assert len(room.called) <= 2 * CALLED_A_TURN


async def test_a_higher_limit_is_announced(node):
    queue = node.queue(max_ready=2, connection_limit=1)
    fill(queue, 2)
    room = Room(queue, "a")
    queue.set_path(make_egress_path(max_ready=3), queue.source)

    assert room.called == ["a"]


# -- giving back


async def test_every_message_is_given_back_with_reason_and_delay(node):
    queue = node.queue(connection_limit=1)
    fill(queue, 3)
    messages = list(queue.messages)
    queue.return_all(REASON, 30.0)

    assert node.requeued == [(one, REASON, 30.0) for one in messages]
    assert not queue.messages


async def test_what_could_not_be_given_back_stays(node):
    queue = node.queue(connection_limit=1)
    fill(queue, 3)
    messages = list(queue.messages)

    def broken(message, reason, delay_s):
        if message is messages[1]:
            raise RuntimeError("cannot")
        node.requeued.append(message)

    node.requeue = broken
    with pytest.raises(RuntimeError):
        queue.return_all(REASON, 30.0)

    assert node.requeued == [messages[0]]
    assert list(queue.messages) == messages[1:]


async def test_what_is_beyond_a_lower_limit_goes_back_the_newest_first(node):
    queue = node.queue(max_ready=10, connection_limit=1)
    fill(queue, 10)
    messages = list(queue.messages)
    queue.set_path(make_egress_path(max_ready=4), queue.source)
    queue.shrink()

    assert list(queue.messages) == messages[:4]
    assert {one for one, _, _ in node.requeued} == set(messages[4:])


# -- a lower connection limit


async def test_sessions_that_are_too_many_end_when_the_limit_is_lowered(node):
    queue = node.queue(connection_limit=5)
    fill(queue, 500)
    await asyncio.sleep(0)
    assert len(queue.dispatchers) == 5

    queue.set_path(make_egress_path(connection_limit=2), queue.source)
    node.go.set()
    await asyncio.sleep(0.001)

    assert len(queue.dispatchers) == 2
    assert node.leases.count("connection_limit.s1->d") == 2
    await asyncio.sleep(1)
    assert len(node.taken) == 500
    assert len(node.tasks) == 5


async def test_idle_sessions_that_are_too_many_end_at_once(node):
    node.idle_s = 1000.0
    queue = node.queue(connection_limit=4)
    node.go.set()
    fill(queue, 400)
    await asyncio.sleep(1)
    assert len(queue.dispatchers) == 4

    queue.set_path(make_egress_path(connection_limit=1), queue.source)
    await asyncio.sleep(0.001)

    assert len(queue.dispatchers) == 1


async def test_a_raised_limit_ends_nobody_and_may_be_used_again(node):
    node.idle_s = 1000.0
    queue = node.queue(connection_limit=4)
    node.go.set()
    fill(queue, 400)
    await asyncio.sleep(1)
    queue.set_path(make_egress_path(connection_limit=1), queue.source)
    await asyncio.sleep(0.001)
    queue.set_path(make_egress_path(connection_limit=6), queue.source)
    node.go.clear()
    fill(queue, 500)
    queue.maintain()
    await asyncio.sleep(0.001)

    assert len(queue.dispatchers) == 6


async def test_a_lower_limit_shared_with_others_ends_sessions_too(node):
    node.idle_s = 1000.0
    shared = {"connection_limit": 10, "additional_connection_limits": {"shared": 6}}
    first, second = node.queue("a", **shared), node.queue("b", **shared)
    node.go.set()
    fill(first, 3)
    fill(second, 3)
    fill(first, 400)
    fill(second, 400)
    await asyncio.sleep(1)
    assert node.leases.count("shared") == 6

    lower = {**shared, "additional_connection_limits": {"shared": 2}}
    for queue in (first, second):
        queue.set_path(make_egress_path(**lower), queue.source)
    await asyncio.sleep(0.001)

    assert node.leases.count("shared") == 2


async def test_what_is_wanted_elsewhere_is_pulled_and_makes_room(node):
    queue = node.queue(max_ready=4)
    messages = [message() for _ in range(4)]
    for one in messages:
        queue.push(one)
    called = []
    queue.waiters["waiting"] = lambda key: called.append(key) or True

    pulled = queue.pull(lambda one: one in messages[1:3])

    assert pulled == messages[1:3]
    assert list(queue.messages) == [messages[0], messages[3]]
    assert called == ["waiting"]
    assert queue.pull(lambda _one: False) == []
