"""What it costs a node to send a log record to the automation, in microseconds of CPU.

    python -m benchmarks.feed_cost [--records N]

Place in flow: a recorder and a record feed in this process, as in a node, with the filter over 200
rules; a real daemon on a core of its own takes the records. Counted is the CPU of this process, all
threads: judging, encoding, the journal, the requests. Making the record itself is not counted: a
node makes it for its own log anyway. The goal is under 50 microseconds for each record.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.tsa_intake import make_lines, rules_text, running_daemon
from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.shaping_source import parse_shaping
from engine.model.log_record import LogRecord
from engine.model.shaping import Shaping
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import merge_layers
from engine.model.shaping_rule_set import SKIPPED_KINDS, RecordFilter
from engine.records.record_feed import RecordFeed

GOAL_MICROS = 50.0
#: Records in one turn of the loop, about as many as a busy node makes between two others.
A_TURN = 20


@dataclass(frozen=True, slots=True)
class FeedFigure:
    """What one record cost, in microseconds of CPU."""

    name: str
    micros: float
    goal: float = GOAL_MICROS


def the_rules() -> Shaping:
    """Return the 200 rules of the intake benchmark."""
    layer = parse_shaping(rules_text().encode(), "rules.toml")
    return merge_layers([layer], {}, LoadOptions())[0]


async def measure(records: list[LogRecord], port: int, *, pre_filter: bool) -> float:
    """Return the CPU of this process for one record, until the daemon has all, in microseconds."""
    supervisor = Supervisor()
    wanted = RecordFilter(the_rules(), frozenset()).wants if pre_filter else lambda _one: True
    with tempfile.TemporaryDirectory(prefix="cirrus-feed-") as folder:
        feed = RecordFeed(
            Path(folder),
            Clock(),
            supervisor,
            wants_record=wanted,
            longest_duration_s=lambda: 3600.0,
            skipped=SKIPPED_KINDS,
            timeout_s=30.0,
        )
        url = f"http://127.0.0.1:{port}"
        await feed.start([url])
        before = _received(port)
        began = time.process_time()
        for number, record in enumerate(records):
            feed.write(record, None)
            if number % A_TURN == 0:
                await asyncio.sleep(0)
        sent = sum(map(wanted, records))
        judging = time.process_time()
        sum(map(wanted, records))
        judging = time.process_time() - judging
        while await asyncio.to_thread(_received, port) < before + sent:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        used = time.process_time() - began - 2 * judging
        await feed.stop()
        await supervisor.stop()
    return used / len(records) * 1e6


def _received(port: int) -> int:
    """Return how many records the daemon has taken."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = re.search(r"^tsa_records_received (\S+)$", text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def run(*, records: int) -> list[FeedFigure]:
    """Return a figure for records of which a tenth matches a rule, and for sending all of them."""
    figures = []
    decode = msgspec.json.Decoder(LogRecord).decode
    with running_daemon(None) as (port, _):
        for name, pre_filter in (("a tenth of them sent", True), ("all of them sent", False)):
            made = [decode(line) for line in make_lines(records)]
            figures.append(
                FeedFigure(name, asyncio.run(measure(made, port, pre_filter=pre_filter)))
            )
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What publishing a record costs a node.")
    parser.add_argument("--records", type=int, default=50_000)
    for figure in run(records=parser.parse_args().records):
        print(f"{figure.name:24} {figure.micros:6.1f} us of CPU a record (goal {figure.goal:.0f})")
