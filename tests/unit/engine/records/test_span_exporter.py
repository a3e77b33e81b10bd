"""The queue to a collector: bounded, never waited for, emptied at the end for a bounded time."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from engine.records import span_exporter
from engine.records.span_exporter import SpanExporter
from engine.records.span_maker import Span

pytestmark = pytest.mark.real_time


def make_span(name: str = "wait") -> Span:
    return Span(name, "internal", b"t" * 16, b"s" * 8, None, 0.0, 1.0, {})


async def test_what_waits_is_sent_by_the_end():
    sent = []
    exporter = SpanExporter(lambda batch: sent.extend(batch), "collector")
    exporter.start()
    for number in range(1500):
        exporter.put(make_span(str(number)))

    await exporter.close(5)

    assert [int(span.name) for span in sent] == list(range(1500))
    assert (exporter.sent, exporter.failed, exporter.overflowed) == (1500, 0, 0)


async def test_a_full_batch_is_sent_without_waiting_for_more(monkeypatch):
    monkeypatch.setattr(span_exporter, "GATHER_S", 600.0)
    came = threading.Event()
    exporter = SpanExporter(lambda _batch: came.set(), "collector")
    exporter.start()
    for _ in range(span_exporter.BATCH_MAX):
        exporter.put(make_span())

    assert await asyncio.to_thread(came.wait, 10)
    await exporter.close(5)


async def test_a_collector_that_hangs_costs_spans_and_the_time_that_the_stop_gives_it(monkeypatch):
    monkeypatch.setattr(span_exporter, "QUEUE_MAX", 1000)
    asked, released = threading.Event(), threading.Event()

    def hang(_batch):
        asked.set()
        released.wait(30)

    exporter = SpanExporter(hang, "collector", released.set)
    exporter.start()
    exporter.put(make_span())
    assert await asyncio.to_thread(asked.wait, 10)

    began = time.monotonic()
    for _ in range(5000):
        exporter.put(make_span())
    assert time.monotonic() - began < 0.5
    assert exporter.overflowed == 4000

    began = time.monotonic()
    await exporter.close(0.2)
    assert time.monotonic() - began < 5


async def test_a_dead_collector_is_told_of_once_and_when_it_is_back(caplog):
    caplog.set_level(logging.INFO, "cirrus.records")
    answers = ["connection refused", "connection refused", None, None]
    exporter = SpanExporter(lambda _batch: answers.pop(0), "http://collector")
    for _ in range(4):
        exporter.put(make_span())
        exporter.send_batch()

    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "connection refused" in told[0]
    assert "takes spans again; 2 were lost" in told[1]
    assert (exporter.sent, exporter.failed) == (2, 2)


async def test_a_sender_with_a_defect_is_a_collector_that_fails(caplog):
    def send(_batch):
        raise RuntimeError("what is this")

    exporter = SpanExporter(send, "http://collector")
    exporter.put(make_span())

    assert not exporter.send_batch()
    assert exporter.failed == 1
    assert "what is this" in caplog.text


async def test_at_the_end_a_collector_that_fails_is_not_asked_again_and_again():
    asked = []
    exporter = SpanExporter(lambda batch: asked.append(len(batch)) or "no", "collector")
    for _ in range(3 * span_exporter.BATCH_MAX):
        exporter.put(make_span())
    exporter.start()

    await exporter.close(5)

    assert len(asked) <= 2
    assert exporter.failed == 3 * span_exporter.BATCH_MAX
    assert exporter.waiting == 0


async def test_one_that_was_never_started_ends_at_once():
    exporter = SpanExporter(lambda _batch: None, "collector")
    await exporter.close(5)
    assert exporter.sent == 0
