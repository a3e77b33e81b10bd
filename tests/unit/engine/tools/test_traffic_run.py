"""A run of the load generator: its pace, its end, and what happens when the server is away."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from engine.base.clock import loop_clock
from engine.tools.sink_options import SinkOptions, SinkReply, Stage
from engine.tools.sink_server import Sink
from engine.tools.traffic_options import TrafficOptions, TrafficProtocol
from engine.tools.traffic_run import MAX_FAILURES, TrafficRun, run_traffic
from engine.tools.traffic_tally import TrafficSummary


def now() -> float:
    return asyncio.get_running_loop().time()


async def send(port: int, *, on_start=None, **options) -> TrafficSummary:
    clock = loop_clock(asyncio.get_running_loop())
    options = {"size_bytes": (10, 10), **options}
    return await run_traffic(
        TrafficOptions(("127.0.0.1", port), **options), clock=clock, on_start=on_start
    )


@contextlib.contextmanager
def later(delay_s: float, action):
    handle = asyncio.get_running_loop().call_later(delay_s, action)
    yield
    handle.cancel()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


async def test_the_count_is_sent_once_each():
    async with Sink() as sink:
        summary = await send(sink.port, count=200, sessions=7)

        assert (summary.messages, summary.accepted, sink.stats.messages) == (200, 200, 200)
        assert len({message.recipients for message in sink.messages}) == 200
        assert (summary.connections, summary.open_connections) == (7, 0)


async def test_no_more_connections_are_opened_than_there_are_messages():
    async with Sink() as sink:
        await send(sink.port, count=3, sessions=50)
        assert sink.stats.connections == 3


async def test_a_connection_takes_as_many_messages_as_it_may():
    async with Sink() as sink:
        await send(sink.port, count=20, sessions=1, messages_per_connection=5)
        assert sink.stats.connections == 4


@pytest.mark.parametrize(("per_s", "sessions"), [(0.1, 3), (7.0, 20), (50.0, 1), (200.0, 4)])
async def test_the_rate_is_kept(per_s, sessions):
    duration_s = 200 / per_s
    async with Sink() as sink:
        began = now()
        summary = await send(sink.port, duration_s=duration_s, per_s=per_s, sessions=sessions)

        assert summary.messages == pytest.approx(200, abs=3)
        assert now() - began == pytest.approx(duration_s, rel=0.05)
        # None of the sessions went away and came back for want of a turn.
        assert sink.stats.connections == sessions


async def test_the_rate_is_kept_by_one_session_whose_server_is_slow_now_and_then():
    slow = SinkOptions(by_name=False)

    def script(stage, session, _argument):
        is_slow = stage is Stage.DOT and session.messages % 10 == 0
        return SinkReply("", delay_s=0.3) if is_slow else None

    async with Sink(slow, script=script) as sink:
        summary = await send(sink.port, duration_s=60.0, per_s=10.0, sessions=1)
        assert summary.messages == pytest.approx(600, rel=0.02)


async def test_what_a_stall_held_up_is_not_poured_out_after_it():
    def script(stage, session, _argument):
        is_slow = stage is Stage.DOT and session.messages == 5
        return SinkReply("", delay_s=60.0) if is_slow else None

    async with Sink(SinkOptions(by_name=False), script=script) as sink:
        summary = await send(sink.port, duration_s=70.0, per_s=10.0, sessions=1, timeout_s=300.0)
        # The stall hits the sixth message: ten seconds of 10/s, and half a second made up for.
        assert 98 <= summary.messages <= 108


async def test_time_ends_a_run():
    async with Sink(SinkOptions(delay_s=1.0)) as sink:
        began = now()
        summary = await send(sink.port, duration_s=30.0, sessions=2)
        assert 30.0 <= now() - began < 40.0
        assert summary.messages == sink.stats.messages > 0


async def test_a_stop_lets_what_is_under_way_finish():
    runs: list[TrafficRun] = []
    async with Sink(SinkOptions(stage_delays_s={Stage.DOT: 5.0})) as sink:
        with later(12.0, lambda: runs[0].stop()):
            summary = await send(sink.port, duration_s=1000.0, sessions=3, on_start=runs.append)

        assert (summary.lost, summary.accepted) == (0, sink.stats.messages)
        assert summary.accepted == 9


async def test_a_stop_ends_what_waits_for_its_turn_or_for_a_connection():
    runs: list[TrafficRun] = []
    silent = SinkOptions(stage_delays_s={Stage.CONNECT: 1e5})
    for options, sink_options in (({"per_s": 0.001}, None), ({"timeout_s": 1e5}, silent)):
        runs.clear()
        async with Sink(sink_options) as sink:
            began = now()
            with later(10.0, lambda: runs[0].stop()):
                summary = await send(
                    sink.port, duration_s=1e6, sessions=3, on_start=runs.append, **options
                )
            assert now() - began < 20.0
            assert (summary.lost, summary.connect_failures) == (0, 0)


async def test_an_abort_ends_what_hangs_and_counts_it_as_lost():
    runs: list[TrafficRun] = []
    async with Sink() as sink:
        began = now()
        with later(10.0, lambda: runs[0].abort()):
            summary = await send(
                sink.port, count=3, sessions=3, local_part="hang", on_start=runs.append
            )
        assert now() - began < 11.0
        assert (summary.lost, summary.messages) == (3, 3)


async def test_a_server_that_is_down_is_given_up_soon():
    began = now()
    summary = await send(free_port(), count=10, sessions=2)

    assert now() - began < 10.0
    assert (summary.messages, summary.connect_failures) == (0, 2 * MAX_FAILURES)
    assert (summary.gave_up, "refused" in summary.trouble.lower()) == (True, True)


async def test_a_server_that_says_nothing_is_given_up_after_one_timeout():
    async with Sink(SinkOptions(stage_delays_s={Stage.CONNECT: 1e6})) as sink:
        began = now()
        summary = await send(sink.port, count=10, sessions=2, timeout_s=60.0)
        assert (summary.gave_up, summary.trouble) == (True, "no reply in 60 s")
        assert now() - began < 70.0


async def test_a_server_that_comes_back_is_used_again_when_asked_to_keep_going():
    port = free_port()
    sink = Sink()
    async with asyncio.TaskGroup() as group:

        async def come_back() -> None:
            await asyncio.sleep(120)
            await sink.start("127.0.0.1", port)

        group.create_task(come_back())
        summary = await send(port, count=10, sessions=2, keep_going=True)
    await sink.stop()

    assert (summary.accepted, summary.gave_up) == (10, False)
    assert summary.connect_failures > 2 * MAX_FAILURES


async def test_a_connection_that_breaks_loses_its_message_and_the_run_goes_on():
    async with Sink() as sink:
        summary = await send(sink.port, count=5, sessions=1, local_part="drop")
        assert (summary.lost, summary.connections) == (5, 5)


async def test_a_connection_that_idles_out_between_turns_loses_nothing():
    async with Sink(SinkOptions(idle_timeout_s=10.0)) as sink:
        summary = await send(sink.port, count=10, sessions=4, per_s=0.05)

        assert (summary.accepted, summary.lost, summary.deferred) == (10, 0, 0)
        assert sink.stats.messages == 10


async def test_a_server_that_refuses_connections_for_the_time_being_is_given_up():
    async with Sink(SinkOptions(max_connections=1)) as sink:
        summary = await send(sink.port, count=100, sessions=3, per_s=10.0)
        assert summary.gave_up
        assert summary.trouble.startswith("connect: 421")


async def test_progress_is_told():
    seen: list[TrafficSummary] = []
    async with Sink() as sink:
        await run_traffic(
            TrafficOptions(("127.0.0.1", sink.port), duration_s=60.0, per_s=1.0),
            clock=loop_clock(asyncio.get_running_loop()),
            watch=seen.append,
            watch_every_s=10.0,
        )
    assert len(seen) in (5, 6)
    assert [state.messages for state in seen] == sorted(state.messages for state in seen)


async def test_http_gives_up_a_server_that_is_down():
    summary = await send(free_port(), count=100, sessions=2, protocol=TrafficProtocol.HTTP)
    assert summary.gave_up
    assert summary.lost == 2 * MAX_FAILURES


async def test_replies_are_counted_by_stage():
    async with Sink() as sink:
        summary = await send(sink.port, count=4, sessions=1, local_part="tempfail")
        assert (summary.deferred, summary.replies["rcpt 451"]) == (4, 4)
        assert summary.texts == {
            "rcpt 451 4.7.1 try again later": 4,
            "data 554 5.5.1 no valid recipients": 4,
        }
