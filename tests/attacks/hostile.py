"""What the tests of hostile scripts share: a program to attack, and one call of a script."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from policy.errors import HookFailedError, PolicyLoadError, ScriptRefusal
from policy.hook import Hook
from policy.script_api import ScriptNamespace
from policy.testing import LoadedScript

HOOKS = (Hook("probe", result=(object,)), Hook("noop"))
#: CPU seconds of a call that the budget ended: 50 ms, one last operation, and a slow host.
MOST_CPU_S = 0.6
#: The same at load, where the budget is two seconds.
MOST_LOAD_CPU_S = 4.0


class Thing:
    """Stands for an object of the program."""

    value = 1
    _secret = "secret"

    def method(self) -> int:
        return self.value

    @property
    def hidden(self) -> int:
        return 1


def namespace() -> ScriptNamespace:
    """Return what the program offers to scripts."""

    def harmless() -> None: ...

    def leak() -> None:
        Thing().nothing  # type: ignore[attr-defined]

    def reject() -> None:
        raise ScriptRefusal

    offered = ScriptNamespace()
    offered.expose("harmless", harmless)
    offered.expose("leak", leak)
    offered.expose("reject", reject)
    offered.expose("pause", asyncio.sleep, waits=True)
    offered.expose("Thing", Thing)
    offered.expose("TABLE", {"a": 1})
    return offered


def as_handler(body: str, *, is_async: bool = False) -> str:
    """Return a script whose handler has this body."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    word = "async def" if is_async else "def"
    return f"import mta\nfrom mta import on\n@on('probe')\n{word} probe():\n{lines}"


def load(folder: Path, body: str, *, is_async: bool = False) -> LoadedScript:
    """Load a handler with this body."""
    return LoadedScript(folder, as_handler(body, is_async=is_async), HOOKS, namespace())


def error_of(folder: Path, body: str) -> str:
    """Return the error that ends a handler with this body, as the operator reads it.

    Raises:
        AssertionError: It ended well, too late, or not at a line of the script.
    """
    started_s = time.thread_time()
    try:
        answer = load(folder, body).runtime.fire_nowait("probe")
    except (PolicyLoadError, HookFailedError) as error:
        assert error.file == str(folder / "init.py")
        assert error.line
        text = error.message
    else:
        raise AssertionError(f"it answered {answer!r}")
    assert time.thread_time() - started_s < MOST_CPU_S
    return text
