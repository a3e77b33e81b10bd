"""What scripts reach out with is there for them, with or without a node."""

from __future__ import annotations

import pytest

from engine.dry_check import DryCheck
from engine.hooks import HOOKS
from engine.script_api import ScriptApi
from engine.script_modules.network_modules import NetworkModules
from engine.throttle.limiter import MemoryLimiter
from policy.errors import PolicyLoadError
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace


def check(folder, source):
    """Load a script as ``cirrus check`` does; return the findings' texts."""
    api = ScriptApi(MemoryLimiter(lambda: 0.0).take_nowait)
    namespace = ScriptNamespace()
    api.expose(namespace, version="1")
    NetworkModules().expose(namespace)
    path = folder / "init.py"
    path.write_text("import mta\nfrom mta import on\n" + source)
    runtime = PolicyRuntime(HOOKS, namespace, mono=lambda: 0.0)
    return [str(one) for one in runtime.load(path, dry_check=DryCheck(runtime, api)).warnings]


def test_a_handler_that_asks_the_network_is_checked_without_one(tmp_path):
    assert (
        check(
            tmp_path,
            "@on('get_queue_config')\n"
            "async def config(domain, tenant, campaign, routing_domain):\n"
            "    found = await mta.dns.lookup_mx(domain)\n"
            "    return mta.make_queue_config(egress_pool=found['site_name'])\n",
        )
        == []
    )


def test_init_cannot_ask_the_network(tmp_path):
    with pytest.raises(PolicyLoadError, match="init cannot wait"):
        check(tmp_path, "@on('init')\nasync def init(): await mta.dns.lookup_mx('example.com')\n")
