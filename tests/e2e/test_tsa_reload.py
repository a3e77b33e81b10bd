"""Rules and script of a running TSA are edited: the good takes effect, the broken does not."""

from __future__ import annotations

import http.server
import signal
import threading
import time

import pytest

from tests.fakes.tsa_process import TsaProcess
from tests.fakes.tsa_world import record_line, rule_text
from tests.samples.running_node import free_ports, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

SCRIPT = """\
import mta.tsa
from mta import on


@on("tsa_init")
def tsa_init():
    mta.tsa.configure_state(path="state")
    mta.tsa.set_refresh_interval("0.1s")
    mta.tsa.start_http_listener(listen="127.0.0.1:{port}")


@on("load_shaping_data")
def load_shaping_data():
    return ["rules.toml"]
"""
GONE = rule_text('"Bounce"', regex="gone")


@pytest.fixture
def tsa(tmp_path):
    with TsaProcess(tmp_path, rule_text('"Bounce"'), script=SCRIPT).running() as daemon:
        yield daemon


def acts_on(tsa, reply, domain):
    """Return whether a record with this reply leads to a decision now."""
    line = record_line(time.time(), reply=reply, queue=domain)
    assert tsa.publish(line) == 200
    return any(one["scope"].get("domain") == domain for one in tsa.decisions())


def test_a_new_rule_acts_within_seconds_and_old_ones_go_on(tsa):
    assert not acts_on(tsa, "550 gone", "a.example")
    edited = time.monotonic()

    tsa.write_rules(rule_text('"Bounce"') + GONE)
    wait_until("the new rule", lambda: acts_on(tsa, "550 gone", "b.example"))

    assert time.monotonic() - edited < 5
    assert acts_on(tsa, "451 slow down", "c.example")


def test_broken_rules_are_named_the_old_ones_stay_and_a_repair_is_taken(tsa):
    tsa.write_rules(rule_text('"Bounce"') + GONE.replace("duration", "durration"))
    line = tsa.wait_log("rules.toml:11: error")
    tsa.wait_log("the last good rules stay")

    assert "durration" in line
    assert acts_on(tsa, "451 slow down", "a.example")
    assert not acts_on(tsa, "550 gone", "b.example")
    assert b"tsa_rules_failing 1" in tsa.http("/metrics")[1]

    tsa.write_rules("[broken\n")
    tsa.wait_log("rules.toml:1: error")
    assert acts_on(tsa, "451 slow down", "d.example")

    tsa.write_rules(GONE)
    wait_until("the repair", lambda: acts_on(tsa, "550 gone", "c.example"))
    assert not acts_on(tsa, "451 slow down", "e.example")
    assert tsa.log_text().count("rules.toml:11: error") == 1
    assert b"tsa_rules_failing 0" in tsa.http("/metrics")[1]


def test_a_file_of_rules_that_is_gone_leaves_the_old_ones(tsa):
    tsa.rules.unlink()
    tsa.wait_log("cannot be read")

    assert acts_on(tsa, "451 slow down", "a.example")


def test_a_rule_that_is_switched_off_decides_nothing_and_goes_on_counting_later(tsa):
    rule = rule_text('"Bounce"', trigger='{Threshold="3/hour"}')
    tsa.write_rules(rule)
    tsa.wait_log("rules loaded anew")
    assert not any(acts_on(tsa, "451 slow down", "a.example") for _ in range(2))

    tsa.write_rules(rule + "enabled = false\n")
    tsa.wait_log("rules loaded anew", count=2)
    assert not any(acts_on(tsa, "451 slow down", "a.example") for _ in range(5))

    tsa.write_rules(rule)
    tsa.wait_log("rules loaded anew", count=3)
    assert acts_on(tsa, "451 slow down", "a.example")


def test_a_rule_that_is_edited_leaves_its_decisions_to_run_out(tsa):
    assert acts_on(tsa, "451 slow down", "a.example")

    tsa.write_rules(GONE)
    tsa.wait_log("rules loaded anew")

    assert [one["scope"] for one in tsa.decisions()] == [{"domain": "a.example"}]


