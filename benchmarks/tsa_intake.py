"""Log records that one core of the traffic shaping daemon takes in a second, with 200 rules.

    python -m benchmarks.tsa_intake [--records N] [--profile FILE]

Place in flow: a real daemon on a core of its own (where the machine has two), fed from here over a
websocket, with batches by HTTP, and with single records by HTTP, one after the other. Each record
is one of its own; a tenth of them match a rule and count towards a threshold, and some complete it,
all of which is made durable before they are acknowledged. The goals are 40,000 records a second in
batches, 1,500 one by one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks import parts
from benchmarks.processes import accepts, cpu_s, free_port, stop, wait_until
from engine.model.log_record import (
    EnhancedCode,
    LogRecord,
    PeerAddress,
    RecordKind,
    Response,
    encode_record,
    format_created_time,
    format_event_time,
    new_record_id,
)

BATCH_GOAL_PER_S = 40_000
SINGLE_GOAL_PER_S = 1_500
RULES = 200
#: The rules whose words are said, among those for every destination.
SAID = (1, 3, 105, 107)
DOMAINS = 400
BATCH = 1_000
#: Connections that send single records, each the next one when the last was answered.
SENDERS = 32
#: Batches under way on a websocket, requests with batches at once.
WINDOW = 4
#: One record in so many matches a rule.
MATCH_EVERY = 10
_REPLIES = (
    "RP-001 the mail server 192.0.2.{n} has been temporarily deferred, see https://x.example/{n}",
    "our system has detected an unusual rate of unsolicited mail originating from 192.0.2.{n}",
    "<user{n}@mail.example>: Recipient address rejected: User unknown in virtual mailbox table",
    "Requested mail action aborted, mailbox not found; session=<{n}>, try again later",
    "connection to the storage backend was lost while talking to node {n}, please come back",
)


@dataclass(frozen=True, slots=True)
class IntakeFigure:
    """Records per second by the clock, and what one cost the daemon."""

    name: str
    per_s: float
    micros_of_cpu: float
    goal_per_s: int


def rules_text() -> str:
    """Return 200 rules: half for every destination, half of ten providers."""
    lines = []
    for number in range(RULES):
        section = "default" if number % 2 else f'provider."group-{number // 2 % 10}"'
        lines += [
            f"[[{section}.automation]]",
            f"regex = ['\\bTSS{number:03d}\\b', 'policy {number:03d}: (too many|excessive) \\w+']",
            ("action = 'Suspend'", "action = {SetConfig={name='connection_limit', value=2}}")[
                number // 2 % 2
            ],
            "trigger = {Threshold='5/hour'}",
            "duration = '1 hour'",
        ]
    for group in range(10):
        suffix = f"mx-{group}.example"
        lines += [f'[provider."group-{group}"]', f"match = [{{MXSuffix='.{suffix}'}}]"]
    return "\n".join(lines) + "\n"


def make_lines(count: int) -> list[bytes]:
    """Return records as a node sends them, each different from all others."""
    rng = random.Random(11)
    now = time.time()
    lines = []
    for number in range(count):
        place = rng.randrange(DOMAINS)
        domain, group = f"mail-{place}.example", place % 20
        content = _REPLIES[number % len(_REPLIES)].format(n=rng.randint(1, 250))
        if number % MATCH_EVERY == 0:
            content = f"TSS{rng.choice(SAID):03d} {content}"
        site = f"(mx1|mx2).mx-{group}.example"
        queue = f"ip-{rng.randint(1, 20)}->{site}@smtp_client"
        at = now - rng.random()
        record = LogRecord(
            kind=RecordKind.TRANSIENT_FAILURE,
            record_id=new_record_id(),
            id=new_record_id(),
            sender=f"bounces+{number}@news.example",
            recipient=f"user{number}@{domain}",
            queue=f"weekly:tenant-{rng.randint(1, 50)}@{domain}",
            site=queue,
            ready_queue=queue,
            site_name=site,
            size=24_000,
            response=Response(451, EnhancedCode(4, 7, 1), content, "."),
            peer_address=PeerAddress(f"mx1.mx-{group}.example", "192.0.2.9"),
            timestamp=int(at),
            event_time=format_event_time(at),
            created=int(now) - 60,
            created_time=format_created_time(now - 60),
            egress_pool="pool-a",
            egress_source=queue.partition("->")[0],
            meta={"tenant": "tenant-1", "campaign": "weekly"},
            delivery_protocol="ESMTP",
            nodeid="0193c5a2-8f3a-7c11-9c55-0123456789ab",
        )
        lines.append(encode_record(record))
    return lines


@contextlib.contextmanager
def running_daemon(profile: Path | None) -> Iterator[tuple[int, int]]:
    """Run a daemon on a core of its own; give its port and process id."""
    with tempfile.TemporaryDirectory(prefix="cirrus-intake-") as name:
        folder, port = Path(name), free_port()
        (folder / "rules.toml").write_text(rules_text())
        runner = ["-m", "tsa"]
        if profile is not None:
            runner = ["-m", "cProfile", "-o", str(profile), *runner]
        process = subprocess.Popen(
            [
                *(sys.executable, *runner, "--shaping", str(folder / "rules.toml")),
                *("--state", str(folder / "state"), "--listen", f"127.0.0.1:{port}"),
                *("--log-level", "warning"),
            ],
            cwd=parts.PROJECT,
            env={**os.environ, "PYTHONPATH": str(parts.PROJECT)},
        )
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process.pid, {cores[-1]})
        os.sched_setaffinity(0, set(cores[:-1]) or set(cores))
        try:
            wait_until("the daemon is up", lambda: accepts(port), limit_s=30, every_s=0.05)
            yield port, process.pid
        finally:
            os.sched_setaffinity(0, set(cores))
            stop(process)


def _batches(lines: Sequence[bytes]) -> list[bytes]:
    return [b"".join(lines[start : start + BATCH]) for start in range(0, len(lines), BATCH)]


async def send_stream(port: int, lines: Sequence[bytes]) -> None:
    """Send batches over one websocket, some of them under way at a time."""
    room = asyncio.Semaphore(WINDOW)
    batches = _batches(lines)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/publish_stream_v1", max_msg_size=0) as socket,
    ):

        async def send() -> None:
            for batch in batches:
                await room.acquire()
                await socket.send_bytes(batch)

        async def read() -> None:
            for _ in batches:
                answer = await socket.receive_json(timeout=30)
                assert answer["refused"] == 0, answer
                room.release()

        await asyncio.gather(send(), read())


async def send_batches(port: int, lines: Sequence[bytes]) -> None:
    """Send batches as requests, some of them at once."""
    waiting = iter(_batches(lines))
    url = f"http://127.0.0.1:{port}/publish_log_v1"

    async def send(session: aiohttp.ClientSession) -> None:
        for batch in waiting:
            headers = {"Content-Type": "application/x-ndjson"}
            async with session.post(url, data=batch, headers=headers) as answer:
                assert (await answer.json())["refused"] == 0

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(send(session) for _ in range(WINDOW)))


async def send_singly(port: int, lines: Sequence[bytes]) -> None:
    """Send each record as a request of its own, over connections that stay."""
    waiting = iter(lines)
    head = b"POST /publish_log_v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for line in waiting:
            writer.write(b"%sContent-Length: %d\r\n\r\n%s" % (head, len(line), line))
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
        writer.close()

    await asyncio.gather(*(send() for _ in range(SENDERS)))


def run(*, records: int, profile: Path | None = None) -> list[IntakeFigure]:
    """Return a figure for each way of sending."""
    ways: list[tuple[str, Callable[[int, Sequence[bytes]], Awaitable[None]], int, int]] = [
        ("websocket, batches", send_stream, records, BATCH_GOAL_PER_S),
        ("POST, batches", send_batches, records, BATCH_GOAL_PER_S),
        ("POST, single records", send_singly, max(1, records // 20), SINGLE_GOAL_PER_S),
    ]
    figures = []
    with running_daemon(profile) as (port, pid):
        for name, send, count, goal in ways:
            lines = make_lines(count)
            used = cpu_s(pid)
            started = time.perf_counter()
            asyncio.run(send(port, lines))  # type: ignore[arg-type]
            took = time.perf_counter() - started
            used = cpu_s(pid) - used
            figures.append(IntakeFigure(name, count / took, used / count * 1e6, goal))
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Records a second into the TSA.")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--profile", type=Path)
    given = parser.parse_args()
    for figure in run(records=given.records, profile=given.profile):
        print(
            f"{figure.name:22} {figure.per_s:10,.0f} records/s"
            f" {figure.micros_of_cpu:8.1f} us of CPU each (goal {figure.goal_per_s:,}/s)"
        )
