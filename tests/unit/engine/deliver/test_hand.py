"""Messages in hand: each ends once."""

import pytest

from engine.deliver.attempt import RecipientOutcome
from engine.deliver.hand import Hand
from engine.model.circumstances import Circumstances
from engine.model.disposition import Disposition
from engine.model.insert_reason import InsertReason
from engine.model.reply import make_reply
from tests.fakes.dispatch import DispatchWorld

WHERE = Circumstances("q", "site", "src", "ESMTP")
REPLY = make_reply(250, "ok")


def outcome(recipient, disposition):
    return RecipientOutcome(recipient, REPLY, ".", disposition)


@pytest.fixture
async def world():
    return DispatchWorld()


def holding(world, *recipients):
    hand = Hand(world.services)
    message = world.add(*recipients)
    hand.take(message)
    return hand, message


async def test_a_settled_message_leaves_the_hand(world):
    hand, message = holding(world)
    await hand.settle(message, [outcome("b@y.test", Disposition.DEFERRED)], WHERE)
    hand.give_back(InsertReason.DISPATCHER_DROP)

    assert world.ends(message) == 1


async def test_a_noted_message_stays_until_nobody_is_left(world):
    hand, message = holding(world, "a@y.test", "b@y.test")
    await hand.settle(message, [outcome("a@y.test", Disposition.DELIVERED)], WHERE, final=False)
    assert message in hand

    await hand.settle(message, [outcome("b@y.test", Disposition.FAILED)], WHERE, final=False)
    assert message not in hand


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt()])
async def test_only_the_deferred_come_back_when_settling_fails(world, error):
    hand, message = holding(world, "a@y.test", "b@y.test", "c@y.test")
    world.settle_error = error
    outcomes = [
        outcome("a@y.test", Disposition.DELIVERED),
        outcome("b@y.test", Disposition.DEFERRED),
        outcome("c@y.test", Disposition.FAILED),
    ]
    with pytest.raises(type(error)):
        await hand.settle(message, outcomes, WHERE)
    hand.give_back(InsertReason.DISPATCHER_DROP, 5.0)

    assert world.given_back[0].recipients == ["b@y.test"]
    assert world.given_back[0].delay_s == 5.0


async def test_one_that_cannot_be_given_back_does_not_keep_the_others(world):
    hand, first = holding(world)
    second = world.add()
    hand.take(second)
    real = world.services.give_back

    def give_back(message, reason, delay_s):
        if message is first:
            raise RuntimeError("defect")
        real(message, reason, delay_s)

    world.services.give_back = give_back
    hand.give_back(InsertReason.DISPATCHER_DROP)

    assert [back.message for back in world.given_back] == [second]
    assert hand.messages == []


async def test_a_dropped_message_is_not_given_back(world):
    hand, message = holding(world)
    hand.drop(message)
    hand.drop(message)
    hand.give_back(InsertReason.DISPATCHER_DROP)

    assert world.given_back == []


async def test_a_hand_counts_what_became_of_recipients(world):
    hand, message = holding(world, "a@y.test", "b@y.test", "c@y.test", "d@y.test")
    outcomes = [
        outcome("a@y.test", Disposition.DELIVERED),
        outcome("b@y.test", Disposition.DELIVERED),
        outcome("c@y.test", Disposition.DEFERRED),
        outcome("d@y.test", Disposition.FAILED),
    ]
    await hand.settle(message, outcomes, WHERE)

    assert (hand.delivered, hand.deferred, hand.failed) == (2, 1, 1)
