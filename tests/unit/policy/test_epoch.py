"""An epoch knows the content it was made from."""

from __future__ import annotations

from pathlib import Path

from policy.budget import Budget
from policy.epoch import Epoch


def test_the_hash_follows_the_content_of_each_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    hashes = []
    for content in ("a", "b", "a"):
        data.write_text(content)
        epoch = Epoch(1, Budget())
        epoch.watch_file(data)
        hashes.append(epoch.content_hash)

    assert hashes[0] == hashes[2] != hashes[1]


def test_a_missing_file_is_watched_too(tmp_path: Path) -> None:
    epoch = Epoch(1, Budget())

    epoch.watch_file(str(tmp_path / "nothing"))

    assert epoch.files == {tmp_path / "nothing": None}
