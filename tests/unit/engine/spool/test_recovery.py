"""What the spool held goes back in slices; what is damaged stops nothing."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.base.clock import Clock, loop_clock
from engine.model.message import decode_envelope, encode_envelope
from engine.spool.recovery import SLICE_S, Recovery
from engine.spool.spool_store import DamagedEntry, StoredMessage
from tests.fakes.faulty_disk import make_message


def entries(count: int) -> list[StoredMessage]:
    made = []
    for _ in range(count):
        message = make_message()
        envelope = decode_envelope(encode_envelope(message, 0.0))
        made.append(StoredMessage(message.spool_id, envelope))
    return made


def recovery(found, reinsert, report=lambda entry: None, clock=None) -> Recovery:
    clock = clock or loop_clock(asyncio.get_running_loop())
    return Recovery(iter(found), clock, reinsert, report)


async def test_every_message_goes_back_in_order():
    found, back = entries(5), []
    run = recovery(found, back.append)
    await run.run()
    assert back == found
    assert (run.found, run.damaged, run.is_done) == (5, 0, True)


async def test_a_handler_is_waited_for_before_the_next_message():
    found, order = entries(2), []

    async def reinsert(entry):
        order.append("began")
        await asyncio.sleep(1)
        order.append("ended")

    await recovery(found, reinsert).run()
    assert order == ["began", "ended"] * 2


async def test_a_damaged_entry_is_reported_and_the_others_go_back():
    first, last = entries(2)
    damaged = DamagedEntry(b"x" * 16, "unreadable")
    back, reported = [], []
    run = recovery([first, damaged, last], back.append, reported.append)
    await run.run()
    assert (back, reported) == ([first, last], [damaged])
    assert (run.found, run.damaged) == (2, 1)


@pytest.mark.parametrize("is_late", [False, True])
async def test_an_entry_that_cannot_be_put_back_stops_no_other(is_late, caplog):
    found, back = entries(3), []

    async def fail_late():
        raise ValueError("a schedule that makes no sense")

    def reinsert(entry):
        if entry is found[1]:
            if is_late:
                return fail_late()
            raise ValueError("a schedule that makes no sense")
        back.append(entry)
        return None

    run = recovery(found, reinsert)
    await run.run()

    assert back == [found[0], found[2]]
    assert run.is_done
    assert found[1].spool_id.hex() in caplog.text


async def test_a_report_that_fails_stops_no_message(caplog):
    (message,) = entries(1)
    back = []

    def report(entry):
        raise OSError("no space")

    await recovery([DamagedEntry(b"", "x"), message], back.append, report).run()
    assert back == [message]


@pytest.mark.real_time
async def test_the_loop_gets_its_turn_every_slice():
    # CPU time: another process that has the core is not what holds the loop.
    longest_s, last = 0.0, time.thread_time()

    def reinsert(entry):
        until = time.monotonic() + 0.001
        while time.monotonic() < until:
            pass

    task = asyncio.ensure_future(recovery(entries(60), reinsert, clock=Clock()).run())
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
        longest_s, last = max(longest_s, time.thread_time() - last), time.thread_time()
    assert turns >= 8
    assert longest_s < SLICE_S * 4


@pytest.mark.parametrize("end", ["done", "cancelled"])
async def test_the_iterator_is_let_go_at_the_end(end):
    is_open = False

    def walk():
        nonlocal is_open
        is_open = True
        try:
            yield from entries(3)
        finally:
            is_open = False

    async def reinsert(entry):
        await asyncio.sleep(10)

    run = Recovery(walk(), loop_clock(asyncio.get_running_loop()), reinsert, lambda entry: None)
    task = asyncio.ensure_future(run.run())
    await asyncio.sleep(5)
    assert is_open
    if end == "cancelled":
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not is_open
    assert run.is_done == (end == "done")
