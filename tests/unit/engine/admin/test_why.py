"""Why something does not go on, judged from what was seen alone."""

from __future__ import annotations

import dataclasses
import math

import pytest

from engine.admin.why import (
    explain_backlog,
    explain_message,
    explain_queue,
    explain_way,
)
from engine.admin.why_seen import (
    DirectiveSeen,
    MessageSeen,
    NodeSeen,
    QueueSeen,
    RateSeen,
    SessionSeen,
    TransferSeen,
    WaySeen,
)

NOW = NodeSeen(now_at=1000.0, retry_interval="1200s")
QUEUE = QueueSeen(name="a.test", count=1)
DUE = MessageSeen(place="waiting", due_at=900.0)
LATER = MessageSeen(place="waiting", due_at=1600.0)
ORDER = DirectiveSeen("spam", "ann", 1300.0)
WAY = WaySeen(name="s1->mx@smtp_client", source="s1", count=3)


def codes(reasons):
    return [one.code for one in reasons]


@pytest.mark.parametrize(
    ("options", "code"),
    [({"suspended": ORDER}, "QueueSuspended"), ({"bounced": ORDER}, "AdminBounce")],
)
def test_an_order_for_a_queue_is_named_with_author_and_end(options, code):
    queue = QueueSeen(name="a.test", count=1, **options)

    (found,) = explain_message(DUE, queue, NOW)

    assert (found.code, found.author, found.until_at) == (code, "ann", 1300.0)
    assert "spam" in found.text
    assert codes(explain_queue(queue, NOW)) == [code]


def test_a_hold_is_named_with_author_beginning_and_end_until_that_is_over():
    held = MessageSeen(place="waiting", due_at=900.0, hold=ORDER, hold_since_at=500.0)
    (found,) = explain_message(held, QUEUE, NOW)
    assert (found.code, found.author, found.since_at, found.until_at) == (
        "HeldByOperator",
        "ann",
        500.0,
        1300.0,
    )

    endless = MessageSeen(place="waiting", due_at=900.0, hold=DirectiveSeen("x", "ann", math.inf))
    assert explain_message(endless, QUEUE, NOW)[0].until_at is None
    over = MessageSeen(place="waiting", due_at=900.0, hold=DirectiveSeen("x", "ann", 999.0))
    assert codes(explain_message(over, QUEUE, NOW)) == ["BeingPromoted"]


def test_an_order_comes_before_the_due_time_that_follows_it():
    queue = QueueSeen(name="a.test", count=1, suspended=ORDER)

    assert codes(explain_message(LATER, queue, NOW)) == ["QueueSuspended", "ScheduledForLater"]


@pytest.mark.parametrize(
    ("options", "code", "where"),
    [
        ({"suspended": ORDER}, "ReadyQueueWasSuspended", WAY.name),
        ({"source_suspended": ORDER}, "SourceIsUnhealthyAndSuspended", "s1"),
    ],
)
def test_mail_that_no_source_may_carry_names_who_took_each_out(options, code, where):
    way = WaySeen(name=WAY.name, source="s1", **options)
    queue = QueueSeen(name="a.test", count=1, held=1, lacks_source=True, pool="p", ways=(way,))
    message = MessageSeen(place="waiting", due_at=900.0, is_held=True)

    first, second = explain_message(message, queue, NOW)

    assert (first.code, first.where) == ("NoEligibleSource", "p")
    assert (second.code, second.where, second.author) == (code, where, "ann")
    assert second.until_at == 1300.0
    assert codes(explain_queue(queue, NOW)) == ["NoEligibleSource", code]


@pytest.mark.parametrize(
    ("options", "code", "knob", "until_at"),
    [
        (
            {
                "blocked_by": "max_message_rate",
                "rate": RateSeen("max_message_rate", "1/h", 1200.0),
                "again_at": 1111.0,
            },
            "MessageRateThrottle",
            "max_message_rate",
            1200.0,
        ),
        (
            {"blocked_by": "source_selection_rate", "again_at": 1111.0},
            "SourceSelectionThrottle",
            "source_selection_rate",
            1111.0,
        ),
        (
            {"blocked_by": "get_queue_config failed: x.py:1: no", "again_at": 1111.0},
            "PolicyError",
            None,
            1111.0,
        ),
        (
            {"blocked_by": "a shared rate is asked for", "again_at": 1111.0},
            "SharedRate",
            None,
            1111.0,
        ),
        (
            {"no_way": "451 4.4.4 no route", "no_way_until_at": 1001.0},
            "FailedToInsertIntoReadyQueue",
            None,
            1001.0,
        ),
        ({}, "BeingPromoted", None, None),
    ],
)
def test_what_blocks_the_head_of_a_queue_blocks_all_behind_it(options, code, knob, until_at):
    queue = QueueSeen(name="a.test", count=2, due=2, **options)

    (found,) = explain_backlog(queue, NOW)

    assert (found.code, found.knob, found.until_at) == (code, knob, until_at)
    assert codes(explain_message(DUE, queue, NOW)) == codes(explain_queue(queue, NOW)) == [code]


