"""``cirrus demo`` tells a true story, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.model.log_record import LogRecord, RecordKind
from engine.tools.demo import MEANINGS, judge, unsettled
from engine.tools.demo_world import DemoFailedError

ROOT = Path(__file__).resolve().parents[4]


def record(kind: RecordKind, message: str) -> LogRecord:
    return LogRecord(kind=kind, id=message)


def a_true_story() -> list[LogRecord]:
    return [
        record(RecordKind.RECEPTION, "1"),
        record(RecordKind.RECEPTION, "2"),
        record(RecordKind.TRANSIENT_FAILURE, "1"),
        record(RecordKind.DELIVERY, "1"),
        record(RecordKind.BOUNCE, "2"),
        record(RecordKind.REJECTION, "3"),
    ]


def test_a_true_story_passes():
    judge(a_true_story())


@pytest.mark.parametrize("kind", MEANINGS)
def test_a_story_without_one_of_its_outcomes_fails(kind):
    rest = [each for each in a_true_story() if each.kind is not kind]
    with pytest.raises(DemoFailedError, match=kind.value):
        judge(rest)


def test_a_message_without_an_end_fails_the_story():
    records = [*a_true_story(), record(RecordKind.RECEPTION, "4")]
    assert unsettled(records) == {"4"}
    with pytest.raises(DemoFailedError, match="1 messages are not accounted for"):
        judge(records)


@pytest.mark.real_time
@pytest.mark.slow
@pytest.mark.timeout(90)
def test_the_whole_demonstration_runs_and_cleans_up(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "engine.tools.demo"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "COLUMNS": "120"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=75,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for kind in MEANINGS:
        assert re.search(rf"{kind.value} *\S* *[1-9]", done.stdout), done.stdout
    assert ", 0 left." in done.stdout
    assert list(tmp_path.iterdir()) == []
