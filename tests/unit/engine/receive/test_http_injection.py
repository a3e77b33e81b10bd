"""Injection without a socket: batches and the gate in the middle of a request."""

from __future__ import annotations

import pytest

from engine.base.clock import Clock
from engine.receive.http_injection import (
    BATCH_MESSAGES,
    HttpInjection,
    InjectRecipient,
    InjectRequest,
)

pytestmark = pytest.mark.real_time


def make_request(count, text="x"):
    return InjectRequest(
        envelope_sender="",
        recipients=[InjectRecipient(email=f"u{n}@y.example") for n in range(count)],
        content=f"Subject: s\n\n{text}",
    )


async def inject(request, gate=lambda: None):
    sizes = []

    async def admit(messages):
        sizes.append(len(messages))
        return [None] * len(messages)

    injection = HttpInjection(Clock(), admit, gate)
    try:
        return await injection.inject_request(request, {}), sizes
    finally:
        injection.close()


async def test_messages_come_in_bounded_batches():
    response, sizes = await inject(make_request(BATCH_MESSAGES * 2 + 1))

    assert sizes == [BATCH_MESSAGES, BATCH_MESSAGES, 1]
    assert response.success_count == BATCH_MESSAGES * 2 + 1


async def test_large_messages_make_small_batches():
    _, sizes = await inject(make_request(6, "x\n" * 1_000_000))

    assert max(sizes) <= 3


async def test_a_node_that_closes_on_the_way_fails_the_rest():
    answers = iter([None, None, "disk full"])

    response, sizes = await inject(make_request(BATCH_MESSAGES + 3), lambda: next(answers))

    assert sizes == [BATCH_MESSAGES]
    assert (response.success_count, response.fail_count) == (BATCH_MESSAGES, 3)
    assert response.errors[0].endswith(": disk full")


async def test_no_recipients_are_no_messages():
    response, sizes = await inject(make_request(0))

    assert (response.success_count, response.fail_count, sizes) == (0, 0, [])


async def test_what_requests_take_is_counted_and_closes_the_node_in_time():
    taken = 0

    def grow(octets):
        nonlocal taken
        taken += octets

    async def admit(messages):
        return [None] * len(messages)

    def gate():
        return "load shedding" if taken > 10_000_000 else None

    injection = HttpInjection(Clock(), admit, gate, grow)
    try:
        response = await injection.inject_request(make_request(20, "x\n" * 1_000_000), {})
    finally:
        injection.close()

    assert 0 < response.success_count < 20
    assert response.errors[-1].endswith(": load shedding")
