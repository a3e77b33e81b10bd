"""Errors say where, and those that end a call cannot be caught as ordinary ones."""

from __future__ import annotations

import pytest

from policy.errors import (
    BudgetSpentError,
    ConfinementError,
    HookFailedError,
    LimitExceededError,
    PolicyError,
    PolicyLoadError,
    ScriptRefusal,
)


def test_a_load_error_names_file_and_line() -> None:
    assert str(PolicyLoadError("a.py", 3, "bad")) == "a.py:3: bad"
    assert str(PolicyLoadError("a.py", None, "bad")) == "a.py: bad"


def test_a_failed_hook_names_event_file_and_line() -> None:
    error = HookFailedError("init", file="a.py", line=3, message="bad")

    assert str(error) == "init: a.py:3: bad"
    assert not error.overrun
    assert str(HookFailedError("init", file="a.py", line=None, message="bad")) == "init: a.py: bad"


@pytest.mark.parametrize("kind", [ScriptRefusal, BudgetSpentError])
def test_what_ends_a_call_is_no_ordinary_exception(kind: type[BaseException]) -> None:
    assert not issubclass(kind, Exception)


@pytest.mark.parametrize(
    ("kind", "builtin"), [(LimitExceededError, ValueError), (ConfinementError, TypeError)]
)
def test_what_a_script_may_catch_is_a_builtin_error_too(
    kind: type[BaseException], builtin: type[BaseException]
) -> None:
    assert issubclass(kind, (PolicyError,))
    assert issubclass(kind, builtin)
