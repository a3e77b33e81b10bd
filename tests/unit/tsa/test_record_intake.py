"""Records in: refused one by one, acknowledged when what they led to is safe, bounded."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from engine.base.clock import Clock
from tests.fakes.tsa_world import NOON, record_line, rule_text, shaping_of
from tsa import record_intake
from tsa.decision_store import DecisionStore
from tsa.errors import IntakeFullError, StoreUnavailableError
from tsa.record_intake import FUTURE_MAX_S, REFUSALS_SHOWN_MAX, RecordIntake
from tsa.rule_engine import RuleEngine

ADJUST = '{ AdjustConfig = { name = "connection_limit", floor = 2, quiet = "10m" } }'
RULES = "[default]\nconnection_limit = 20\n" + "".join(
    [
        rule_text('"Bounce"', regex="gone"),
        rule_text(trigger='{ Threshold = "3/hour" }'),
        rule_text(ADJUST, regex="too many"),
    ]
)


class Disk:
    """What is saved, as it is when it is saved; fails or waits as told."""

    def __init__(self):
        self.saved = []
        self.broken = None
        self.gate = asyncio.Event()
        self.gate.set()

    def save(self, batch):
        if self.broken is not None:
            raise self.broken
        self.saved.append(batch)


class World:
    def __init__(self, rules=RULES):
        self.now = NOON
        self.disk = Disk()
        # Never opened: only its memory judges what is news.
        self.store = DecisionStore(Path())
        self.store.save = self.disk.save
        self.announced = []
        self.engine = RuleEngine(shaping_of(rules))
        clock = Clock(wall=lambda: self.now)
        self.intake = RecordIntake(
            self.engine, self.store, self.announced.append, clock, offload=self._offload
        )

    async def _offload(self, work):
        await self.disk.gate.wait()
        work()

    async def take(self, *lines):
        return await self.intake.take(lines)

    def domains(self):
        return sorted(one.scope.domain or "" for one in self.store.active(self.now))


@pytest.fixture
async def world():
    made = World()
    task = asyncio.get_running_loop().create_task(made.intake.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def gone(domain, at=NOON, **more):
    return record_line(at, reply="550 gone", queue=domain, **more)


async def soon():
    for _ in range(20):
        await asyncio.sleep(0)


# -- what is taken


async def test_a_record_is_acknowledged_when_what_it_led_to_is_safe(world):
    world.disk.gate.clear()
    taking = asyncio.ensure_future(world.take(gone("a.test")))
    await soon()
    assert not taking.done()
    assert world.domains() == ["a.test"], "it is in force before it is safe"
    assert [one.scope.domain for one in world.announced] == ["a.test"]

    world.disk.gate.set()

    assert await taking == []
    (batch,) = world.disk.saved
    assert [one.scope.domain for one in batch.decisions.values()] == ["a.test"]


async def test_records_that_lead_to_nothing_need_no_disk(world):
    world.disk.broken = StoreUnavailableError("full")

    assert await world.take(record_line(reply="451 whatever")) == []
    assert world.intake.trouble is None


async def test_a_line_that_is_no_record_is_named_and_those_beside_it_are_taken(world):
    found = await world.take(b"{", gone("a.test"), b"", b"  ", b'{"type": 1}', gone("b.test"))

    assert [one.line for one in found] == [0, 4]
    assert all(one.error for one in found)
    assert world.domains() == ["a.test", "b.test"]
    assert (world.intake.received, world.intake.refused) == (2, 2)


async def test_a_refusal_is_short_however_long_the_line_is(world):
    ((_, error),) = await world.take(b'{"type": "' + b"x" * 10_000 + b'"}')

    assert len(error) <= 300
    assert REFUSALS_SHOWN_MAX < 1000


async def test_a_record_of_the_future_is_refused_and_one_of_a_fast_clock_is_taken(world):
    found = await world.take(
        gone("a.test", NOON + FUTURE_MAX_S), gone("b.test", NOON + FUTURE_MAX_S + 1)
    )

    assert [(one.line, one.error) for one in found] == [(1, "its time lies in the future")]
    assert world.domains() == ["a.test"]


async def test_a_decision_that_is_over_before_it_is_made_is_none(world):
    await world.take(gone("a.test", NOON - 7200))

    assert (world.domains(), world.announced) == ([], [])


async def test_a_decision_that_holds_a_little_longer_is_kept_and_not_told_again(world):
    await world.take(gone("a.test"))
    await world.take(gone("a.test", NOON + 1))

    assert len(world.announced) == 1
    assert [len(batch.decisions) for batch in world.disk.saved] == [1, 1]


async def test_many_senders_at_once_are_one_write(world):
    await asyncio.gather(*(world.take(gone(f"d{number}.test")) for number in range(50)))

    assert len(world.disk.saved) == 1
    assert len(world.disk.saved[0].decisions) == 50


async def test_others_have_their_turn_while_a_large_batch_is_judged(world):
    turns = []

    async def other():
        while True:
            turns.append(world.intake.waiting)
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    await world.take(*(record_line() for _ in range(4 * record_intake.SLICE)))
    task.cancel()

    assert turns.count(4 * record_intake.SLICE) >= 4
    assert world.intake.waiting == 0


async def test_matches_and_open_seconds_are_kept_with_what_they_hold_when_it_is_saved(world):
    await world.take(record_line(), record_line(), record_line(reply="421 too many"))

    (batch,) = world.disk.saved
    assert len(batch.marks) == 2
    ((name, state),) = batch.windows.items()
    assert [one[:2] for one in state.open_seconds.values()] == [(1, 1)]

    world.intake.enforce(world.engine.settle(NOON + 1))
    await world.intake.save()

    last = world.disk.saved[-1]
    assert last.windows[name].open_seconds == {}
    assert [value.amount for value, _ in last.adjusted.values()] == [10]
    assert [one.value for one in last.decisions.values()] == [10]


async def test_what_counts_no_more_leaves_the_file(world):
    await world.take(record_line(reply="421 too many"))
    world.intake.enforce(world.engine.settle(NOON + 1))
    await world.intake.save()
    (name,) = world.disk.saved[-1].windows
    world.now = NOON + 100

    world.intake.forget_stale()
    await world.intake.save()

    assert world.disk.saved[-1].windows == {name: None}


async def test_an_adjusted_value_that_is_over_leaves_the_file(world):
    await world.take(record_line(reply="421 too many"))
    world.intake.enforce(world.engine.settle(NOON + 1))
    while world.engine.next_due_at is not None:
        world.intake.enforce(world.engine.settle(NOON + 100_000))
    await world.intake.save()

    assert list(world.disk.saved[-1].adjusted.values()) == [None]


# -- what goes wrong


async def test_while_nothing_can_be_written_nothing_is_acknowledged_and_all_of_it_is_kept(world):
    world.disk.broken = StoreUnavailableError("full")
    for domain in ("a.test", "b.test"):
        with pytest.raises(StoreUnavailableError, match="full"):
            await world.take(gone(domain))
    assert world.domains() == ["a.test", "b.test"], "what it knows is in force"
    assert world.intake.trouble == "full"

    world.disk.broken = None
    await world.take(gone("c.test"))

    (batch,) = world.disk.saved
    assert sorted(one.scope.domain for one in batch.decisions.values()) == [
        "a.test",
        "b.test",
        "c.test",
    ]
    assert world.intake.trouble is None


async def test_a_record_that_comes_again_is_not_safe_before_it_was_written(world):
    line = gone("a.test")
    world.disk.broken = StoreUnavailableError("full")
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await world.take(line)

    world.disk.broken = None
    assert await world.take(line) == []
    assert len(world.disk.saved) == 1


async def test_what_is_newer_is_kept_over_what_could_not_be_written(world):
    world.disk.broken = StoreUnavailableError("full")
    for at in (NOON, NOON + 300):
        with pytest.raises(StoreUnavailableError):
            await world.take(gone("a.test", at))
    world.disk.broken = None

    await world.intake.save()

    (batch,) = world.disk.saved
    assert [(one.count, one.expires_at) for one in batch.decisions.values()] == [
        (2, NOON + 300 + 3600)
    ]


async def test_the_trouble_is_said_once_and_its_end_too(world, caplog):
    caplog.set_level("INFO", "cirrus.tsa")
    world.disk.broken = StoreUnavailableError("the disk is full")
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await world.take(gone("a.test"))
    world.disk.broken = None
    await world.intake.save()

    assert [one.getMessage() for one in caplog.records] == [
        "the disk is full; records are not acknowledged until it can",
        "decisions can be written again",
    ]


async def test_a_sender_is_told_to_come_back_when_too_much_waits(world, monkeypatch):
    monkeypatch.setattr(record_intake, "WAITING_MAX", 5)
    world.disk.gate.clear()
    taking = asyncio.ensure_future(world.take(*(gone(f"d{n}.test") for n in range(5))))
    await soon()

    with pytest.raises(IntakeFullError):
        await world.take(gone("x.test"))

    world.disk.gate.set()
    await taking
    assert await world.take(gone("x.test")) == []


async def test_a_sender_is_told_to_come_back_when_too_much_is_unsaved(world, monkeypatch):
    monkeypatch.setattr(record_intake, "UNSAVED_MAX", 3)
    world.disk.broken = StoreUnavailableError("full")
    with pytest.raises(StoreUnavailableError):
        await world.take(*(gone(f"d{n}.test") for n in range(5)))

    with pytest.raises(IntakeFullError):
        await world.take(gone("x.test"))
    assert world.intake.is_full


async def test_a_defect_leaves_no_sender_waiting():
    world = World()
    running = asyncio.ensure_future(world.intake.run())
    world.engine.see = lambda record, verdict: 1 / 0

    with pytest.raises(StoreUnavailableError, match="could not be judged"):
        await world.take(gone("a.test"))
    with pytest.raises(ZeroDivisionError):
        await running
    assert world.intake.waiting == 0


async def test_what_waits_at_the_end_is_not_acknowledged():
    world = World()
    running = asyncio.ensure_future(world.intake.run())
    await soon()
    running.cancel()
    await soon()
    taking = asyncio.ensure_future(world.take(gone("a.test")))
    await soon()
    assert not taking.done(), "nobody works it off"
    taking.cancel()

    world = World()
    running = asyncio.ensure_future(world.intake.run())
    world.disk.gate.clear()
    first = asyncio.ensure_future(world.take(gone("a.test")))
    await soon()
    second = asyncio.ensure_future(world.take(gone("b.test")))
    await soon()
    running.cancel()
    await soon()

    assert second.cancelled()
    assert isinstance(first.exception(), StoreUnavailableError)
