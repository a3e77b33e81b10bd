"""``cirrus check`` prints findings and ends with a status that a script can use."""

from __future__ import annotations

import logging

import pytest
from click.testing import CliRunner

from engine.tools.check import check, policy_kind

GOOD = (
    'import mta\nfrom mta import on\n\n@on("init")\ndef init():\n    mta.define_spool(path="s")\n'
)


@pytest.fixture(autouse=True)
def _quiet():
    log = logging.getLogger("cirrus")
    before = list(log.handlers)
    yield
    log.handlers[:] = before


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command as an installation would: the engine's check is found by its entry point."""
    installed = tmp_path / "site" / "cirrus_under_test-1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: cirrus-under-test\nVersion: 1\n"
    )
    (installed / "entry_points.txt").write_text(
        "[cirrus.checks]\npolicy = engine.policy_check:check_policy\n"
        "policy.tsa = tsa.policy_check:check_policy\n"
        "[cirrus.hooks]\nengine = engine.hooks:HOOKS\ntsa = tsa.hooks:HOOKS\n"
    )
    monkeypatch.syspath_prepend(str(installed.parent))

    def run(*arguments, text: str = GOOD):
        script = tmp_path / "init.py"
        script.write_text(text)
        filled = [str(argument).replace("SCRIPT", str(script)) for argument in arguments]
        return CliRunner().invoke(check, filled)

    return run


def test_a_good_script_ends_with_0(run):
    result = run("--policy", "SCRIPT")
    assert (result.exit_code, result.output) == (0, "no errors\n")


def test_an_error_ends_with_1_and_names_file_and_line(run):
    result = run("--policy", "SCRIPT", text=GOOD + "import os\n")
    assert result.exit_code == 1
    assert "init.py:7: error: " in result.output
    assert result.output.endswith("1 error\n")


def test_a_warning_alone_ends_with_0(run):
    path = (
        '@on("get_egress_path")\ndef path(routing_domain, egress_source, site_name):\n'
        "    return mta.make_egress_path(enable_mta_sts=True)\n"
    )
    result = run("--policy", "SCRIPT", text=GOOD + path)
    assert result.exit_code == 0
    assert "init.py:9: warning: " in result.output


@pytest.mark.parametrize("missing", ["/nowhere/init.py", "/"])
def test_what_is_no_file_is_said_in_one_line(run, missing):
    result = run("--policy", missing)
    assert result.exit_code == 1
    assert result.output.startswith(
        (f"{missing}: error: there is no", f"{missing}: error: this is no")
    )
    assert "Traceback" not in result.output


def test_nothing_to_check_is_wrong_usage(run):
    result = run()
    assert result.exit_code == 2
    assert "nothing to check" in result.output


def test_a_shaping_file_that_cannot_be_read_is_an_error_with_its_place(run):
    result = run("--shaping", "SCRIPT", "--no-dns")
    assert result.exit_code == 1
    assert "init.py:1: error: no TOML" in result.output


def test_shaping_files_are_laid_over_each_other_before_they_are_judged(run, tmp_path):
    base, over = tmp_path / "base.toml", tmp_path / "over.toml"
    base.write_text('["one.test"]\nmax_ready = 5\n')
    over.write_text('["one.test"]\nmx_rollup = false\nmax_redy = 5\n')

    result = run("--shaping", str(base), str(over), "--no-dns")

    assert result.exit_code == 1
    assert f"{over}:3: error: " in result.output


def test_all_files_are_checked_though_one_is_wrong(run):
    result = run("--policy", "/nowhere.py", "--policy", "SCRIPT", text=GOOD + "import os\n")
    assert result.output.endswith("2 errors\n")


TSA = (
    "import mta.tsa\nfrom mta import on\n\n"
    '@on("tsa_init")\ndef tsa_init():\n    mta.tsa.configure_state(path="s")\n\n'
    '@on("load_shaping_data")\ndef load_shaping_data():\n    return ["https://x.test/rules.toml"]\n'
)


def test_a_script_of_another_program_is_judged_by_that_program(run):
    good = run("--policy", "SCRIPT", text=TSA)
    wrong = run("--policy", "SCRIPT", text=TSA.replace("path=", "folder="))

    assert (good.exit_code, good.output) == (0, "no errors\n")
    assert wrong.exit_code == 1
    assert "init.py:6: error: tsa_init: " in wrong.output


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (GOOD, "policy"),
        ("x = 1\n", "policy"),
        ("broken (\n", "policy"),
        ("import mta.tsa\n", "policy.tsa"),
        ("from mta import tsa, on\n", "policy.tsa"),
        ("from mta.tsa import switch_off\n", "policy.tsa"),
        ('import mta\n@mta.on("load_shaping_data")\ndef f(): ...\n', "policy.tsa"),
    ],
)
def test_whose_a_script_is_its_events_and_imports_tell(run, tmp_path, text, kind):
    script = tmp_path / "policy.py"
    script.write_text(text)

    assert policy_kind(script) == kind


def test_a_program_that_is_not_there_is_not_guessed_at(run, monkeypatch):
    monkeypatch.setattr("engine.tools.check.find_checker", lambda kind: None)

    result = run("--policy", "SCRIPT", text=TSA)

    assert result.exit_code == 1
    assert "nothing installed can check a policy.tsa file" in result.output
