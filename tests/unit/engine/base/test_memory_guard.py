"""Limits of memory, and when the node sheds load."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.base import memory_guard
from engine.base.memory_guard import MemoryGuard, read_hard_limit, read_usage

MIB = 1 << 20


def guard(monkeypatch: pytest.MonkeyPatch, usage: int = 0, **environment: int) -> MemoryGuard:
    state = {"usage": usage}
    monkeypatch.setattr(memory_guard, "read_usage", lambda: state["usage"])
    made = MemoryGuard(
        {f"CIRRUS_MEMORY_{name}_LIMIT": str(value) for name, value in environment.items()}
    )
    made.use = lambda octets: (state.update(usage=octets), made.sample())
    return made


def test_marks_are_shares_of_the_hard_limit(monkeypatch):
    made = guard(monkeypatch, HARD=1000 * MIB)

    assert (made.hard, made.soft, made.low) == (1000 * MIB, 750 * MIB, 600 * MIB)


def test_what_a_script_sets_wins(monkeypatch):
    made = guard(monkeypatch, HARD=1000 * MIB, SOFT=900 * MIB)
    assert made.soft == 900 * MIB

    made.set_limits({"hard_limit": 500 * MIB, "soft_limit": 400 * MIB, "low_thresh": 100 * MIB})

    assert (made.hard, made.soft, made.low) == (500 * MIB, 400 * MIB, 100 * MIB)


def test_a_limit_taken_out_of_the_script_no_longer_holds(monkeypatch):
    made = guard(monkeypatch, HARD=1000 * MIB)
    made.set_limits({"low_thresh": 100 * MIB})

    made.set_limits({})

    assert made.low == 600 * MIB


def test_what_is_taken_between_two_samples_counts_at_once(monkeypatch):
    made = guard(monkeypatch, HARD=1000 * MIB)
    made.use(700 * MIB)

    made.grow(49 * MIB)
    assert made.trouble() is None
    made.grow(MIB)
    assert made.trouble() == "load shedding, memory is short"
    made.grow(-MIB)
    assert made.trouble() is None
    made.grow(100 * MIB)
    made.use(700 * MIB)
    assert made.trouble() is None


def test_what_is_freed_after_a_sample_over_the_limit_counts_at_once(monkeypatch):
    made = guard(monkeypatch, HARD=1000 * MIB)
    made.use(800 * MIB)

    made.grow(-51 * MIB)

    assert made.trouble() is None


def test_load_is_shed_above_the_soft_limit_only_and_counted_once(monkeypatch):
    made = guard(monkeypatch, HARD=1000 * MIB)

    made.use(599 * MIB)
    assert (made.is_low, made.trouble()) == (False, None)
    made.use(600 * MIB)
    assert (made.is_low, made.trouble()) == (True, None)
    made.use(750 * MIB)
    made.use(800 * MIB)
    assert made.trouble() == "load shedding, memory is short"
    made.use(10 * MIB)
    assert (made.is_low, made.trouble()) == (False, None)
    assert (made.low_count, made.over_count) == (1, 1)


def test_the_smallest_limit_of_the_machine_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(memory_guard, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory_guard, "_OWN_GROUPS", tmp_path / "none")
    physical = read_hard_limit()
    assert physical > 0

    (tmp_path / "memory.max").write_text("max\n")
    assert read_hard_limit() == physical
    (tmp_path / "memory.max").write_text(f"{64 * MIB}\n")
    assert read_hard_limit() == 64 * MIB
    (tmp_path / "memory.max").write_text(f"{physical * 2}\n")
    assert read_hard_limit() == physical


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("1:cpu:/x\n0::/system.slice/cirrus.service\n", "memory.max"),
        ("4:cpu,memory:/system.slice/cirrus.service\n", "memory/memory.limit_in_bytes"),
    ],
)
def test_the_limit_of_the_units_own_control_group_counts(monkeypatch, tmp_path, groups, file):
    monkeypatch.setattr(memory_guard, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory_guard, "_OWN_GROUPS", tmp_path / "own")
    (tmp_path / "own").write_text(groups)
    folder, _, name = f"{tmp_path}/{file}".rpartition("/")
    unit = Path(folder) / "system.slice" / "cirrus.service"
    unit.mkdir(parents=True)

    (unit.parent / name).write_text(f"{64 * MIB}\n")
    assert read_hard_limit() == 64 * MIB
    (unit / name).write_text(f"{32 * MIB}\n")
    assert read_hard_limit() == 32 * MIB


def test_use_is_read_from_the_process():
    assert MIB < read_usage() < 64 << 30
