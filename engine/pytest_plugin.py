"""The fixture ``script`` for tests of policy scripts; pytest finds it by its entry point.

Place in flow: loaded by every pytest of an environment that has Cirrus, so it imports nothing of
it before a test asks.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from engine.script_testing import ScriptHarness


class LoadScript(Protocol):
    """What the fixture is: a function that loads a script."""

    def __call__(
        self, path: Path | str, *, files: Mapping[str, str | bytes] | None = None, **options: Any
    ) -> ScriptHarness:
        """Return a script under test; see ``engine.script_testing.ScriptHarness``.

        Args:
            path: The script; a relative path counts from the root of the tests.
            files: What its folder holds besides or instead, by name: the script is loaded from a
                copy of the folder then. An empty table just copies.
            options: Those of ``ScriptHarness``.
        """


@pytest.fixture
def script(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LoadScript]:
    """Load policy scripts, and close them after the test."""
    from engine.script_testing import ScriptHarness  # noqa: PLC0415 - see above

    loaded: list[ScriptHarness] = []

    def load(
        path: Path | str, *, files: Mapping[str, str | bytes] | None = None, **options: Any
    ) -> ScriptHarness:
        __tracebackhide__ = True
        place = request.config.rootpath / path
        if files is not None:
            place = _copy(place, tmp_path_factory.mktemp("scripts"), files)
        harness = ScriptHarness(place, **options)
        loaded.append(harness)
        return harness

    yield load
    for harness in loaded:
        harness.close()


def _copy(path: Path, folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Return the copy of a script in a folder, with all that stands beside it and these files."""
    copied = folder / path.parent.name
    if path.parent.is_dir():
        shutil.copytree(path.parent, copied, ignore=_unwanted, copy_function=_copy_readable)
    for name, content in files.items():
        place = copied / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    return copied / path.name


def _unwanted(folder: str, names: list[str]) -> list[str]:
    """Return what belongs to tools and not to scripts, and what is neither file nor folder."""
    return [name for name in names if not _is_wanted(Path(folder) / name)]


def _is_wanted(path: Path) -> bool:
    is_of_tools = path.name.startswith((".", "__pycache__")) or (path / "pyvenv.cfg").exists()
    return not is_of_tools and (path.is_file() or path.is_dir())


def _copy_readable(source: str, target: str) -> None:
    # A key that only the node may read is what a test gives one of its own for.
    with contextlib.suppress(PermissionError):
        shutil.copyfile(source, target)
