"""A provider defers, the TSA decides, the node obeys within seconds, and lets go again."""

from __future__ import annotations

import threading
import time
import urllib.parse

import pytest

from tests.fakes.node_process import NodeProcess
from tests.fakes.tsa_process import TsaProcess
from tests.samples.running_node import free_ports, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

PATH = """
[default]
enable_tls = "Disabled"
prohibited_hosts = []

[provider.slow]
match = [{{ DomainSuffix = "slow.example" }}]
max_message_rate = "50/s"

[[provider.slow.automation]]
regex = "{regex}"
action = {action}
duration = "{duration}"
{extra}
"""
RATE = '{ SetConfig = { name = "max_message_rate", value = "1/min" } }'
NODE = """\
import mta
from mta import on
from helpers import shaping

shaping.setup(["shaping.toml"], publish={publish}, subscribe={subscribe})


@on("init")
def init():
    mta.define_spool(path="spool-{smtp}")
    mta.configure_local_logs(log_dir="logs", max_segment_duration="1s")
    mta.start_esmtp_listener(listen="127.0.0.1:{smtp}", relay_hosts=["127.0.0.1"])
    mta.start_http_listener(listen="127.0.0.1:{http}")


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(
        protocol={{"smtp": {{"mx_list": ["127.0.0.1:{sink}"]}}}}, retry_interval="1s"
    )
"""


class ShapedNode(NodeProcess):
    """A node whose paths come from a shaping file, with daemons of the automation."""

    def __init__(self, folder, sink, rules, publish, subscribe) -> None:
        super().__init__(folder, sink)
        self.spool = folder / f"spool-{self.smtp_port}"
        text = (
            NODE.format(
                publish=publish,
                subscribe=subscribe,
                smtp=self.smtp_port,
                http=self.http_port,
                sink=sink,
            )
            .replace('"spool-', f'"{folder}/spool-')
            .replace('"logs"', f'"{self.logs}"')
        )
        (folder / "shaping.toml").write_text(rules)
        self.policy.write_text(text)

    def automation(self, **request):
        return self.json("/api/admin/automation/v1", request or None)

    def rate(self) -> str | None:
        (queue,) = self.json("/api/admin/queues/v1?has_empty=true")["ready"]
        name = urllib.parse.quote(queue["queue_name"])
        shown = self.json(f"/api/admin/inspect-ready-q/v1?queue_name={name}")
        return shown["path_config"].get("max_message_rate")


@pytest.fixture
def world(tmp_path, sink):
    made = []

    def make(action=RATE, regex="slow down", duration="1h", extra="", daemons=1):
        rules = PATH.format(action=action, regex=regex, duration=duration, extra=extra)
        tsas = [
            TsaProcess(tmp_path / f"tsa-{number}", rules, port=port)
            for number, port in enumerate(free_ports(daemons))
        ]
        urls = [f"http://127.0.0.1:{one.port}" for one in tsas]
        node = ShapedNode(tmp_path, sink.port, rules, urls, urls)
        made.extend([*tsas, node])
        for one in tsas:
            one.start()
        node.start()
        wait_until("a subscription", lambda: node.automation()["subscribed_to"])
        return node, tsas

    yield make
    for one in made:
        one.kill()


@pytest.fixture
def slow(sink):
    """Have mail to slow.example deferred until told otherwise."""
    is_slow = threading.Event()
    is_slow.set()

    def judge(stage, address):
        throttled = is_slow.is_set() and address.endswith("@slow.example")
        return "451 4.7.0 slow down" if throttled and stage == "rcpt" else None

    sink.judge = judge
    return is_slow


def test_a_deferral_lowers_the_rate_within_two_seconds_and_one_act_raises_it(world, sink, slow):
    node, (tsa,) = world()
    node.send("1", "a@slow.example")
    wait_until("the deferral", lambda: "a@slow.example" in sink.tried)
    wait_until("the rate", lambda: node.rate() == "1/m")
    assert time.monotonic() - sink.tried["a@slow.example"][0] < 2.0
    assert_explained(node, tsa)
    node.automation(enabled=False)
    wait_until("the rate as configured", lambda: node.rate() == "50/s")
    node.automation(enabled=True)
    wait_until("the rate as decided", lambda: node.rate() == "1/m")


