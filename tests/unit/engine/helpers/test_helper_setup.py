"""A helper is set up once, while the script loads."""

from __future__ import annotations

import pytest

from engine.script_views import MessageView
from policy.errors import HookFailedError, PolicyLoadError
from tests.fakes.helper_world import HelperWorld, make_message

HELPERS = ("sources", "queues", "listener_domains", "dkim")


@pytest.mark.parametrize("helper", HELPERS)
def test_setting_a_helper_up_twice_is_an_error_at_the_second(tmp_path, helper):
    with pytest.raises(PolicyLoadError) as caught:
        HelperWorld(tmp_path).load(f"{helper}.setup({{}})\n{helper}.setup({{}})\n")

    assert caught.value.line == 5
    assert f"first at {tmp_path}/init.py:4" in caught.value.message


@pytest.mark.parametrize("helper", HELPERS)
def test_a_script_that_catches_everything_sets_nothing_up_twice(tmp_path, helper):
    script = f"for _ in range(2):\n    try:\n        {helper}.setup({{}})\n"
    script += "    except Exception:\n        pass\n"

    with pytest.raises(PolicyLoadError, match="set up twice"):
        HelperWorld(tmp_path).load(script)


@pytest.mark.parametrize("helper", HELPERS)
def test_a_handler_cannot_set_a_helper_up(tmp_path, helper):
    world = HelperWorld(tmp_path)
    world.load(f"@on('message_received')\ndef f(msg):\n    {helper}.setup({{}})\n")

    with pytest.raises(HookFailedError, match="belongs to the top level"):
        world.handle("message_received", make_message())


@pytest.mark.parametrize("call", ["queues.apply(msg)", "dkim.sign(msg)"])
def test_using_a_helper_that_is_not_set_up_is_an_error(tmp_path, call):
    world = HelperWorld(tmp_path)
    world.load(f"@on('message_received')\ndef f(msg):\n    {call}\n")

    with pytest.raises(HookFailedError, match="comes first"):
        world.handle("message_received", make_message())


def test_an_epoch_keeps_its_own_tables(tmp_path):
    world = HelperWorld(tmp_path)
    script = "queues.setup({'default_tenant': 'NAME', 'tenant': {'NAME': {}}})\n"
    script += "@on('message_received')\ndef f(msg):\n    queues.apply(msg)\n"
    world.load(script.replace("NAME", "old"))
    old = world.runtime.epoch
    world.load(script.replace("NAME", "new"))
    first, second = make_message(), make_message()

    world.runtime.fire_nowait("message_received", MessageView(first), epoch=old)
    world.handle("message_received", second)

    assert (first.meta["tenant"], second.meta["tenant"]) == ("old", "new")


def test_reading_large_tables_takes_nothing_of_the_scripts_time(tmp_path, monkeypatch):
    monkeypatch.setattr("policy.script_loader.LOAD_BUDGET_S", 0.02)
    rows = "".join(f"[source.s{number}]\nehlo_domain = 'x'\n" for number in range(1500))
    world = HelperWorld(tmp_path)

    world.load(
        "sources.setup('a.toml')\nTOTAL = 0\nfor number in range(200):\n    TOTAL += number\n",
        {"a.toml": rows},
    )

    assert world.fire("get_egress_source", "s1499") is not None
