"""Two TSAs that two nodes publish to come to the same decisions, however their records mix."""

from __future__ import annotations

import contextlib
import random

import pytest

from engine.base.clock import Clock
from tests.fakes.tsa_world import NOON, record_line, rule_text
from tsa.app import Tsa
from tsa.rule_engine import SETTLE_S
from tsa.settings import TsaSettings

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

ADJUST = (
    '{{ AdjustConfig = {{ name = "{}", floor = {}, factor = 0.5, step = 0.1, quiet = "{}" }} }}'
)
SHARE = '{{ Proportion = {{ of = "{}", over = "{}", within = "{}", at_least = {} }} }}'
RULES = "".join(
    [
        '[default]\nconnection_limit = 40\nmax_message_rate = "100/s"\n'
        "max_deliveries_per_connection = 100\n",
        '[provider.big]\nmatch = [{ MXSuffix = ".big.example" }]\n',
        '[warmup.ip-1]\nstart = "2027-01-01"\nschedule = [{ day = 1, connection_limit = 30 }]\n',
        rule_text(regex="slow", trigger='{ Threshold = "5/30s" }'),
        rule_text('"BounceTenant"', regex="gone"),
        rule_text(ADJUST.format("connection_limit", 2, "20s"), regex="too many"),
        rule_text(
            ADJUST.format("max_message_rate", '"1/min"', "30s"),
            regex="slow",
            trigger='{ Threshold = "3/10s" }',
        ),
        rule_text(regex=None, trigger=SHARE.format("Deferred", "55%", "30s", 20)),
        rule_text('"SuspendTenant"', regex="gone", trigger=SHARE.format("Failed", "20%", "2m", 10)),
        rule_text('"PauseWarmup"', regex="slow", trigger=SHARE.format("Deferred", "10%", "1m", 5)),
        rule_text(
            ADJUST.format("max_deliveries_per_connection", 5, "2m"),
            regex="slow",
            trigger=SHARE.format("Deferred", "12%", "20s", 5),
            section="provider.big",
        ),
    ]
)
LENGTH_S = 60
REPLIES = (
    ("TransientFailure", "451 slow down"),
    ("TransientFailure", "421 too many connections"),
    ("TransientFailure", "450 try again later"),
    ("Bounce", "550 gone"),
    ("Delivery", "250 taken"),
    ("Delivery", "250 taken"),
)


def stream_of(node, rng):
    """Return the records of one node, in order, each with when it happened."""
    found, at = [], NOON
    while (at := at + rng.expovariate(10)) < NOON + LENGTH_S:
        kind, reply = rng.choice(REPLIES)
        host = f"mx{rng.randint(1, 2)}.{rng.choice(['big', 'small'])}.example"
        line = record_line(
            at,
            type=kind,
            reply=reply,
            record_id=f"{node}-{len(found)}",
            queue=f"tenant-{rng.randint(1, 2)}@big.example",
            egress_source=f"ip-{rng.randint(1, 2)}",
            site_name=host,
            peer_address={"name": host, "addr": "192.0.2.1"},
        )
        found.append((at, line))
    return found


class Daemon:
    """One TSA, at a time that the test says, with what it decided at each check."""

    def __init__(self, folder, rng):
        (folder / "rules.toml").write_text(RULES)
        self.now = NOON
        self.rng = rng
        settings = TsaSettings((), (str(folder / "rules.toml"),), folder / "state")
        self.tsa = Tsa(settings, clock=Clock(wall=lambda: self.now))
        self.shown = {}

    async def run(self, streams, delay_max_s):
        """Take the streams: each node's in order, a batch at a time, none later than a bound."""
        waiting = [list(stream) for stream in streams]
        phase = self.rng.random()
        async with contextlib.AsyncExitStack() as stack:
            await self.tsa.start()
            stack.push_async_callback(self.tsa.stop)
            end = NOON + LENGTH_S + 2
            while self.now < end:
                self.now += self.rng.uniform(0.1, delay_max_s / 2)
                for stream in self.rng.sample(waiting, len(waiting)):
                    happened = sum(at <= self.now for at, _ in stream)
                    # What happened half the bound ago must not wait for the next turn.
                    urgent = sum(at <= self.now - delay_max_s / 2 for at, _ in stream)
                    count = self.rng.randint(urgent, happened)
                    lines = [line for _, line in stream[:count]]
                    del stream[:count]
                    if lines:
                        # Now and then an answer is lost, and all of it comes again.
                        for _ in range(self.rng.choice([1, 1, 1, 2])):
                            assert await self.tsa.intake.take(lines) == []
                self.now += phase / 100
                await self.tsa.tick()
            for stream in waiting:
                assert await self.tsa.intake.take([line for _, line in stream]) == []
            self.now = end + 2
            await self.tsa.tick()
            for one in self.tsa.publication.decisions():
                facts = (one.get("value"), one["expires"], one["reason"])
                self.shown[one["id"]] = (one["kind"], one["scope"], *facts)


@pytest.mark.parametrize("seed", range(3))
async def test_two_daemons_come_to_the_same_decisions(tmp_path, seed):
    streams = [stream_of(node, random.Random(f"{seed}-{node}")) for node in "ab"]
    shown = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        daemon = Daemon(tmp_path / name, random.Random(f"{seed}-{name}"))
        await daemon.run(streams, SETTLE_S)
        shown.append(daemon.shown)

    assert shown[0] == shown[1]
    kinds = {kind for kind, *_ in shown[0].values()}
    assert kinds == {
        "ReadyQSuspension",
        "SchedQSuspension",
        "SchedQBounce",
        "ConfigOverride",
        "WarmupHold",
    }
    options = {scope.get("option") for _, scope, *_ in shown[0].values()}
    assert options >= {"connection_limit", "max_message_rate", "max_deliveries_per_connection"}


async def test_records_that_come_too_late_still_count(tmp_path):
    """A node is cut off from the second TSA: all of its records come at the end."""
    streams = [stream_of(node, random.Random(f"late-{node}")) for node in "ab"]
    shown = []
    for name, delay_max_s in (("first", SETTLE_S), ("second", LENGTH_S)):
        (tmp_path / name).mkdir()
        daemon = Daemon(tmp_path / name, random.Random(name))
        await daemon.run(streams, delay_max_s)
        shown.append(daemon.shown)

    def at_once(decisions):
        """Return what single matches and the threshold led to."""
        return {
            key: (kind, expires)
            for key, (kind, _, _, expires, reason) in decisions.items()
            if kind in ("ReadyQSuspension", "SchedQBounce") and "every reply" not in reason
        }

    # What these come to does not depend on when their records come.
    assert at_once(shown[0]) == at_once(shown[1])
    assert {kind for kind, *_ in at_once(shown[0]).values()} == {"ReadyQSuspension", "SchedQBounce"}
    assert {kind for kind, *_ in shown[1].values()} >= {"ConfigOverride", "WarmupHold"}
