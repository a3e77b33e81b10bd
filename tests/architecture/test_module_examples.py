"""The examples in the stubs of modules for scripts run, and give what they say."""

from __future__ import annotations

import ast
import doctest
import inspect
import textwrap

import pytest

from engine.script_modules.cidr_map import NetworkMap
from engine.script_modules.counter_series import CounterSeries
from engine.script_modules.digest import Digest
from engine.script_modules.domain_map import DomainMap
from engine.script_modules.identifier import Uuid
from engine.script_modules.policy_files import File
from engine.script_modules.regex_set_map import RegexSetMap
from engine.script_modules.script_counter import ScriptCounter
from engine.script_modules.script_time import Timer
from policy.script_api import ScriptNamespace
from tests.architecture.shape import ROOT
from tests.fakes.pure_modules import ScriptHost, expose_pure_modules

FOLDER = ROOT / "mta-stubs"
MODULES = (
    "cidr counter_series digest domain_map encode fs regex_set_map secrets serde string time uuid"
).split()
OF_MTA = (
    "memoize make_counter available_parallelism get_event_registrars set_lruttl_cache_capacity"
    " log_debug log_info log_warn log_error"
).split()
FILES = {
    "tenants.json": '{"acme": "pool-a"}',
    "tenants.toml": '[acme]\npool = "pool-a"\n',
    "tenants.yaml": "acme: pool-a\n",
    "welcome.txt": "Hello\nall\n",
}


def functions() -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return each function that a stub declares; of overloads, the one that is explained."""
    found = {}
    for module in ["__init__", *MODULES]:
        for node in ast.parse((FOLDER / f"{module}.pyi").read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if module == "__init__" and node.name not in OF_MTA:
                continue
            name = node.name if module == "__init__" else f"{module}.{node.name}"
            if name not in found or ast.get_docstring(node):
                found[name] = node
    return found


FUNCTIONS = functions()


def examples(name: str) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(ast.get_docstring(FUNCTIONS[name]) or "")


@pytest.fixture
def host(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return ScriptHost(tmp_path)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_an_example(name):
    assert len(examples(name)) == 1


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_an_example_gives_what_it_says(host, name):
    (example,) = examples(name)
    lines = f"print(repr({example.source.strip()}))"
    host.load("@on('get_queue_config')\nasync def ask(*args):\n" + textwrap.indent(lines, "    "))

    await host.fire("example.com")

    assert host.printed == [example.want.strip() or "None"]


def real(name: str):
    """Return what a script calls by a name, without what checks the waiting."""
    namespace = ScriptNamespace()
    expose_pure_modules(namespace)
    module, _, last = f"mta.{name}".rpartition(".")
    return namespace._names[module][last][0]


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"memoize", "fs.open"}))
def test_a_stub_has_the_parameters_of_the_function(name):
    arguments = FUNCTIONS[name].args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    starred = [each for each in (arguments.vararg, arguments.kwarg) if each]

    parameters = inspect.signature(real(name)).parameters
    assert {each.arg for each in named + starred} == set(parameters)
    optional = {each for each, one in parameters.items() if one.default is not one.empty}
    count = sum(each is not None for each in [*arguments.defaults, *arguments.kw_defaults])
    assert count == len(optional)


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("cidr", NetworkMap),
        ("counter_series", CounterSeries),
        ("digest", Digest),
        ("domain_map", DomainMap),
        ("uuid", Uuid),
        ("fs", File),
        ("regex_set_map", RegexSetMap),
        ("time", Timer),
        ("__init__", ScriptCounter),
    ],
)
def test_a_class_of_a_stub_has_the_members_of_the_real_one(module, kind):
    name = kind.__name__.removeprefix("Script")
    tree = ast.parse((FOLDER / f"{module}.pyi").read_text())
    (node,) = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name]

    members = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    shown = {member for member in dir(kind) if not member.startswith("_")}
    assert {member for member in members if not member.startswith("_")} == shown
    assert {member for member in members if member.startswith("_")} <= set(dir(kind))
