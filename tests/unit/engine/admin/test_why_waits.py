"""The words for why a message waits for its due time."""

from __future__ import annotations

import pytest

from engine.admin.why_seen import MessageSeen, NodeSeen, QueueSeen, RateSeen, WaySeen
from engine.admin.why_waits import WAITS, expiry, number, sharing, until_due

NOW = NodeSeen(now_at=1000.0, retry_interval="1200s")
QUEUE = QueueSeen(name="a.test", count=1)


def waiting(*reasons, **options):
    return MessageSeen(place="waiting", due_at=1600.0, reasons=("Received", *reasons), **options)


def codes(found):
    return [one.code for one in found]


@pytest.mark.parametrize("label", WAITS)
def test_each_wait_is_named_with_its_end(label):
    reply = "451 later" if label == "LoggedTransientFailure" else ""

    (found,) = until_due(waiting(label, attempts=2, last_reply=reply), QUEUE, NOW)

    assert (found.code, found.until_at) == (label, 1600.0)
    assert found.text and found.where


def test_a_failed_attempt_is_named_with_its_reply_its_host_and_the_schedule():
    message = waiting(
        "LoggedTransientFailure",
        "ScheduledForLater",
        "TooManyConnectionFailures",
        attempts=2,
        last_reply="451 4.4.1 no answer",
        last_reply_at=400.0,
        last_way="s1->mx@smtp_client",
    )

    first, second = until_due(message, QUEUE, NOW)

    assert (first.code, second.code) == ("TooManyConnectionFailures", "LoggedTransientFailure")
    assert second.text == "attempt 2 failed: 451 4.4.1 no answer"
    assert (second.where, second.since_at) == ("s1->mx@smtp_client", 400.0)
    assert (second.knob, second.value) == ("retry_interval", "1200s")


def test_the_reply_is_known_also_after_a_restart_that_forgot_the_reasons():
    message = waiting("Enumerated", attempts=1, last_reply="451 x")

    assert codes(until_due(message, QUEUE, NOW)) == ["LoggedTransientFailure"]


def test_a_failed_handler_is_not_taken_for_a_throttle():
    message = waiting("ThrottledByThrottleInsertReadyQueue", "ThrottleHandlerFailed")

    (found,) = until_due(message, QUEUE, NOW)

    assert (found.code, found.knob) == ("ThrottleHandlerFailed", "throttle_insert_ready_queue")


def test_a_rate_that_is_too_slow_for_sessions_is_named_by_its_option():
    slow = RateSeen("additional_message_rate_throttles", "1/h", 4000.0, "tenant")
    ways = (
        WaySeen(
            name="w",
            source="s",
            message_rates=(RateSeen("max_message_rate", "9/s", 1000.0), slow),
            connection_rates=(RateSeen("max_connection_rate", "local:2/h", 2000.0),),
        ),
    )
    queue = QueueSeen(name="a.test", count=1, ways=ways)
    two = NodeSeen(now_at=1000.0, nodes=2)

    (message,) = until_due(waiting("MessageRateThrottle"), queue, two)
    (connection,) = until_due(waiting("ConnectionRateThrottle"), queue, two)

    assert (message.knob, message.value) == ("additional_message_rate_throttles", "tenant: 1/h")
    assert message.text.endswith("2 nodes share it")
    assert (connection.knob, connection.value) == ("max_connection_rate", "local:2/h")
    assert "share" not in connection.text


def test_a_schedule_of_its_own_is_shown_as_it_was_written():
    (found,) = until_due(waiting("ScheduledForLater", schedule="dow Mon, tz UTC"), QUEUE, NOW)

    assert (found.code, found.knob, found.value) == (
        "ScheduledForLater",
        "schedule",
        "dow Mon, tz UTC",
    )


def test_what_was_held_until_now_is_told_from_what_is_scheduled():
    (found,) = until_due(waiting("ScheduledForLater", was_held=True), QUEUE, NOW)

    assert (found.code, found.until_at) == ("Released", 1600.0)


def test_the_end_of_its_life_is_told_where_it_comes_first():
    assert codes(expiry(waiting(expires_at=1500.0), NOW)) == ["Expiration"]
    assert expiry(waiting(expires_at=1700.0), NOW) == []
    assert expiry(waiting(), NOW) == []


def test_it_is_said_with_whom_a_rate_is_shared():
    alone = NodeSeen(now_at=1.0, nodes=3, is_alone=True, alone_for="no route")

    assert sharing(NOW, "1/s") == sharing(alone, "local:1/s") == ""
    assert sharing(NodeSeen(now_at=1.0, nodes=3), "1/s") == "; 3 nodes share it"
    assert sharing(alone, "1/s").endswith("it is alone: no route")


def test_numbers_are_words():
    assert (number(1, "session"), number(2, "session")) == ("1 session", "2 sessions")
