"""The fixture ``script`` for tests of policy scripts; pytest finds it by its entry point.

Place in flow: loaded by every pytest of an environment that has Cirrus, so it imports nothing of
it before a test asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from engine.script_testing import ScriptHarness


class LoadScript(Protocol):
    """What the fixture is: a function that loads a script."""

    def __call__(self, path: Path | str, **options: Any) -> ScriptHarness:
        """Return a script under test; see ``engine.script_testing.ScriptHarness``.

        Args:
            path: The script; a relative path counts from the root of the tests.
            options: Those of ``ScriptHarness``.
        """


@pytest.fixture
def script(request: pytest.FixtureRequest) -> Iterator[LoadScript]:
    """Load policy scripts, and close them after the test."""
    from engine.script_testing import ScriptHarness  # noqa: PLC0415 - see above

    loaded: list[ScriptHarness] = []

    def load(path: Path | str, **options: Any) -> ScriptHarness:
        __tracebackhide__ = True
        harness = ScriptHarness(request.config.rootpath / path, **options)
        loaded.append(harness)
        return harness

    yield load
    for harness in loaded:
        harness.close()
