"""Suspensions."""

import pytest

from engine.control.suspensions import SuspensionRegistry
from engine.model.suspension import Criteria


class Time:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def registry(time):
    return SuspensionRegistry(time)


def test_holds_scheduled_and_ready_queues_apart(registry):
    registry.add_scheduled(Criteria(domain="d"), "why", "who", 60)
    registry.add_ready("s->d@smtp_client", "slow", "who", 60)

    assert registry.find_scheduled("t@d").reason == "why"
    assert registry.find_ready("s->d@smtp_client").reason == "slow"
    assert registry.find_ready("s->e@smtp_client") is None
    assert len(registry.list()) == 2


def test_ends_by_itself(registry, time):
    registry.add_scheduled(Criteria(), "", "", 60)
    registry.add_ready("r", "", "", 30)
    assert registry.next_expiry_mono == 30

    time.now = 61

    assert registry.find_ready("r") is None
    assert registry.find_scheduled("d") is None
    assert registry.is_empty
    assert registry.list() == ()
    assert registry.next_expiry_mono is None


def test_lists_only_what_is_in_force(registry, time):
    registry.add_ready("r", "", "", 30)
    time.now = 31

    assert registry.list_ready() == ()


def test_cancels_either_kind_by_id(registry):
    scheduled = registry.add_scheduled(Criteria(), "", "", 60)
    ready = registry.add_ready("r", "", "", 60)

    assert registry.cancel(ready.id)
    assert registry.cancel(scheduled.id)
    assert not registry.cancel(ready.id)
    assert registry.is_empty


def test_a_second_suspension_of_a_ready_queue_replaces_the_first(registry):
    registry.add_ready("r", "one", "", 60)
    registry.add_ready("r", "two", "", 60)

    assert [found.reason for found in registry.list_ready()] == ["two"]


def test_tells_of_each_change(registry, time):
    told = []
    registry.on_change.append(lambda: told.append(registry.generation))

    registry.add_scheduled(Criteria(), "", "", 60)
    made = registry.add_ready("r", "", "", 60)
    registry.cancel(made.id)
    time.now = 100
    registry.find_scheduled("d")

    assert told == [1, 2, 3, 4]


def test_mail_that_goes_to_another_node_is_held_by_its_queues_own_name_only(registry):
    queue = "http://10.0.0.2:8000/.xfer.kumomta.internal"
    registry.add_scheduled(Criteria(), "all deliveries", "who", 60)
    assert registry.find_scheduled("d").reason == "all deliveries"
    assert registry.find_scheduled(queue) is None

    registry.add_scheduled(Criteria(queue_names={queue}), "not there", "who", 120)
    assert registry.find_scheduled(queue).reason == "not there"
