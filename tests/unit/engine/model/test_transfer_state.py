"""What a message was is kept with it while it waits for another node, and given back."""

import copy

import pytest

from engine.model.message import FLAG_8BIT, FLAG_HELD, Message, new_spool_id
from engine.model.schedule_window import parse_schedule
from engine.model.transfer_state import (
    INFO,
    assign,
    assigned_target,
    format_due,
    is_assigned,
    parse_due,
    restore,
    saved_state,
)
from engine.model.transfer_target import parse_target

NODE = parse_target("http://10.0.0.2:8000")
OTHER = parse_target("http://10.0.0.3:8000")
DUE_AT = 1_900_000_000.123456
SCHEDULE = parse_schedule({"first_attempt": "2040-01-02T03:04:05Z", "dow": "Mon", "tz": "UTC",
                           "start": "09:00:00", "end": "17:00:00"})  # fmt: skip


def make(**meta):
    return Message(
        new_spool_id(),
        "a@x.test",
        ["b@y.test"],
        data=b"x",
        size=1,
        created_at=1_800_000_000.0,
        meta=meta,
        attempts=3,
        schedule=SCHEDULE,
        flags=FLAG_8BIT | FLAG_HELD,
    )


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"tenant": "shop", "campaign": "spring", "x_note": [1, None]},
        {"queue": "own@q.test", "routing_domain": "r.test"},
    ],
)
def test_restoring_undoes_assigning(meta):
    message = make(**copy.deepcopy(meta))

    assign(message, NODE, DUE_AT)
    due_at = restore(message)

    assert message.meta == meta
    assert due_at == pytest.approx(DUE_AT, abs=1e-6)
    assert (message.attempts, message.schedule) == (3, SCHEDULE)


def test_nothing_acts_on_a_message_that_waits_for_another_node():
    message = make(tenant="shop", campaign="spring", routing_domain="r.test")

    assign(message, NODE, DUE_AT)

    assert message.meta == {
        "queue": NODE.queue_name,
        INFO: {
            "queue": None,
            "routing_domain": "r.test",
            "tenant": "shop",
            "campaign": "spring",
            "schedule": SCHEDULE.to_dict(),
            "num_attempts": 3,
            "due": "2030-03-17T17:46:40.123456Z",
        },
    }
    assert (message.attempts, message.schedule, message.flags) == (0, None, FLAG_8BIT)
    assert is_assigned(message)
    assert assigned_target(message) == NODE


def test_a_message_that_is_assigned_anew_keeps_what_it_was_first():
    message = make(tenant="shop")

    assign(message, NODE, DUE_AT)
    message.attempts = 7
    assign(message, OTHER, DUE_AT + 100)

    assert assigned_target(message) == OTHER
    assert restore(message) == pytest.approx(DUE_AT, abs=1e-6)
    assert (message.attempts, message.meta) == (3, {"tenant": "shop"})


def test_a_message_that_was_not_assigned_is_left_alone():
    message = make(queue=NODE.queue_name)

    assert restore(message) is None
    assert message.meta == {"queue": NODE.queue_name}
    assert assigned_target(message) is None


def test_names_that_are_no_text_are_kept_as_the_queue_shows_them():
    message = make(tenant=5)
    assign(message, NODE, DUE_AT)
    restore(message)
    assert message.meta == {"tenant": "5"}


@pytest.mark.parametrize(
    "info",
    [
        None,
        "x",
        {"tenant": 5},
        {"num_attempts": "3"},
        {"due": 12},
        {"due": "yesterday"},
        {"due": "2030-01-01T00:00:00"},
        {"schedule": {"unknown": 1}},
    ],
)
def test_what_makes_no_sense_leaves_the_message_as_it_was(info):
    message = make(queue="q", **{INFO: info})
    before = dict(message.meta)

    with pytest.raises(ValueError, match=r"."):
        restore(message)

    assert message.meta == before
    assert message.attempts == 3


def test_what_another_system_leaves_out_has_a_default():
    message = make(**{INFO: {"tenant": "shop", "unheard_of": 1}})

    assert restore(message) == message.created_at
    assert (message.attempts, message.schedule, message.meta) == (0, None, {"tenant": "shop"})


@pytest.mark.parametrize("attempts", [-5, 10**12])
def test_a_number_of_attempts_stays_within_reason(attempts):
    message = make(**{INFO: {"num_attempts": attempts}})
    restore(message)
    assert 0 <= message.attempts <= 10**9


@pytest.mark.parametrize("at", [-1.0, 0.0, 1_900_000_000.000001, 1e15])
def test_any_due_time_can_be_written(at):
    assert parse_due(format_due(at)) == pytest.approx(max(0.0, min(at, 253_402_300_799.0)))


def test_due_times_of_others_may_have_nanoseconds_and_offsets():
    assert parse_due("2030-01-01T01:00:00.123456789+01:00") == pytest.approx(1893456000.123456)


def test_the_state_of_a_message_that_was_never_assigned_can_be_told():
    state = saved_state(make(tenant="shop"), DUE_AT)
    assert (state["tenant"], state["num_attempts"]) == ("shop", 3)
