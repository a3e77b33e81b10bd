"""The stub of ``mta.tsa`` says what scripts of the daemon really get."""

from __future__ import annotations

import ast
import doctest
import inspect

import pytest

from tests.architecture.test_stubs import keywords, stub
from tsa.script_api import TsaScript

FUNCTIONS = {node.name: node for node in stub("mta.tsa").body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_has_the_parameters_of_the_real_one(name):
    real = dict(inspect.signature(getattr(TsaScript, name)).parameters)
    del real["self"]
    by_keyword_only = {one.arg for one in FUNCTIONS[name].args.kwonlyargs}

    assert keywords(FUNCTIONS[name]) == set(real)
    assert by_keyword_only == {
        one.name for one in real.values() if one.kind is inspect.Parameter.KEYWORD_ONLY
    }


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_example_of_a_function_is_a_declaration(name, tmp_path):
    (example,) = doctest.DocTestParser().get_examples(ast.get_docstring(FUNCTIONS[name]))
    path = tmp_path / "policy.py"
    path.write_text(
        "import mta.tsa\nfrom mta import on\n\n\n"
        f'@on("tsa_init")\ndef tsa_init():\n    {example.source}'
    )
    script = TsaScript(path, lambda: 0.0)

    script.load()

    assert script.settings() != settings_without(tmp_path)


def settings_without(folder):
    path = folder / "empty.py"
    path.write_text("")
    script = TsaScript(path, lambda: 0.0)
    script.load()
    return script.settings()