def test_a_full_ready_queue_says_why_it_gets_no_emptier():
    full = WaySeen(
        name=WAY.name,
        source="s1",
        count=10,
        max_ready=10,
        limited_by="shared",
        limit=4,
        limited_since_at=700.0,
        holders=("s2->mx@smtp_client (4)",),
    )
    roomy = WaySeen(name="other", source="s2", count=1, max_ready=10)
    queue = QueueSeen(
        name="a.test", count=1, due=1, blocked_by="ready queue full", ways=(full, roomy)
    )

    first, second = explain_message(DUE, queue, NOW)

    assert (first.code, first.where, first.knob, first.value) == (
        "ReadyQueueWasFull",
        WAY.name,
        "max_ready",
        "10",
    )
    assert (second.code, second.knob, second.value) == (
        "ConnectionLimit",
        "additional_connection_limits",
        "shared: 4",
    )
    assert (second.held_by, second.since_at) == (["s2->mx@smtp_client (4)"], 700.0)


def test_a_limit_of_its_own_is_told_from_a_shared_one():
    way = WaySeen(
        name=WAY.name,
        source="s1",
        count=9,
        limited_by=f"connection_limit.{WAY.name}",
        limit=1,
        sessions=(SessionSeen("DeliveringMessage", "mx/192.0.2.1:25", 990.0),),
    )

    first, second = explain_way(way, NOW)

    assert (first.code, first.knob, first.value) == ("ConnectionLimit", "connection_limit", "1")
    assert (second.code, second.since_at) == ("BeingSent", 990.0)
    assert "DeliveringMessage (mx/192.0.2.1:25)" in second.text


def test_of_a_limit_that_nodes_share_it_is_said_how_much_of_it_is_not_here():
    way = WaySeen(
        name=WAY.name,
        source="s1",
        limited_by="all",
        limit=10,
        holders=("q (4)",),
        held_here=4,
    )
    shared, alone = (
        NodeSeen(now_at=1000.0, nodes=3),
        NodeSeen(now_at=1000.0, nodes=3, is_alone=True, alone_for="no route"),
    )

    (among,), (by_itself,) = explain_way(way, shared), explain_way(way, alone)
    (local,) = explain_way(dataclasses.replace(way, limited_by="local:all"), shared)

    assert among.held_by == ["q (4)", "other nodes (up to 6)"]
    assert "3 nodes share it" in among.text
    assert by_itself.held_by == ["q (4)"]
    assert by_itself.text.endswith("it is alone: no route")
    assert (local.held_by, local.value) == (["q (4)"], "all: 10")
    assert "share" not in local.text


def test_of_a_rate_that_nodes_share_it_is_said():
    rates = (RateSeen("max_message_rate", "1/h", 1800.0),)
    sessions = (SessionSeen("MessageRateThrottled", "", 950.0),)
    way = WaySeen(name=WAY.name, source="s1", sessions=sessions, message_rates=rates)
    local = dataclasses.replace(
        way, message_rates=(RateSeen("max_message_rate", "local:1/h", 1800.0),)
    )
    nodes = NodeSeen(now_at=1000.0, nodes=2)

    assert explain_way(way, nodes)[0].text.endswith("2 nodes share it")
    assert "share" not in explain_way(local, nodes)[0].text
    assert "share" not in explain_way(way, NOW)[0].text


@pytest.mark.parametrize(
    ("phase", "rates", "code"),
    [
        ("ConnectionRateThrottled", "connection_rates", "ConnectionRateThrottle"),
        ("MessageRateThrottled", "message_rates", "MessageRateThrottle"),
    ],
)
def test_sessions_that_wait_for_a_rate_name_the_one_that_frees_last(phase, rates, code):
    way = WaySeen(
        name=WAY.name,
        source="s1",
        count=2,
        sessions=(SessionSeen(phase, "", 950.0), SessionSeen(phase, "", 970.0)),
        **{rates: (RateSeen("a", "10/s", 1000.1), RateSeen("b", "1/h", 1800.0, "tenant"))},
    )

    (found,) = explain_way(way, NOW)

    assert (found.code, found.since_at, found.until_at) == (code, 950.0, 1800.0)
    assert (found.knob, found.value) == ("b", "tenant: 1/h")