def test_the_whole_automation_is_switched_off_and_on_by_the_script(tsa):
    assert acts_on(tsa, "451 slow down", "a.example")

    tsa.write_script(
        SCRIPT.replace("    mta.tsa.start", "    mta.tsa.switch_off()\n    mta.tsa.start")
    )
    tsa.wait_log("policy loaded", count=2)
    off = [f"off-{number}.example" for number in range(1000)]
    wait_until("quiet", lambda: not acts_on(tsa, "451 slow down", off.pop()))
    assert {"domain": "a.example"} in [one["scope"] for one in tsa.decisions()]

    tsa.write_script(SCRIPT)
    wait_until("its return", lambda: acts_on(tsa, "451 slow down", "b.example"))


def with_listener(port):
    first = 'listen="127.0.0.1:{port}")'
    return SCRIPT.replace(
        first, f'{first}\n    mta.tsa.start_http_listener(listen="127.0.0.1:{port}")'
    )


def test_listeners_follow_the_script(tsa):
    first, (other,) = tsa.port, free_ports(1)
    tsa.write_script(with_listener(other))
    tsa.wait_log(f"listens on 127.0.0.1:{other}")
    assert acts_on(tsa, "451 slow down", "a.example")
    tsa.port = other
    assert len(tsa.decisions()) == 1

    tsa.port = first
    tsa.write_script(SCRIPT)
    tsa.port = other
    wait_until("the end of the other", lambda: not tsa.is_up())
    tsa.port = first
    assert len(tsa.decisions()) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("import mta.tsa", "import mta.tsa\nimport os", "policy.py:2"),
        ("path=", "folder=", "policy.py:7"),
        ('return ["rules.toml"]', "return 1 / 0", "policy.py:14"),
    ],
    ids=["import", "declaration", "rules"],
)
def test_a_broken_script_is_named_and_the_running_one_stays(tsa, old, new, said):
    tsa.write_script(SCRIPT.replace(old, new))

    assert said in tsa.wait_log("policy rejected")
    assert acts_on(tsa, "451 slow down", "a.example")
    tsa.write_rules(GONE)
    wait_until("new rules", lambda: acts_on(tsa, "550 gone", "b.example"))


def test_a_listener_that_cannot_be_opened_keeps_no_rules_away(tsa):
    (taken,) = free_ports(1)
    with TsaProcess(tsa.folder / "other", GONE, port=taken).running():
        tsa.write_script(with_listener(taken))
        assert str(taken) in tsa.wait_log("cannot listen")
        tsa.write_rules(GONE)
        wait_until("new rules", lambda: acts_on(tsa, "550 gone", "b.example"))
    tsa.wait_log(f"listens on 127.0.0.1:{taken}")


def test_sighup_looks_at_the_rules_at_once(tmp_path):
    with TsaProcess(tmp_path, rule_text()).running() as tsa:
        tsa.write_rules(GONE)
        assert tsa.process is not None
        tsa.process.send_signal(signal.SIGHUP)
        wait_until("the new rule", lambda: acts_on(tsa, "550 gone", "b.example"))


def test_flags_alone_follow_the_rules_too(tmp_path):
    with TsaProcess(tmp_path, rule_text()).running() as tsa:
        tsa.write_rules(GONE)
        edited = time.monotonic()
        wait_until("the new rule", lambda: acts_on(tsa, "550 gone", "b.example"))

    assert time.monotonic() - edited < 10


class SlowRules(http.server.BaseHTTPRequestHandler):
    """Gives rules when it is told to; then and after that at once."""

    asked, told = threading.Event(), threading.Event()
    rules = ""

    def do_GET(self):
        self.asked.set()
        self.told.wait(20)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.rules.encode())

    def log_message(self, *_arguments):
        pass


def test_sighup_during_the_start_ends_nothing_and_is_obeyed_after_it(tmp_path):
    SlowRules.rules = GONE
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowRules)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/rules.toml"
    tsa = TsaProcess(tmp_path, rule_text('"Bounce"'), arguments=["--shaping", url])
    try:
        process = tsa.launch()
        assert SlowRules.asked.wait(20)
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
        SlowRules.told.set()
        wait_until("the daemon", lambda: tsa.is_up() or process.poll() is not None)
        assert process.poll() is None, tsa.log_text()

        assert acts_on(tsa, "550 gone", "a.example")
        tsa.write_rules(rule_text('"Bounce"', regex="other"))
        process.send_signal(signal.SIGHUP)
        tsa.wait_log("rules loaded anew")
        assert acts_on(tsa, "550 other", "b.example")
        assert tsa.stop() == 0, tsa.log_text()
    finally:
        tsa.kill()
        server.shutdown()
        server.server_close()
