"""The examples in the stubs of modules for scripts run, and give what they say."""

from __future__ import annotations

import ast
import doctest
import textwrap

import pytest

from tests.architecture.shape import ROOT
from tests.fakes.pure_modules import ScriptHost

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
