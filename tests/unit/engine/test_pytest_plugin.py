"""The fixture of the plugin, as operators' tests use it."""

from __future__ import annotations

import subprocess
import sys

import pytest

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


def test_a_script_that_is_wrong(script):
    script("policy/broken.py")
"""


@pytest.mark.real_time
@pytest.mark.slow
def test_the_fixture_loads_scripts_from_the_root_of_the_tests(tmp_path):
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "init.py").write_text(SCRIPT)
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

    assert "1 passed" in run.stdout, run.stdout
    assert "2 failed" in run.stdout
    assert "Refusal(code=550, text='5.1.1 nobody', close_mode='If421')" in run.stdout
    assert "broken.py:2: ZeroDivisionError: division by zero" in run.stdout


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
