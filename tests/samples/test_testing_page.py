"""What docs/testing-scripts.md shows works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine import script_testing
from engine.hooks import HOOKS
from engine.script_test_client import Exchange, Reception
from engine.script_testing import FakeHttp, Mail, ScriptHarness, SentRequest
from tests.samples.running_node import ROOT

PAGE = (ROOT / "docs" / "testing-scripts.md").read_text()
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(python|toml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
(FIRST,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def write_files(folder: Path) -> None:
    (folder / "tests").mkdir()
    (folder / "pytest.ini").write_text(re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)[0])
    (folder / "first.py").write_text(FIRST)
    for _, name, text in BLOCKS:
        assert not (folder / name).exists()
        # The line of the name counts: the page speaks of lines.
        (folder / name).write_text(f"# {name}\n{text}")


def run_pytest(folder: Path, *arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "engine.pytest_plugin", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    return run.stdout + run.stderr


@pytest.mark.real_time
@pytest.mark.slow
def test_all_tests_of_the_page_pass_and_are_run(tmp_path):
    write_files(tmp_path)
    count = len(re.findall(r"^def test_", PAGE, re.MULTILINE))
    count += PAGE.count('parametrize("status", [403, 500])')

    said = run_pytest(tmp_path)

    assert f"{count} passed" in said, said


@pytest.mark.real_time
@pytest.mark.slow
def test_a_failure_says_what_the_page_says(tmp_path):
    write_files(tmp_path)
    for path in (tmp_path / "tests").iterdir():
        if path.name != "test_prices.py":
            path.unlink()
    path = tmp_path / "tests" / "test_prices.py"
    path.write_text(
        re.sub(r"    with pytest.raises\(.*\n    (.*)\n(.*\n)*", r"\1\n", path.read_text())
    )
    (shown,) = re.findall(r"```\n(>.*?)```", PAGE, re.DOTALL)

    said = run_pytest(tmp_path).replace(str(tmp_path), "/etc/cirrus")

    assert "1 failed, 1 passed" in said, said
    assert f"\n{shown}\n" in said
    assert said.count("\n>") == 1
    assert "engine/" not in said


def test_every_code_block_has_a_name_or_is_output():
    blocks = re.findall(r"```(\w+)\n", PAGE)
    assert blocks.count("python") + blocks.count("toml") == len(BLOCKS)


def members(kind: type) -> list[str]:
    fields = getattr(kind, "_fields", ())
    return sorted({*fields, *(name for name in vars(kind) if not name.startswith("_"))})


@pytest.mark.parametrize(
    ("kind", "internal"),
    [
        (ScriptHarness, set()),
        (Mail, {"view"}),
        (Reception, set()),
        (Exchange, set()),
        (FakeHttp, {"request", "read_url", "ask_vault"}),
        (SentRequest, set()),
    ],
)
def test_every_name_of_what_tests_use_is_explained(kind, internal):
    words = set(re.findall(r"\w+", PAGE))
    assert [name for name in members(kind) if name not in words | internal] == []


def test_what_tests_import_is_shown():
    # These come as values, and nobody makes them.
    values = {"Exchange", "Mail", "Reception", "SentRequest"}
    named = re.findall(r"^from engine.script_testing import (.*)$", PAGE, re.MULTILINE)
    imported = {name for line in named for name in line.split(", ")}
    assert imported == set(script_testing.__all__) - values


def test_events_of_the_page_exist():
    known = {hook.name for hook in HOOKS}
    named = set(re.findall(r'(?:fire\(|@on\()\s*"(\w+)"', PAGE))
    assert named
    assert named <= known


def test_nothing_is_imported_from_policy():
    assert not re.search(r"^(from|import) policy", PAGE, re.MULTILINE)
    assert "and nothing from `policy.testing`" in PAGE


def test_links_lead_to_headings():
    for page, anchor in re.findall(r"\]\(([^)#]*)#([\w-]+)\)", PAGE):
        text = (ROOT / "docs" / page).read_text() if page else PAGE
        anchors = {
            re.sub(r"[^\w -]", "", one).lower().replace(" ", "-")
            for one in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        }
        assert anchor in anchors
