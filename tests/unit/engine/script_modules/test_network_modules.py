"""What scripts reach out with is there for them, with or without a node."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from engine.base.clock import loop_clock
from engine.base.lifecycle import Supervisor
from engine.dry_check import DryCheck
from engine.hooks import HOOKS
from engine.script_api import ScriptApi
from engine.script_modules.key_sources import KeySources
from engine.script_modules.network_modules import NetworkModules, expose_network
from engine.settings import Settings
from engine.throttle.limiter import MemoryLimiter
from policy.errors import PolicyLoadError
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from tests.fakes.vault_server import TOKEN, VaultServer
from tests.fakes.web_server import web_server


def check(folder, source):
    """Load a script as ``cirrus check`` does; return the findings' texts."""
    api = ScriptApi(MemoryLimiter(lambda: 0.0))
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


async def test_a_node_reads_secrets_of_a_vault_through_its_key_sources(tmp_path):
    async with web_server() as server:
        vault = VaultServer(server)
        clock = loop_clock(asyncio.get_running_loop())
        namespace = ScriptNamespace()
        runtime = PolicyRuntime(HOOKS, namespace, mono=clock.mono)
        node = SimpleNamespace(
            clock=clock,
            settings=Settings(tmp_path / "init.py"),
            runtime=runtime,
            key_sources=KeySources(lambda: tmp_path, runtime.call_function),
            supervisor=Supervisor(),
            script_api=ScriptApi(MemoryLimiter(clock.mono)),
        )
        network = expose_network(namespace, node)

        secret = await node.key_sources.load(
            {
                "vault_mount": "secret",
                "vault_path": "dkim/example",
                "vault_address": vault.address,
                "vault_token": TOKEN,
            }
        )
        await network.close()

    assert secret == b"the key"
