"""The layers hold: import-linter, and what its contracts cannot say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.shape import ROOT, modules, name_of


@pytest.mark.real_time
@pytest.mark.slow
def test_the_import_contracts_are_kept():
    command = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stdout


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_the_model_does_no_io():
    forbidden = {"asyncio", "socket", "subprocess", "threading", "aiohttp", "selectors"}
    found = {
        name_of(path): sorted(imported(path) & forbidden)
        for path in modules()
        if name_of(path).startswith("engine/model/") and imported(path) & forbidden
    }
    assert found == {}


def test_programs_beside_the_node_import_no_stage_of_it():
    allowed = {"engine.model", "engine.base", "engine.tools", "engine.cli"}
    found = {
        (name_of(path), name)
        for path in modules()
        if name_of(path).startswith("engine/tools/")
        for name in imported(path)
        if name.startswith("engine.") and ".".join(name.split(".")[:2]) not in allowed
    }
    assert found == set()
