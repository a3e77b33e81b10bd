"""Whatever happens to the queues, each stored message is in one place, and in the end it leaves."""

import asyncio
import random

import pytest

from engine.model.reply import make_reply
from tests.fakes.queue_world import DELIVERED, policy, queue_world

DOMAINS = ("a.test", "b.test", "alias.test", "null.test", "bad.test", "gone.test")
HOOKS = """
@on("throttle_insert_ready_queue")
async def throttle(msg):
    if msg.recipient.domain == "b.test":
        await mta.pause(0.3)

@on("message_requeued")
async def requeued(msg, response, reasons, attempt_counted, delay):
    await mta.pause(0.1)
    if msg.num_attempts == 2:
        msg.set_meta("tenant", "moved")
"""
BROKEN = '@on("{event}")\ndef broken({args}):\n    1 / 0\n'
SCRIPTS = (
    policy(),
    policy('max_message_rate="20/s"', "max_ready=3"),
    policy(pool='[{"name": "s1"}, {"name": "s2", "weight": 2}]', more=HOOKS),
    policy(path='source_selection_rate="20/s,max_burst=1", max_ready=5, connection_limit=1'),
    policy(pool='[{"name": "s1", "weight": 0}]'),
    policy('retry_interval="5s", max_age="20m", refresh_interval="1s", reap_interval="1s"'),
    policy('protocol="null"'),
    BROKEN.format(event="get_queue_config", args="a, b, c, d"),
    policy(more=BROKEN.format(event="throttle_insert_ready_queue", args="msg")),
    policy(more=BROKEN.format(event="message_requeued", args="a, b, c, d, e")),
    BROKEN.format(event="get_egress_path", args="a, b, c"),
)
REPLIES = (
    DELIVERED,
    DELIVERED,
    make_reply(450, "4.2.0 later"),
    make_reply(550, "5.1.1 nobody"),
)


class Chaos:
    """An operator, a network and a script author who do what comes to their minds."""

    def __init__(self, world, rng):
        self.world = world
        self.rng = rng
        self.submitted = 0
        world.reply_of = lambda message: rng.choice(REPLIES)

    def submit(self):
        count = self.rng.randint(1, 12)
        self.submitted += count
        self.world.submit(
            self.rng.choice(DOMAINS),
            count,
            tenant=self.rng.choice((None, "t1", "t2")),
            due_in_s=self.rng.choice((0, 0, 3, 90)),
        )

    def suspend(self):
        self.world.suspend(
            duration_s=self.rng.choice((1, 30, 400)),
            domain=self.rng.choice((*DOMAINS, None)),
            tenant=self.rng.choice(("t1", None)),
        )

    def suspend_ready(self):
        names = [queue.name for queue in self.world.ready]
        if names:
            self.world.suspend_ready(self.rng.choice(names), self.rng.choice((1, 100)))

    def cancel(self):
        for directive in self.world.suspensions.list()[:2]:
            self.world.suspensions.cancel(directive.id)

    def bounce(self):
        directive = self.world.bounce(domain=self.rng.choice(DOMAINS), tenant="t2")
        self.world.supervisor.start(self._end_bounce(directive.id))

    async def _end_bounce(self, directive_id):
        await asyncio.sleep(self.rng.choice((0, 5)))
        self.world.bounces.cancel(directive_id)

    def load(self):
        self.world.load(self.rng.choice(SCRIPTS))

    def dns(self):
        self.world.fail_names(*self.rng.choice((("bad.test",), ("bad.test", "a.test"))))

    def spool(self):
        self.world.store.is_away = not self.world.store.is_away
        if not self.world.store.is_away:
            self.world.maintain_all()

    def gate(self):
        (self.world.gate.clear if self.world.gate.is_set() else self.world.gate.set)()

    def reap(self):
        self.world.ready.reap(self.world.clock.mono() + self.rng.choice((0, 3600)))

    def damage(self):
        ids = sorted(self.world.store.envelopes)
        if ids:
            waiting = {key for queue in self.world.queues for key in queue.entries}
            key = self.rng.choice(ids)
            if key in waiting:
                self.world.store.envelopes[key] = b"damaged"

    def kill(self):
        tasks = [task for queue in self.world.ready for task in queue.dispatchers]
        if tasks:
            self.rng.choice(tasks).cancel()

    def slow(self):
        self.world.carry_s = self.rng.choice((0.0, 0.01, 2.0))

    def break_starts(self):
        self.world.broken_starts = 2

    async def play(self, steps):
        deeds = [
            *(self.submit,) * 6,
            *(self.load,) * 3,
            *(self.suspend, self.suspend_ready, self.cancel, self.bounce, self.dns),
            *(self.spool, self.gate, self.reap, self.damage, self.kill, self.slow),
            self.break_starts,
        ]
        for _ in range(steps):
            self.rng.choice(deeds)()
            await self.world.sleep(self.rng.choice((0.001, 0.001, 0.05, 1, 3, 20)), step_s=2)
            self.world.assert_each_in_one_place()

    async def make_peace(self):
        world = self.world
        self.cancel_all()
        world.fail_names()
        world.store.is_away = False
        world.carry_s = 0.0
        world.reply_of = lambda message: DELIVERED
        world.gate.set()
        world.load(policy('max_message_rate="1000/s", max_age="4h"'))
        world.maintain_all()
        # Longer than each pause of ours; retries of 20 minutes are the schedule's, not a strand.
        await world.sleep(150, step_s=3)
        await world.sleep(3600 * 8, step_s=400)

    def cancel_all(self):
        for directive in self.world.suspensions.list():
            self.world.suspensions.cancel(directive.id)
        for directive in self.world.bounces.list():
            self.world.bounces.cancel(directive.id)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
async def test_each_message_is_in_one_place_and_leaves_in_the_end(tmp_path, seed):
    async with queue_world(tmp_path, policy(), servfail=("bad.test",)) as world:
        chaos = Chaos(world, random.Random(seed))
        await chaos.play(60)
        await chaos.make_peace()

        assert not world.store.envelopes
        assert len({key for _, _, key in world.carried}) <= chaos.submitted
