"""The call under way, as functions see it that scripts call."""

from __future__ import annotations

import pytest

from engine.hooks import HOOKS
from engine.script_modules.script_call import caller_budget, caller_epoch, caller_place
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace


@pytest.fixture
def seen(tmp_path):
    """Return what a function learned that a script called in line 2 while it loaded."""
    found = {}

    def look():
        found.update(epoch=caller_epoch(), place=caller_place(), budget=caller_budget())

    namespace = ScriptNamespace()
    namespace.expose("look", look)
    runtime = PolicyRuntime(HOOKS, namespace, mono=lambda: 0.0)
    (tmp_path / "init.py").write_text("import mta\n[mta.look() for _ in range(1)]\n")
    found["loaded"] = runtime.load(tmp_path / "init.py")
    return found


def test_the_epoch_is_that_of_the_script(seen):
    assert seen["epoch"] is seen["loaded"]


def test_the_budget_is_that_of_the_epoch(seen):
    assert seen["budget"] is seen["loaded"].budget


def test_the_place_is_the_line_of_the_script(seen, tmp_path):
    assert seen["place"] == (str(tmp_path / "init.py"), 2)


def test_outside_a_script_nothing_is_bounded():
    assert caller_epoch() is None
    assert caller_place() == ("", 0)
    budget = caller_budget()
    budget.account_text(16_000_000)
    budget.afford(10**12)
