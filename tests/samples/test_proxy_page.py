"""What docs/proxy.md shows works as it stands there."""

from __future__ import annotations

import re
import shlex

import pytest
from click.testing import CliRunner

from engine.script_testing import ScriptHarness
from proxy import __main__ as program
from proxy.access import Who
from proxy.http_api import ProxyApi
from proxy.metric_names import PROXY_METRICS
from proxy.policy_check import check_policy
from proxy.script_api import ProxyScript
from tests.samples.running_node import ROOT

PAGE = (ROOT / "docs" / "proxy.md").read_text()
NODE, PROXY = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_command_is_one(monkeypatch):
    (command,) = re.findall(r"^    (cirrus proxy --listen.*?[^\\])\n", PAGE, re.DOTALL | re.M)
    served = []

    async def serve(proxy):
        served.append(proxy.settings)

    monkeypatch.setattr(program, "serve", serve)
    monkeypatch.setattr(program, "configure_run_log", lambda *_: None)
    words = shlex.split(command.replace("\\\n", " "))
    result = CliRunner().invoke(program.proxy, words[2:])

    assert result.exit_code == 0, result.output
    (options,) = served[0].listeners
    node = Who("10.0.0.9")
    assert options.access.may_enter(node.address)
    assert options.access.may_reach(node, "192.0.2.11", "198.51.100.9", 25)
    assert options.access.default_source(node, "198.51.100.9") == "192.0.2.10"


def test_the_script_of_the_node_names_the_proxy(tmp_path):
    path = tmp_path / "policy.py"
    path.write_text(NODE)
    with ScriptHarness(path) as script:
        source = script.fire("get_egress_source", "ip-2")

    assert "192.0.2.11" in repr(source.proxy)


def test_the_script_of_the_proxy_declares_what_the_page_says(tmp_path):
    path = tmp_path / "proxy.py"
    path.write_text(PROXY)
    script = ProxyScript(path, lambda: 0.0)
    script.load()
    (options,) = script.settings().listeners
    named = Who("10.0.0.1", frozenset({"node-1"}))

    assert check_policy(path) == []
    assert options.access.may_reach(named, "192.0.2.10", "198.51.100.9", 587)
    assert not options.access.may_reach(named, "192.0.2.11", "198.51.100.9", 25)
    assert options.access.may_reach(Who("10.0.0.9"), "192.0.2.11", "198.51.100.9", 25)
    assert not options.access.may_reach(Who("10.0.0.9"), "192.0.2.11", "198.51.100.9", 587)


@pytest.mark.parametrize("metric", [one.name for one in PROXY_METRICS])
def test_every_metric_is_named(metric):
    assert f"`{metric}`" in PAGE


def test_every_endpoint_is_named():
    class Routes:
        paths = []

        def add_route(self, method, path, *_rest, **_more):
            self.paths.append(f"`{method} {path}`")

    ProxyApi(None).add_routes(Routes())

    assert [one for one in Routes.paths if one not in PAGE] == []


def test_every_flag_and_option_that_the_page_names_is_one():
    flags = {flag for one in program.proxy.params for flag in one.opts}
    flags |= {flag for one in program.hash_password.params for flag in one.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))

    assert named - flags == set()
