"""The type stubs of ``helpers`` say what scripts really get: names and parameters."""

from __future__ import annotations

import ast
import inspect
import shutil
import subprocess
import sys

import pytest

from engine.helpers import shaping_options
from engine.helpers.script_helpers import ScriptHelpers
from engine.hooks import HOOKS
from engine.script_api import ScriptApi
from engine.throttle.limiter import MemoryLimiter
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from tests.architecture.shape import ROOT

FOLDER = ROOT / "helpers-stubs"
#: Functions that take their options by a table.
OPTIONS = {"shaping": shaping_options.OPTIONS}


def exposed() -> dict[str, dict[str, tuple[object, bool]]]:
    """Return what scripts may import, and whether it waits, by module."""
    namespace = ScriptNamespace()
    limiter = MemoryLimiter(lambda: 0.0)
    api = ScriptApi(limiter)
    runtime = PolicyRuntime(HOOKS, namespace, mono=lambda: 0.0)
    ScriptHelpers(api, runtime, limiter).expose(namespace)
    names = namespace._names
    return {
        module.removeprefix("helpers."): names[module] for module in names if "helpers." in module
    }


FUNCTIONS = [
    (module, name, *found)
    for module, names in sorted(exposed().items())
    for name, found in names.items()
]


def stub(module: str) -> ast.Module:
    return ast.parse((FOLDER / f"{module}.pyi").read_text())


def test_each_helper_has_a_stub_and_no_other_has():
    assert {path.stem for path in FOLDER.glob("*.pyi")} == exposed().keys() | {"__init__"}


def test_the_package_names_its_helpers():
    (tree,) = [stub("__init__")]
    names = {
        alias.asname
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert names == exposed().keys()


@pytest.mark.parametrize("module", sorted(exposed()))
def test_a_stub_names_what_scripts_may_import(module):
    functions = [
        node.name
        for node in stub(module).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert sorted(functions) == sorted(exposed()[module])


@pytest.mark.parametrize(
    ("module", "name", "function", "waits"),
    FUNCTIONS,
    ids=[f"{module}.{name}" for module, name, _, _ in FUNCTIONS],
)
def test_a_stub_has_the_parameters_of_the_function(module, name, function, waits):
    (node,) = [one for one in stub(module).body if getattr(one, "name", "") == name]
    real = dict(inspect.signature(function).parameters)
    if "options" in real:
        given = [one.arg for one in node.args.kwonlyargs if one.arg not in real]
        assert sorted(given) == sorted(OPTIONS[module])
        any_value = real.pop("options").replace(kind=inspect.Parameter.KEYWORD_ONLY, default=None)
        real |= dict.fromkeys(given, any_value)

    assert [one.arg for one in node.args.args + node.args.kwonlyargs] == list(real)
    assert [one.arg for one in node.args.kwonlyargs] == [
        each for each, one in real.items() if one.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    required = [each for each, one in real.items() if one.default is inspect.Parameter.empty]
    optional = len(node.args.defaults) + sum(one is not None for one in node.args.kw_defaults)
    assert len(real) - optional == len(required)
    assert isinstance(node, ast.AsyncFunctionDef) == waits


@pytest.mark.real_time
@pytest.mark.slow
def test_a_type_checker_finds_a_wrong_use(tmp_path):
    shutil.copytree(ROOT / "mta-stubs", tmp_path / "mta")
    shutil.copytree(FOLDER, tmp_path / "helpers")
    (tmp_path / "wrong.py").write_text(
        "from helpers import dkim, log_hooks, queues\n"
        "queues.setup(5)\n"
        "queues.aply\n"
        "log_hooks.new_json(name='x', url='y', qeue_config={})\n"
        "dkim.sign('text')\n"
    )

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--strict", "wrong.py", "helpers"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )

    lines = {line.partition(": ")[0] for line in done.stdout.splitlines() if ": error" in line}
    assert lines == {f"wrong.py:{number}" for number in (2, 3, 4, 5)}, done.stdout
