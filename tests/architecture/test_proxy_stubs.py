"""The stub of ``mta.proxy`` says what scripts of the proxy really get."""

from __future__ import annotations

import ast
import doctest

import pytest

from proxy.listener_options import HTTP_TABLE, SOCKS_TABLE
from proxy.script_api import ProxyScript
from proxy.settings import ProxySettings
from tests.architecture.test_stubs import keywords, stub

FUNCTIONS = {
    node.name: node for node in stub("mta.proxy").body if isinstance(node, ast.FunctionDef)
}
TABLES = {"start_proxy_listener": SOCKS_TABLE, "start_http_listener": HTTP_TABLE}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_has_the_options_that_are_read(name):
    assert keywords(FUNCTIONS[name]) == set(TABLES[name])
    assert not FUNCTIONS[name].args.args


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_example_of_a_function_is_a_declaration(name, tmp_path):
    (example,) = doctest.DocTestParser().get_examples(ast.get_docstring(FUNCTIONS[name]))
    source = example.source.replace("\n", "\n    ").rstrip()
    path = tmp_path / "policy.py"
    path.write_text(
        "import mta.proxy\nfrom mta import on\n\n\n"
        f'@on("proxy_init")\ndef proxy_init():\n    {source}\n'
        '    mta.proxy.start_proxy_listener(listen="127.0.0.1:0")\n'
    )
    script = ProxyScript(path, lambda: 0.0)
    script.load()
    settings = script.settings()

    assert len(settings.listeners) + len(settings.http) == 2
    assert settings != ProxySettings()
