"""samples/tsa/automation.py runs, and its rules do what their comments say."""

from __future__ import annotations

import shutil
import time

import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import merge_layers
from tests.fakes.tsa_process import TsaProcess
from tests.fakes.tsa_world import record_line
from tests.samples.running_node import ROOT, wait_until
from tsa.policy_check import check_policy

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
SAMPLES = ROOT / "samples" / "tsa"
SCRIPT = (SAMPLES / "automation.py").read_text()


@pytest.fixture
def tsa(tmp_path):
    script = SCRIPT
    for old, new in (
        ('"/var/spool/cirrus/tsa"', '"state"'),
        ('"127.0.0.1:8008"\nNODES', '"127.0.0.1:{port}"\nNODES'),
    ):
        assert old in script
        script = script.replace(old, new)
    daemon = TsaProcess(tmp_path, (SAMPLES / "rules.toml").read_text(), script=script)
    with daemon.running():
        yield daemon


def say(tsa, reply, count, **fields):
    now = time.time()
    lines = [record_line(now, reply=reply, **fields) for _ in range(count)]
    assert tsa.publish_batch(lines) == (200, {"refused": 0, "errors": []})
    return decided(tsa)


def decided(tsa):
    return [(one["kind"], one["scope"], one.get("value")) for one in tsa.decisions()]


def test_there_is_nothing_to_say_of_script_and_rules(tmp_path):
    shutil.copytree(SAMPLES, tmp_path / "tsa")
    raw = (SAMPLES / "rules.toml").read_bytes()
    _, findings = merge_layers([parse_shaping(raw, "rules.toml")], {}, LoadOptions())

    assert check_policy(tmp_path / "tsa" / "automation.py") == []
    assert list(findings) == []


def test_a_host_that_throttles_is_sent_to_more_slowly(tsa):
    quiet = {"site_name": "mx.quiet.example"}
    assert say(tsa, "421 4.7.28 unusual rate of mail", 4, **quiet) == []
    assert say(tsa, "421 4.7.28 unusual rate of mail", 5) == []

    # What adjusts a value is judged when its second is over.
    wait_until("the decision", tsa.decisions)
    ((kind, scope, value),) = decided(tsa)

    assert (kind, scope["option"]) == ("ConfigOverride", "max_message_rate")
    assert scope["site_name"] == "mx.big.example"
    assert value


def test_a_host_that_blocks_is_left_alone(tsa):
    ((kind, scope, _),) = say(tsa, "554 5.7.1 blocked by our blocklist", 10)

    assert kind == "ReadyQSuspension"
    assert scope["source"] == "ip-1"


def test_a_tenant_whose_mail_is_called_spam_is_held_alone(tsa):
    ((kind, scope, _),) = say(tsa, "550 5.7.1 looks like spam", 20, queue="acme@big.example")

    assert kind == "SchedQSuspension"
    assert scope == {"domain": "big.example", "tenant": "acme"}


def test_one_line_switches_all_of_it_off(tsa):
    tsa.write_script(tsa.policy.read_text().replace("SWITCHED_OFF = False", "SWITCHED_OFF = True"))
    tsa.wait_log("policy loaded", count=2)
    blocks = "554 5.7.1 blocked by our blocklist"
    sites = (f"mx{number}.example" for number in range(1000))

    def is_quiet() -> bool:
        before = len(tsa.decisions())
        return len(say(tsa, blocks, 10, site_name=next(sites))) == before

    wait_until("quiet", is_quiet)
