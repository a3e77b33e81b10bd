"""Records of a running node: shown as they happen, missed rather than in the way."""

from __future__ import annotations

import asyncio
import io
import threading

import pytest

from engine.admin.record_stream import PATH as STREAM_PATH
from engine.base import event_hub
from engine.base.clock import Clock
from engine.cli.errors import NodeAwayError, NodeRefusedError
from engine.model.log_record import RecordKind
from engine.model.record_filter import RecordFilter, compile_filter
from engine.model.reply import make_reply
from engine.tools import tail_node
from engine.tools.record_printer import RecordPrinter
from engine.tools.tail_node import PATH, NodeTail
from tests.fakes.admin_world import operating
from tests.fakes.stream_reader import until

pytestmark = pytest.mark.real_time
REPLY = make_reply(250, "2.0.0 ok")


def happen(world, kind=RecordKind.DELIVERY, recipient="ann@a.test"):
    world.recorder.record(kind, None, reply=REPLY, recipients=[recipient])


class Tail(NodeTail):
    """A tail that prints into memory."""

    def __init__(self, endpoint, limit=1, clock=None, **wanted):
        self.out = io.BytesIO()
        self.told = []
        everything = compile_filter(RecordFilter(), 0.0)
        printer = RecordPrinter(self.out, everything, as_json=True, limit=limit)
        super().__init__(
            endpoint,
            RecordFilter(**wanted),
            printer,
            self.told.append,
            clock=clock or Clock(),
            sleep=lambda seconds: asyncio.sleep(0.01),
        )

    @property
    def shown(self):
        return self.out.getvalue().decode().splitlines()


def test_the_path_is_that_of_the_node():
    assert PATH == STREAM_PATH


async def test_it_shows_the_records_that_are_wanted(tmp_path):
    async with operating(tmp_path) as operator:
        tail = Tail(operator.base, limit=2, type=["Bounce"])
        async with asyncio.TaskGroup() as group:
            running = group.create_task(tail.run())
            await until(lambda: operator.world.tracing.records.is_on)
            happen(operator.world)
            happen(operator.world, RecordKind.BOUNCE, "one@a.test")
            happen(operator.world, RecordKind.BOUNCE, "two@a.test")
            await running

    assert ["one@a.test" in tail.shown[0], "two@a.test" in tail.shown[1]] == [True, True]
    assert (len(tail.shown), tail.told) == (2, [])


async def test_a_node_that_refuses_is_its_answer(tmp_path):
    async with operating(tmp_path, trusted_hosts=[]) as operator:
        tail = Tail(operator.base.replace("//", "//ann:pw@"))

        with pytest.raises(NodeRefusedError, match="the node answers 401"):
            await tail.run()


async def test_a_filter_that_the_node_does_not_take_is_its_answer(tmp_path):
    async with operating(tmp_path) as operator:
        with pytest.raises(NodeRefusedError, match="the node says: code: 550"):
            await Tail(operator.base, code=["nine"]).run()


async def test_what_the_node_could_not_keep_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(event_hub, "EVENTS_MAX", 3)
    async with operating(tmp_path) as operator:
        tail = Tail(operator.base, limit=4)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(tail.run())
            await until(lambda: operator.world.tracing.records.is_on)
            for _ in range(10):
                happen(operator.world)
            await until(lambda: tail.told)
            happen(operator.world)
            await running

    assert tail.told == ["7 records were missed: they came faster than they were read"]


async def test_while_the_output_waits_the_connection_lives_and_what_is_too_much_is_missed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tail_node, "LINES_MAX", 5)
    goes_on = threading.Event()
    async with operating(tmp_path) as operator:
        tail = Tail(operator.base, limit=7)
        write = tail.out.write
        tail._printer._out = Slow(goes_on, write)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(tail.run())
            await until(lambda: operator.world.tracing.records.is_on)
            happen(operator.world)
            await until(lambda: tail._printer._out.is_waiting)
            for _ in range(20):
                happen(operator.world)
            await until(lambda: tail._missed == 15)
            goes_on.set()
            await until(lambda: tail.told)
            happen(operator.world)
            await running

    assert len(tail.shown) == 7
    assert tail.told == ["15 records were missed: they came faster than they were read"]


class Slow:
    """An output whose reader takes nothing until it is told to."""

    def __init__(self, goes_on, write):
        self.goes_on = goes_on
        self.write_on = write
        self.is_waiting = False

    def write(self, text):
        self.is_waiting = True
        self.goes_on.wait(20)
        self.write_on(text)

    def flush(self):
        pass


async def test_an_output_that_is_closed_ends_it(tmp_path):
    class Closed(io.BytesIO):
        def flush(self):
            raise BrokenPipeError

    async with operating(tmp_path) as operator:
        tail = Tail(operator.base, limit=None)
        tail._printer._out = Closed()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(ended_with(tail))
            await until(lambda: operator.world.tracing.records.is_on)
            happen(operator.world)

        assert isinstance(running.result(), BrokenPipeError)


async def ended_with(tail):
    try:
        await tail.run()
    except OSError as error:
        return error


async def test_a_connection_that_ends_is_made_again_and_told(tmp_path):
    async with operating(tmp_path) as operator:
        hub = operator.world.tracing.records
        tail = Tail(operator.base, limit=2)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(tail.run())
            await until(lambda: hub.is_on)
            happen(operator.world)
            await until(lambda: tail.shown)
            for subscription in hub._subscriptions:
                subscription.close()
            await until(lambda: len(tail.told) == 2)
            await until(lambda: hub.is_on)
            happen(operator.world)
            await running

    assert tail.told == [
        "the connection to the node ended; trying again",
        "connected again; what happened meanwhile is not shown",
    ]


async def test_a_node_that_stays_away_is_given_up(tmp_path):
    now = [0.0]

    def mono():
        now[0] += 10.0
        return now[0]

    async with operating(tmp_path) as operator:
        tail = Tail(operator.base, limit=2, clock=Clock(mono))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(given_up(tail))
            await until(lambda: operator.world.tracing.records.is_on)
            await operator.service.stop(1.0)

        assert "no answer of http://127.0.0.1" in running.result()
        assert now[0] >= tail_node.AWAY_S


async def given_up(tail):
    try:
        await tail.run()
    except NodeAwayError as error:
        return error.message


async def test_a_node_that_was_never_there_is_given_up_at_once():
    with pytest.raises(NodeAwayError, match="no answer of http://127.0.0.1:9"):
        await Tail("http://127.0.0.1:9").run()