def test_a_pause_after_failures_and_a_spool_in_trouble_are_named():
    way = WaySeen(name=WAY.name, source="s1", count=1, failures=5, paused_until_at=1000.5)
    (paused,) = explain_way(way, NOW)
    assert (paused.code, paused.until_at) == ("ConnectionFailures", 1000.5)

    trouble = NodeSeen(now_at=1000.0, spool_trouble="the spool cannot be written: EIO")
    assert codes(explain_way(WAY, trouble)) == ["SpoolUnhealthy"]
    assert codes(explain_message(DUE, QUEUE, trouble)) == ["SpoolUnhealthy"]


def test_a_message_on_its_way_says_where_it_is():
    session = SessionSeen("AttemptingConnection", "mx/192.0.2.1:25", 990.0)

    sending = explain_message(
        MessageSeen(place="sending", due_at=900.0, session=session), QUEUE, NOW
    )
    ready = explain_message(MessageSeen(place="ready", due_at=900.0, way=WAY), QUEUE, NOW)
    elsewhere = explain_message(MessageSeen(place="elsewhere", due_at=900.0), None, NOW)

    recovering = explain_message(
        MessageSeen(place="elsewhere", due_at=900.0), None, NodeSeen(now_at=1.0, is_recovering=True)
    )

    assert codes(sending) == ["BeingSent"]
    assert codes(ready) == ["NoSession"]
    assert codes(elsewhere) == ["OnItsWay"]
    assert codes(recovering) == ["Recovering"]


def test_sessions_that_do_the_same_are_one_link_however_many_they_are():
    sessions = [SessionSeen("DeliveringMessage", f"mx/192.0.2.{n}:25", 900.0 + n) for n in range(9)]
    sessions.append(SessionSeen("Idle", "", 950.0))
    way = WaySeen(name=WAY.name, source="s1", count=9, sessions=tuple(sessions))

    many, one = explain_way(way, NOW)

    assert many.text.startswith("9 sessions are at DeliveringMessage") and many.since_at == 900.0
    assert "mx/192.0.2.0:25" in many.text
    assert one.text == "a session is at Idle"


@pytest.mark.parametrize(
    ("blocked_by", "code"),
    [
        ("an egress handler failed: get_egress_pool: x.py:1: no", "PolicyError"),
        ("the spool cannot be written", "SpoolUnhealthy"),
        ("an internal error", "InternalError"),
        ("the spool was closed", "NodeTrouble"),
    ],
)
def test_what_else_blocks_a_queue_is_told_apart(blocked_by, code):
    queue = QueueSeen(name="a.test", count=1, due=1, blocked_by=blocked_by, again_at=1060.0)

    (found,) = explain_backlog(queue, NOW)

    assert (found.code, found.until_at) == (code, 1060.0)
    assert blocked_by in found.text


def test_mail_that_is_transferred_names_the_order_its_author_and_the_last_error():
    order = TransferSeen("http://n2/", "full (by ann)", "ann", "connection refused", 940.0)
    queue = QueueSeen(name="x", count=1, due=1, transfer=order)
    way = WaySeen(name=WAY.name, source="s1", transfer=TransferSeen("http://n2/"))

    found = explain_message(DUE, queue, NOW)
    (unknown,) = explain_way(way, NOW)

    assert codes(found) == ["BeingPromoted", "TransferOrdered", "TransferFailed"]
    assert (found[1].author, found[2].since_at) == ("ann", 940.0)
    assert "http://n2/: full (by ann)" in found[1].text
    assert codes(explain_queue(queue, NOW)) == codes(found)
    assert unknown.author is None and "AdminRebind record" in unknown.text


def test_a_message_that_grows_too_old_first_says_so():
    message = MessageSeen(place="waiting", due_at=1600.0, expires_at=1500.0)

    assert codes(explain_message(message, QUEUE, NOW)) == ["ScheduledForLater", "Expiration"]


def test_a_queue_in_which_all_waits_says_when_the_next_is_due():
    queue = QueueSeen(name="a.test", count=4, next_due_at=1100.0)

    (found,) = explain_queue(queue, NOW)

    assert (found.code, found.until_at, found.value) == ("ScheduledForLater", 1100.0, "1200s")
    assert explain_queue(QueueSeen(name="a.test"), NOW) == []


def test_a_ready_queue_that_has_all_the_sessions_it_may_says_so_while_mail_is_left():
    sessions = (SessionSeen("DeliveringMessage", "", 990.0),)
    busy = WaySeen(name=WAY.name, source="s1", count=2, own_limit=1, sessions=sessions)
    empty = WaySeen(name=WAY.name, source="s1", count=0, own_limit=1, sessions=sessions)

    first, _ = explain_way(busy, NOW)

    assert (first.code, first.knob, first.held_by) == (
        "ConnectionLimit",
        "connection_limit",
        [f"{WAY.name} (1)"],
    )
    assert codes(explain_way(empty, NOW)) == ["BeingSent"]
