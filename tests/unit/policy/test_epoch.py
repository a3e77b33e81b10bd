"""An epoch knows the content it was made from."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

from policy.budget import Budget
from policy.epoch import Epoch, digest_of
from policy.hook import Hook
from policy.testing import LoadedScript


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


def test_a_folder_changes_when_a_file_comes_or_goes(tmp_path: Path) -> None:
    before = digest_of(tmp_path)
    (tmp_path / "new.toml").write_text("a = 1")
    after = digest_of(tmp_path)
    (tmp_path / "new.toml").unlink()

    assert before == digest_of(tmp_path) != after


def test_what_an_editor_leaves_beside_a_file_is_no_change(tmp_path: Path) -> None:
    before = digest_of(tmp_path)
    for name in (".init.py.swp", "init.py~"):
        (tmp_path / name).touch()

    assert digest_of(tmp_path) == before


KEEPING = """
import typing
from mta import on

class Tenant:
    def pool(self): return 1

def find(name: typing.Optional[Tenant]) -> typing.List[bytes]: return name

Table = typing.Dict[str, Tenant]
TABLE: Table = {"a": Tenant()}

@on("probe")
def probe(): return TABLE["a"].pool()
"""


def test_an_epoch_that_nobody_uses_is_freed(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, KEEPING, (Hook("probe", result=(int,)),))

    def handler() -> weakref.ref[Any]:
        return weakref.ref(script.runtime.epoch.handlers["probe"][0].function)

    handlers = [handler()]
    for number in range(5):
        assert script.runtime.fire_nowait("probe") == 1
        script.rewrite(KEEPING + f"# {number}\n")
        script.runtime.reload_if_changed()
        handlers.append(handler())
    gc.collect()

    assert [found() is not None for found in handlers] == [False] * 5 + [True]
