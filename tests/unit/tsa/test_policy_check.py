"""A script of the daemon is judged without a daemon: every finding, at its place."""

from __future__ import annotations

import pytest

from tsa.policy_check import check_policy

GOOD = """\
import mta.tsa
from mta import on


@on("tsa_init")
def tsa_init():
    mta.tsa.start_http_listener(listen="127.0.0.1:8008", trusted_hosts=["192.0.2.0/24"])
    mta.tsa.configure_state(path="state")
    mta.tsa.set_refresh_interval("30s")
    mta.dns.configure_test_resolver(zones=["$ORIGIN x.test.\\n@ 60 IN MX 10 mx.x.test."])


@on("load_shaping_data")
def load_shaping_data():
    return ["rules.toml", "https://x.test/rules.toml"]
"""


@pytest.fixture
def findings(tmp_path):
    (tmp_path / "rules.toml").write_text("")

    def check(*changes):
        text = GOOD
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        script = tmp_path / "policy.py"
        script.write_text(text)
        return [
            str(one).replace(f"{tmp_path}/", "").replace("TsaScript.", "")
            for one in check_policy(script)
        ]

    return check


def test_there_is_nothing_to_say_of_a_good_script(findings):
    assert findings() == []


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("import mta.tsa", "import os", 1, "os"),
        ("def tsa_init():", "def tsa_init(x):", 5, "tsa_init"),
        ('"tsa_init"', '"tsa_int"', 5, "did you mean 'tsa_init'"),
        ("8008", "808008", 7, "listen"),
        ("192.0.2.0/24", "somewhere", 7, "trusted_hosts"),
        ("trusted_hosts", "trusted", 7, "trusted"),
        ("path=", "folder=", 8, "folder"),
        ('"30s"', '"soon"', 9, "soon"),
        ('"30s"', '"0s"', 9, "above zero"),
        ("10 mx.x", "ten mx.x", 10, "zone"),
        ("return [", "return 1 / 0, [", 15, "ZeroDivisionError"),
        ('"rules.toml", "', '7, "', 13, "7"),
        ('["rules.toml", "https://x.test/rules.toml"]', '"rules.toml"', 13, "must return"),
        ('"rules.toml", "', '"gone.toml", "', 13, "there is no file gone.toml"),
    ],
)
def test_a_mistake_is_an_error_at_its_line(findings, old, new, line, said):
    (finding,) = findings((old, new))

    assert finding.startswith(f"policy.py:{line}: error: "), finding
    assert said in finding


def test_both_events_are_tried_though_one_fails(findings):
    found = findings(("path=", "folder="), ("return [", "return 1 / 0, ["))

    assert [one.split(":")[1] for one in found] == ["8", "15"]


def test_a_script_without_rules_is_a_warning(findings):
    (finding,) = findings(('@on("load_shaping_data")\n', ""))

    assert finding.startswith("policy.py: warning: ")


def test_declaring_outside_of_tsa_init_is_an_error(findings):
    found = findings(("    return [", "    mta.tsa.switch_off()\n    return ["))

    assert found == [
        "policy.py:15: error: load_shaping_data: RuntimeError: mta.tsa.switch_off() belongs into"
        " tsa_init"
    ]


def test_a_script_that_is_not_there_is_an_error(tmp_path):
    (finding,) = check_policy(tmp_path / "gone.py")

    assert finding.severity == "error"
    assert "gone.py" in finding.file
