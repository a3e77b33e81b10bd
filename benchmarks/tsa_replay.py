"""Log records that one core replays in a second, with 200 rules.

    python -m benchmarks.tsa_replay [--records N]

Place in flow: a segment as a node writes it, read, unpacked, decoded and judged in this process, as
``cirrus tsa replay`` does it. Two logs: deferrals only, a tenth of which count towards a threshold
(the records of ``benchmarks.tsa_intake``), and the usual mixture, in which four of five messages
are delivered. The goal is 80,000 records a second.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import zstandard

from benchmarks.tsa_intake import make_lines, rules_text
from engine.route.shaping_loader import ShapingLoader
from tsa.dry_run import run_replays
from tsa.log_source import LogSource
from tsa.replay import unwanted_kinds

GOAL_PER_S = 80_000
#: Of so many records of the mixture one is a deferral.
DEFERRED_EVERY = 5


def mixture(count: int) -> list[bytes]:
    """Return records of which most are deliveries."""
    lines = make_lines(count)
    return [
        line
        if number % DEFERRED_EVERY == 0
        else line.replace(b'"type":"TransientFailure"', b'"type":"Delivery"', 1)
        for number, line in enumerate(lines)
    ]


def replay_per_s(lines: list[bytes]) -> float:
    """Return how many records a second are replayed from a segment that holds these."""
    with tempfile.TemporaryDirectory(prefix="cirrus-replay-") as name:
        rules, segment = Path(name) / "rules.toml", Path(name) / "segment"
        rules.write_text(rules_text())
        segment.write_bytes(zstandard.ZstdCompressor().compress(b"".join(lines)))
        shaping = asyncio.run(ShapingLoader(None).load([str(rules)])).shaping
        started = time.perf_counter()
        run_replays(LogSource([segment], unwanted_kinds([shaping])), [shaping])
        return len(lines) / (time.perf_counter() - started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Records a second through a replay.")
    parser.add_argument("--records", type=int, default=100_000)
    given = parser.parse_args()
    for title, made in (
        ("deferrals only", make_lines(given.records)),
        ("four of five delivered", mixture(given.records)),
    ):
        print(f"{title:24} {replay_per_s(made):10,.0f} records/s (goal {GOAL_PER_S:,}/s)")
