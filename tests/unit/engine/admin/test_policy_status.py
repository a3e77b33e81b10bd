"""The policy as operators see it: what runs, what was rejected, what handlers cost."""

from __future__ import annotations

import pytest

from engine.admin import policy_status
from engine.admin.policy_status import POLICY
from policy.errors import HookFailedError, PolicyLoadError
from tests.fakes.admin_world import admin_world

SCRIPT = """
    @on("get_queue_config")
    def get_queue_config(domain, tenant, campaign, routing_domain):
        if domain == "broken.test":
            return 1 / 0
        return mta.make_queue_config(retry_interval="7m")

    @on("get_egress_path")
    def get_egress_path(routing_domain, egress_source, site_name):
        while routing_domain == "endless.test":
            pass
        return mta.make_egress_path(connection_limit=3)
"""


def ask(world, event, *arguments):
    try:
        return world.runtime.fire_nowait(event, *arguments)
    except HookFailedError:
        return None


async def test_the_running_epoch_is_shown_with_its_files_and_what_uses_it(tmp_path):
    async with admin_world(tmp_path, SCRIPT) as world:
        epoch = world.runtime.epoch
        world.transactions = {epoch.serial: 4, 0: 9}
        shown = await world.act(POLICY)

        running = shown.running
        assert (running.number, running.hash) == (epoch.serial, epoch.content_hash)
        assert [(one.name, len(one.hash)) for one in running.files] == [
            (str(tmp_path / "init.py"), 64)
        ]
        assert running.transactions == 4
        assert running.loaded_at.endswith("Z")
        assert (shown.retired, shown.rejected, running.warnings_left_out) == ([], None, 0)
        assert [entry.act for entry in world.audited()] == []


async def test_handlers_are_shown_by_what_they_cost_and_how_they_failed(tmp_path):
    async with admin_world(tmp_path, SCRIPT) as world:
        for domain in ("a.test", "broken.test", "b.test"):
            ask(world, "get_queue_config", domain, None, None, None)
        for _ in range(4):
            ask(world, "get_egress_path", "endless.test", "ip-1", "mx")
        shown = await world.act(POLICY)

        path, config = shown.handlers
        assert (config.event, config.function, config.kind) == (
            "get_queue_config",
            "get_queue_config",
            "handler",
        )
        assert (config.calls, config.errors, config.overruns) == (3, 1, 0)
        assert config.last_error.line == config.line + 3
        assert config.breaker.is_open is False
        assert config.last_error.message.startswith("ZeroDivisionError")
        assert (path.event, path.calls, path.overruns) == ("get_egress_path", 3, 3)
        assert path.cpu_us >= path.cpu_max_us >= path.cpu_budget_us
        assert (path.breaker.is_open, path.breaker.turned_away) == (True, 1)
        assert path.breaker.until is not None


async def test_one_event_is_asked_for_and_the_rest_is_said_to_be_left_out(tmp_path):
    async with admin_world(tmp_path, SCRIPT) as world:
        one = await world.act(POLICY, event="get_queue_config")
        none = await world.act(POLICY, event="get_nothing")
        first = await world.act(POLICY, limit=1)

        assert [each.event for each in one.handlers] == ["get_queue_config"]
        assert (none.handlers, none.handlers_left_out) == ([], 0)
        assert (len(first.handlers), first.handlers_left_out) == (1, 1)


async def test_a_rejected_load_is_shown_and_is_pending_until_another_is_taken(tmp_path):
    async with admin_world(tmp_path, SCRIPT) as world:
        path = tmp_path / "init.py"
        good = path.read_text()
        path.write_text(good + "\nnothing\n")
        with pytest.raises(PolicyLoadError):
            world.runtime.load_again()
        rejected = (await world.act(POLICY)).rejected
        path.write_text(good)
        world.runtime.swap(world.runtime.load_again())
        after = await world.act(POLICY)

        assert rejected.is_pending
        assert (rejected.file, rejected.line) == (str(path), len(good.splitlines()) + 2)
        assert "nothing" in rejected.message
        assert after.rejected.message == rejected.message
        assert after.running.number == 3


async def test_old_epochs_are_shown_with_what_still_uses_them(tmp_path):
    script = (
        SCRIPT
        + """
    @on("smtp_ehlo")
    async def smtp_ehlo(name, connection, lines):
        await mta.pause(5)
    """
    )
    async with admin_world(tmp_path, script) as world:
        old = world.runtime.epoch
        world.runtime.swap(world.runtime.load_again())
        old.tallies[0].under_way = 1
        world.old_epochs, world.transactions = [old], {old.serial: 2}
        (retired,) = (await world.act(POLICY)).retired

        assert (retired.number, retired.transactions, retired.calls_under_way) == (old.serial, 2, 1)


async def test_lists_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(policy_status, "LISTED_MAX", 1)
    async with admin_world(tmp_path, SCRIPT) as world:
        world.runtime.epoch.watch_file(tmp_path / "other")
        running = (await world.act(POLICY)).running

        assert (len(running.files), running.files_left_out) == (1, 1)
