"""The node's side of the automation: what the policy declares is fed and followed."""

from __future__ import annotations

import asyncio
import re

import pytest

from engine.automation import FOLDER, Automation
from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.base.shaping_source import parse_shaping
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.suspensions import SuspensionRegistry
from engine.model.errors import ConfigurationError
from engine.model.log_record import RecordKind
from engine.model.message import Message, new_spool_id
from engine.model.reply import make_reply
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import merge_layers
from engine.records.recorder import Recorder
from engine.script_declarations import AutomationDeclaration
from tests.fakes.fake_tsa import FakeTsa, wait_until

pytestmark = pytest.mark.real_time

RULES = '[[default.automation]]\nregex = "slow down"\naction = "Suspend"\nduration = "1h"\n'
READY = "ip-1->mx.example@smtp_client"
FRAME = {
    "ReadyQSuspension": {
        "rule_hash": "r",
        "site_name": READY,
        "source": "ip-1",
        "reason": "slow down",
        "expires": "2099-01-01T00:00:00Z",
    }
}


class Node:
    def __init__(self) -> None:
        self.clock = Clock()
        self.supervisor = Supervisor()
        self.metrics = Metrics(ENGINE_METRICS)
        self.suspensions = SuspensionRegistry(self.clock.mono)
        self.bounces = AdminBounceRegistry(self.clock.mono)
        self.recorder = Recorder(self.clock, "node", "mx.test")
        self.automation = Automation(self)
        self.automation.bind_metrics()

    def defer(self, text: str) -> None:
        """Have a record made of a deferral."""
        message = Message(
            new_spool_id(1),
            "a@x",
            ["b@slow.example"],
            data=b"",
            size=0,
            created_at=0.0,
            due_mono=0.0,
        )
        self.recorder.record(
            RecordKind.TRANSIENT_FAILURE, message, reply=make_reply(451, text), command="RCPT"
        )

    def set_rules(self, text: str) -> None:
        layer = parse_shaping(text.encode(), "rules.toml")
        self.automation.set_rules(merge_layers([layer], {}, LoadOptions())[0])

    def metric(self, name: str) -> list[float]:
        text = "".join(self.metrics.iter_text())
        return [float(one) for one in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M)]


@pytest.fixture
async def node():
    made = Node()
    yield made
    await made.automation.close()
    await made.supervisor.stop()


@pytest.fixture
async def tsa():
    made = FakeTsa()
    made.frames = [FRAME, {"ShapingChanged": {"hash": "1"}}]
    await made.start()
    yield made
    await made.stop()


def declared(tsa, **options):
    return AutomationDeclaration(publish=(tsa.url,), subscribe=(tsa.url,), **options)


async def test_records_go_out_and_decisions_come_in(node, tsa, tmp_path):
    node.set_rules(RULES)
    await node.automation.reconcile(declared(tsa), tmp_path)
    node.defer("please slow down")
    node.defer("mailbox full")
    await wait_until(lambda: tsa.records)
    await wait_until(lambda: node.suspensions.find_ready(READY) is not None)
    assert [one["response"]["content"] for one in tsa.records] == ["please slow down"]


async def test_without_the_filter_every_record_goes_out(node, tsa, tmp_path):
    node.set_rules(RULES)
    await node.automation.reconcile(declared(tsa, pre_filter=False), tmp_path)
    node.defer("mailbox full")
    await wait_until(lambda: tsa.records)


async def test_a_reload_that_changes_nothing_keeps_the_connection(node, tsa, tmp_path):
    await node.automation.reconcile(declared(tsa), tmp_path)
    await wait_until(lambda: tsa.subscribed == 1)
    feed = node.automation.feed
    await node.automation.reconcile(declared(tsa), tmp_path)
    assert node.automation.feed is feed
    assert tsa.subscribed == 1


async def test_a_policy_without_daemons_feeds_and_obeys_nobody(node, tsa, tmp_path):
    await node.automation.reconcile(declared(tsa), tmp_path)
    await wait_until(lambda: node.suspensions.find_ready(READY) is not None)
    await node.automation.reconcile(None, tmp_path)
    assert node.suspensions.is_empty
    assert node.automation.feed is not None
    assert not node.automation.feed.publishers


async def test_no_folder_is_made_where_there_is_no_automation(node, tmp_path):
    await node.automation.reconcile(None, tmp_path)
    assert not (tmp_path / FOLDER).exists()
    assert not await node.automation.switch(is_off=True)


async def test_a_folder_that_cannot_be_used_is_an_error_of_the_policy(node, tsa, tmp_path):
    (tmp_path / FOLDER).write_text("a file is in the way")
    with pytest.raises(ConfigurationError, match="tsa-feed cannot be used"):
        await node.automation.reconcile(declared(tsa), tmp_path)


async def test_the_switch_and_the_status_tell_what_is_so(node, tsa, tmp_path):
    await node.automation.reconcile(declared(tsa), tmp_path)
    await wait_until(lambda: node.suspensions.find_ready(READY) is not None)
    assert node.automation.status()["subscribed_to"] == tsa.url
    assert node.automation.status()["enabled"]
    assert await node.automation.switch(is_off=True)
    assert not node.automation.status()["enabled"]
    assert node.suspensions.is_empty
    assert await node.automation.switch(is_off=False)
    await wait_until(lambda: node.suspensions.find_ready(READY) is not None)


async def test_metrics_tell_of_reachability_decisions_and_backlogs(node, tsa, tmp_path):
    assert node.metric("tsa_reachable") == []
    tsa.statuses = [503] * 10_000
    await node.automation.reconcile(declared(tsa), tmp_path)
    await wait_until(lambda: node.metric("tsa_decisions_held") == [1])
    assert node.metric("tsa_reachable") == [1]
    node.defer("slow down")
    await wait_until(lambda: node.metric("tsa_feed_backlog_bytes")[0] > 0)
    await tsa.stop()
    await wait_until(lambda: node.metric("tsa_reachable") == [0])
    assert node.metric("tsa_decisions_held") == [1]


async def test_records_that_wait_for_a_daemon_are_sent_after_a_restart(node, tsa, tmp_path):
    tsa.statuses = [503] * 10_000
    await node.automation.reconcile(declared(tsa), tmp_path)
    node.defer("slow down")
    await asyncio.sleep(0)
    await node.automation.close()
    tsa.statuses.clear()
    again = Node()
    await again.automation.reconcile(declared(tsa), tmp_path)
    try:
        await wait_until(lambda: tsa.records)
    finally:
        await again.automation.close()
        await again.supervisor.stop()
