"""Floors of free space and inodes, and what is said when they are passed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.base import disk_guard
from engine.base.disk_guard import DiskGuard, Floor, parse_floor


@pytest.mark.parametrize(
    ("value", "floor"),
    [
        (None, Floor(0.1, 500)),
        ("10%", Floor(0.1, None)),
        (" 2.5 % ".replace(" %", "%"), Floor(0.025, None)),
        ("1_000", Floor(None, 1000)),
        ("1,000", Floor(None, 1000)),
        (4096, Floor(None, 4096)),
        ("0%", Floor(0.0, None)),
        (0, Floor(None, 0)),
    ],
)
def test_a_floor_is_a_share_or_a_number(value, floor):
    assert parse_floor(value, 500) == floor


@pytest.mark.parametrize("value", ["", "ten", "100%", "-1%", "nan%", True])
def test_a_floor_that_is_neither_is_refused(value):
    with pytest.raises(ValueError, match="wants"):
        parse_floor(value, 500)


def test_of_two_marks_the_smaller_counts():
    assert Floor(0.1, 500).of(1000) == 100
    assert Floor(0.1, 500).of(100_000) == 500
    assert Floor(None, None).of(1000) == 0


class Disk:
    """A disk whose numbers a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.inodes, self.total_inodes, self.reads = 900, 900, 1000, 0
        self.error: OSError | None = None
        self.now = 0.0
        monkeypatch.setattr(disk_guard.os, "statvfs", self.read)
        self.guard = DiskGuard(Path("/spool"), Floor(0.1, None), Floor(0.1, None), lambda: self.now)

    def read(self, path):
        self.reads += 1
        if self.error:
            raise self.error
        return SimpleNamespace(
            f_bavail=self.free,
            f_frsize=10,
            f_blocks=1000,
            f_favail=self.inodes,
            f_files=self.total_inodes,
        )

    def later(self) -> str | None:
        self.now += 1.0
        return self.guard.trouble()


def test_too_little_of_either_is_said_and_goes_away(monkeypatch):
    disk = Disk(monkeypatch)
    assert disk.later() is None

    disk.free = 99
    assert disk.later() == "too little free space for /spool"
    disk.free, disk.inodes = 100, 99
    assert disk.later() == "too few free inodes for /spool"
    disk.inodes = 100
    assert disk.later() is None
    assert (disk.guard.free_bytes, disk.guard.total_bytes) == (1000, 10_000)


def test_a_filesystem_without_inode_counts_is_judged_by_space_only(monkeypatch):
    disk = Disk(monkeypatch)
    disk.inodes = disk.total_inodes = 0

    assert disk.later() is None


def test_a_disk_that_cannot_be_read_takes_no_mail(monkeypatch):
    disk = Disk(monkeypatch)
    disk.error = OSError(5, "Input/output error")

    assert disk.later() == "cannot read the disk of /spool: Input/output error"


def test_the_disk_is_asked_at_most_ten_times_a_second(monkeypatch):
    disk = Disk(monkeypatch)

    for _ in range(100):
        disk.guard.trouble()
    assert disk.reads == 1
    disk.later()
    assert disk.reads == 2


def test_a_real_disk_is_read(tmp_path):
    guard = DiskGuard(tmp_path, Floor(None, 0), Floor(None, 0), lambda: 0.0)

    assert guard.trouble() is None
    assert 0 < guard.free_bytes <= guard.total_bytes
