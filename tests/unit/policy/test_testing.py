"""What tests of scripts stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy.errors import PolicyLoadError
from policy.hook import Hook
from policy.testing import LoadedScript, ManualTime

HOOKS = (Hook("probe", result=(str,)),)
SOURCE = "from mta import on\n@on('probe')\ndef f(): return 'one'\n"


def test_manual_time_moves_when_told() -> None:
    time = ManualTime()
    began = time()

    time.advance(5.0)

    assert time() - began == 5.0


def test_a_script_is_loaded_and_current(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, SOURCE, HOOKS)

    assert script.runtime.fire_nowait("probe") == "one"
    assert [facts["serial"] for facts in script.reported("policy_loaded")] == [1]


def test_a_rewritten_script_is_there_to_be_loaded(tmp_path: Path) -> None:
    script = LoadedScript(tmp_path, SOURCE, HOOKS)

    script.rewrite(SOURCE.replace("one", "two"))
    script.runtime.reload_if_changed()

    assert script.runtime.fire_nowait("probe") == "two"


def test_a_broken_script_raises_where_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(PolicyLoadError):
        LoadedScript(tmp_path, "x = (", HOOKS)
