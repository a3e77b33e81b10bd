"""The fixture of the plugin, as operators' tests use it."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from engine.pytest_plugin import _copy
from tests.architecture.shape import ROOT

SCRIPT = """\
import mta
from mta import on


@on("init")
def init():
    mta.define_spool(path="/nowhere")


@on("smtp_rcpt_to")
def smtp_rcpt_to(recipient, conn):
    mta.reject(550, "5.1.1 nobody")
"""
TEST = """\
from engine.script_testing import Refusal


def test_everybody_is_refused(script):
    node = script("policy/init.py")
    assert node.fire("smtp_rcpt_to", "a@example.org") == Refusal(550, "5.1.1 nobody")


def test_a_wrong_expectation(script):
    assert script("policy/init.py").fire("smtp_rcpt_to", "a@example.org") is None


def test_a_copy_may_differ(script):
    text = "TEXT = '5.1.2 elsewhere'"
    node = script("policy/words_of.py", files={"words.py": text})
    assert node.fire("smtp_rcpt_to", "a@example.org") == Refusal(550, "5.1.2 elsewhere")


def test_a_script_that_is_wrong(script):
    script("policy/broken.py")
"""


@pytest.mark.real_time
@pytest.mark.slow
def test_the_fixture_loads_scripts_from_the_root_of_the_tests(tmp_path):
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "init.py").write_text(SCRIPT)
    (tmp_path / "policy" / "words_of.py").write_text(
        "from words import TEXT\n" + SCRIPT.replace('"5.1.1 nobody"', "TEXT")
    )
    (tmp_path / "policy" / "broken.py").write_text("import mta\nx = 1 / 0\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_policy.py").write_text(TEST)

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "engine.pytest_plugin", str(tmp_path)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "2 passed" in run.stdout, run.stdout
    assert "2 failed" in run.stdout
    assert "Refusal(code=550, text='5.1.1 nobody', close_mode='If421')" in run.stdout
    assert "broken.py:2: ZeroDivisionError: division by zero" in run.stdout


def test_a_copy_of_the_folder_has_the_files_of_the_test_and_the_original_stays(tmp_path):
    original, copies = tmp_path / "policy", tmp_path / "copies"
    for name in ("init.py", "data/a.toml", "b.toml", ".git/config", "venv/pyvenv.cfg"):
        (original / name).parent.mkdir(parents=True, exist_ok=True)
        (original / name).write_text("old")
    copies.mkdir()

    path = _copy(original / "init.py", copies, {"b.toml": "new", "keys/c.key": b"\x00"})

    found = {
        str(one.relative_to(path.parent)): one.read_bytes()
        for one in path.parent.rglob("*")
        if one.is_file()
    }
    assert found == {
        "init.py": b"old",
        "data/a.toml": b"old",
        "b.toml": b"new",
        "keys/c.key": b"\x00",
    }
    assert (original / "b.toml").read_text() == "old"


def test_what_may_not_be_read_is_left_to_the_test(tmp_path, monkeypatch):
    original, copies = tmp_path / "policy", tmp_path / "copies"
    for folder in (original, copies):
        folder.mkdir()
    for name in ("init.py", "secret.key"):
        (original / name).write_text("x")
    copy = shutil.copyfile

    def copy_or_refuse(source, target):
        if source.endswith(".key"):
            raise PermissionError(13, "Permission denied", source)
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", copy_or_refuse)
    path = _copy(original / "init.py", copies, {})

    assert [one.name for one in path.parent.iterdir()] == ["init.py"]


def test_the_plugin_needs_nothing_of_cirrus_before_a_test_asks():
    code = (
        "import sys, engine.pytest_plugin;"
        "print([m for m in sys.modules if m.startswith('engine.s') or m.startswith('policy')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert run.stdout.strip() == "[]"