def assert_explained(node, tsa):
    """The node says which decision of the daemon set the rate, and what it was before."""
    (told,) = tsa.decisions()
    (listed,) = node.json("/api/admin/decisions/v1?option=max_message_rate")["decisions"]
    assert (listed["id"], listed["in_force"]) == (told["id"], True)
    assert (listed["rule"], listed["place"]) == (told["rule"], told["place"])
    shown = node.json("/api/admin/shaping-explain/v1?domain=slow.example")
    (rate,) = [one for one in shown["options"] if one["name"] == "max_message_rate"]
    assert (rate["value"], rate["origin"]) == ("1/m", "automation")
    assert (rate["decision"]["id"], rate["decision"]["place"]) == (told["id"], told["place"])
    (before,) = rate["overrode"]
    assert (before["value"], before["section"]) == ("50/s", "provider.slow")
    assert before["file"].endswith("shaping.toml")
    assert shown["sections"][-1]["file"].startswith("http://")


def test_suspended_mail_burns_no_attempt_and_leaves_when_it_is_over(world, sink, slow):
    node, (tsa,) = world('"Suspend"', duration="4s")
    node.send("1", "a@slow.example")
    wait_until("the decision", tsa.decisions)
    slow.clear()
    (delivery,) = node.wait_records("Delivery", 1)
    assert delivery["num_attempts"] == 1
    assert len(sink.tried["a@slow.example"]) == 2
    first, second = sink.tried["a@slow.example"]
    assert second - first > 3.0
    # The attempt, and once that it is held.
    first_text, second_text = (
        one["response"]["content"] for one in node.records("TransientFailure")
    )
    assert first_text == "slow down"
    assert "is eligible" in second_text
    assert "slow down" in second_text
    assert "TSA http://" in second_text


def test_a_killed_daemon_is_obeyed_and_back_in_sync_within_five_seconds(world, slow):
    node, (tsa,) = world()
    node.send("1", "a@slow.example")
    wait_until("the rate", lambda: node.rate() == "1/m")
    tsa.kill()
    wait_until("the loss", lambda: node.automation()["trouble"])
    assert node.rate() == "1/m"
    assert "no TSA can be reached" in node.log_text()
    node.send("2", "b@slow.example")
    tsa.start()
    began = time.monotonic()
    wait_until("the return", lambda: node.automation()["subscribed_to"])
    assert time.monotonic() - began < 5.0
    assert node.rate() == "1/m"
    wait_until("the backlog", lambda: node.automation()["feeds"][0]["backlog_octets"] == 0)


def test_the_other_daemon_takes_over_with_the_same_decisions(world, slow):
    node, (first, second) = world(daemons=2)
    node.send("1", "a@slow.example")
    wait_until("the rate", lambda: node.rate() == "1/m")
    wait_until("the decision of the other", second.decisions)
    assert [one["id"] for one in first.decisions()] == [one["id"] for one in second.decisions()]
    first.kill()
    wait_until("the other", lambda: str(second.port) in node.automation()["subscribed_to"])
    wait_until("its overlay", lambda: str(second.port) in node.automation()["overlay_of"])
    assert node.rate() == "1/m"


def test_records_wait_on_disk_for_a_daemon_that_is_away_over_a_restart(world, slow):
    node, (tsa,) = world()
    tsa.kill()
    node.send("1", "a@slow.example")
    wait_until("the backlog", lambda: node.automation()["feeds"][0]["backlog_octets"])
    assert node.stop() == 0
    node.start()
    assert tsa.folder.exists()
    tsa.start()
    wait_until("the decision", tsa.decisions)


def test_a_rule_that_matches_everything_does_not_feed_itself(world, sink, slow):
    node, (tsa,) = world('"Suspend"', regex=".", extra="match_internal = true")
    node.send("1", "a@slow.example")
    held = "is eligible"
    wait_until("held mail", lambda: any(held in str(one) for one in node.records()))
    wait_until("the feed", lambda: node.automation()["feeds"][0]["backlog_octets"] == 0)
    (before,) = tsa.decisions()
    for number in range(5):
        node.send(str(number), f"b{number}@slow.example")
    wait_until("more", lambda: sum(held in str(one) for one in node.records()) == 6)
    wait_until("the feed", lambda: node.automation()["feeds"][0]["backlog_octets"] == 0)
    (after,) = tsa.decisions()
    assert (after["count"], after["expires"]) == (before["count"], before["expires"])
    assert before["count"] == 1
