"""Scripts import the helpers by their names, and nothing else of them."""

from __future__ import annotations

import pytest

from engine.helpers.script_helpers import ScriptHelpers
from engine.hooks import HOOKS
from engine.script_api import ScriptApi
from engine.throttle.limiter import MemoryLimiter
from policy.errors import HookFailedError, PolicyLoadError
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from tests.fakes.helper_world import HelperWorld

HELPERS = (
    "dkim",
    "listener_domains",
    "log_hooks",
    "policy_utils",
    "queues",
    "rollup",
    "sources",
)


@pytest.mark.parametrize("name", HELPERS)
@pytest.mark.parametrize("form", ["from helpers import {}", "import helpers.{}", "import helpers"])
def test_a_helper_can_be_imported(tmp_path, name, form):
    HelperWorld(tmp_path).load(form.format(name) + "\n")


def test_there_are_no_others(tmp_path):
    with pytest.raises(PolicyLoadError, match="no 'other' for policy scripts"):
        HelperWorld(tmp_path).load("from helpers import other\n")


def test_a_script_beside_the_policy_cannot_take_the_name(tmp_path):
    (tmp_path / "helpers.py").write_text("")

    with pytest.raises(PolicyLoadError, match="cannot be named like the module 'helpers'"):
        HelperWorld(tmp_path).load("\n")


@pytest.mark.parametrize("name", HELPERS)
def test_a_script_cannot_change_a_helper(tmp_path, name):
    with pytest.raises(PolicyLoadError):
        HelperWorld(tmp_path).load(f"{name}.setup = 5\n")


async def test_a_helper_without_a_node_looks_nothing_up():
    namespace = ScriptNamespace()
    limiter = MemoryLimiter(lambda: 0.0)
    api = ScriptApi(limiter)
    runtime = PolicyRuntime(HOOKS, namespace, mono=lambda: 0.0)
    helpers = ScriptHelpers(api, runtime, limiter)

    with pytest.raises(RuntimeError, match="nothing is looked up"):
        await helpers._rollup.apply_ip_rollup_to_queue_config("a.test", "x.ip_rollup", {})
    await helpers.close()


def test_a_failure_of_a_helper_is_told_at_its_setup(tmp_path):
    world = HelperWorld(tmp_path)
    world.load("queues.setup({})\n")

    with pytest.raises(HookFailedError) as caught:
        world.fire("get_queue_config", 5, None, None, None)

    assert (caught.value.line, caught.value.file) == (4, str(world.path))
