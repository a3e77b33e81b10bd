"""All modules together: nothing of the engine is within a script's reach."""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import pytest

from engine.base.clock import Clock
from engine.policy_check import check_policy
from engine.script_modules.all_modules import ModuleNeeds, expose_modules
from policy.errors import PolicyLoadError
from policy.script_api import ScriptNamespace
from tests.fakes.pure_modules import expose_pure_modules

PLAIN = (str, int, float, bytes, bool, type(None))
#: What scripts get from the modules, made by a script.
OBJECTS = [
    "mta.domain_map.new({'a': 1})",
    "mta.cidr.make_map({'10.0.0.0/8': 1})",
    "mta.regex_set_map.new({'a': 1})",
    "mta.digest.sha256('x')",
    "mta.uuid.new_v7()",
    "mta.time.start_timer('x')",
    "mta.counter_series.define(name='n', num_buckets=1, bucket_size=1)",
    "mta.make_counter('c')",
    "mta.memoize(lambda: 1, name='m', ttl=1, capacity=1)",
    "mta.fs.open('init.py')",
]


def reachable(value) -> dict[str, object]:
    return {name: getattr(value, name) for name in dir(value) if not name.startswith("_")}


def test_modules_offer_functions_only():
    namespace = ScriptNamespace()
    expose_pure_modules(namespace)

    for module in namespace.modules().values():
        for name, value in vars(module).items():
            if not name.startswith("_"):
                assert isinstance(value, FunctionType | MethodType | ModuleType), name


@pytest.mark.parametrize("expression", OBJECTS)
def test_an_object_for_scripts_shows_plain_values_and_methods(host, expression):
    kept = []
    host.runtime.namespace.expose("keep", kept.append)
    host.load(f"mta.keep({expression})")

    shown = reachable(kept[0])
    odd = {
        name: value
        for name, value in shown.items()
        if not isinstance(value, (*PLAIN, MethodType, BuiltinFunctionType))
    }
    assert odd == {}


@pytest.mark.parametrize("expression", OBJECTS)
def test_an_object_for_scripts_takes_no_attributes(host, expression):
    with pytest.raises(PolicyLoadError, match="cannot be set"):
        host.load(f"({expression}).anything = 1")


def test_what_is_not_told_where_templates_are_rendered_says_so(host):
    namespace = ScriptNamespace()
    needs = ModuleNeeds(
        clock=Clock(),
        metrics=host.metrics,
        runtime=host.runtime,
        folder=lambda: host.folder,
        warn=host.warned.append,
    )
    expose_modules(namespace, needs)

    with pytest.raises(ValueError, match="templates are not available here"):
        namespace.modules()["mta.string"].eval_template("x", "y", {})


@pytest.mark.parametrize(
    "script",
    [
        "mta.memoize.__self__",
        "mta.memoize.__func__",
        "mta.digest.sha256.__closure__",
        "mta.digest.sha256.__globals__",
        "mta.make_counter('c').inc.__self__._family",
        "mta.fs.open('init.py')._content",
        "mta.domain_map.new()._values",
        "getattr(mta.cidr.make_map(), '_table')",
        "mta.uuid.new_v7.__self__",
        "'{0.__self__}'.format(mta.uuid.new_v7)",
        "type(mta.uuid.new_v7())",
        "mta.secrets.read.__self__",
        "mta.fs.open = None",
        "mta.fs = None",
        "del mta.memoize",
        "mta.serde.json.loads",
        "mta.fs.os",
        "import mta.serde.json",
        "from mta.fs import os",
        "mta.time.asyncio",
    ],
)
def test_a_script_does_not_get_behind_a_module(host, script):
    with pytest.raises(PolicyLoadError):
        host.load(script)


def test_a_check_knows_the_modules(tmp_path):
    (tmp_path / "pools.toml").write_text('pool = "a"\n')
    script = tmp_path / "init.py"
    script.write_text(
        "import mta\nfrom mta import on\n"
        "POOL = mta.serde.toml_load('pools.toml')['pool']\n"
        "@mta.memoize(name='plan', ttl='5m', capacity=10)\n"
        "async def plan(domain):\n    return domain\n"
        "@on('init')\ndef init():\n    mta.define_spool(path='spool')\n"
        "    mta.set_lruttl_cache_capacity('x', 1)\n"
        "@on('get_queue_config')\nasync def ask(domain, *rest):\n    await plan(domain)\n"
    )

    findings = [(one.line, one.severity, one.message) for one in check_policy(script)]

    text = "set_lruttl_cache_capacity('x') is known but not in force"
    assert findings == [(10, "warning", text)]
