"""The reference page of modules for scripts, made from their type stubs.

``make_reference`` writes it; a test runs each example.
"""

from __future__ import annotations

import ast
import doctest
from pathlib import Path

STUBS = Path(__file__).resolve().parents[1] / "mta-stubs"
MODULES = (
    *("domain_map", "cidr", "regex_set_map", "digest", "encode", "time", "uuid", "serde", "fs"),
    *("string", "counter_series", "secrets"),
)
#: Functions of ``mta`` itself that belong here.
OF_MTA = (
    *("memoize", "make_counter", "log_debug", "log_info", "log_warn", "log_error"),
    *("available_parallelism", "get_event_registrars", "set_lruttl_cache_capacity"),
)
NOTE = "*Made by `scripts/make_reference.py` from the type stubs; do not edit.*"
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def make_modules_page() -> str:
    """Return the page."""
    lines = ["# Modules for scripts", "", NOTE, ""]
    lines += [
        "What a script finds below `mta` besides the events and options of the other pages, as far",
        "as it reaches no other machine. `await` stands where a call waits: such a call belongs",
        "into an `async def` handler. A wrong argument is an error with file and line. What is",
        "kept beyond a call (memoized answers, counter series, counters) outlives reloads and ends",
        "with the node.",
        "",
    ]
    lines += ["## mta", ""]
    for name in OF_MTA:
        lines += _describe("mta", _functions("__init__")[name])
    for module in MODULES:
        if (STUBS / f"{module}.pyi").is_file():
            lines += _describe_module(module)
    return "\n".join(lines)


def _tree(module: str) -> ast.Module:
    return ast.parse((STUBS / f"{module}.pyi").read_text())


def _functions(module: str) -> dict[str, _Function]:
    """Return the functions of a stub by name; of overloads, the one that is explained."""
    found: dict[str, _Function] = {}
    for node in _tree(module).body:
        if isinstance(node, _Function) and (node.name not in found or ast.get_docstring(node)):
            found[node.name] = node
    return found


def _describe_module(module: str) -> list[str]:
    tree = _tree(module)
    lines = [f"## mta.{module}", "", ast.get_docstring(tree) or "", ""]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            lines += _describe_class(node)
    for function in _functions(module).values():
        lines += _describe(f"mta.{module}", function)
    return lines


def _describe_class(node: ast.ClassDef) -> list[str]:
    members = {}
    for item in node.body:
        if isinstance(item, _Function) and not item.name.startswith("_"):
            is_value = any(ast.unparse(mark) == "property" for mark in item.decorator_list)
            shown = f"`{item.name}`" if is_value else f"`{item.name}({_arguments(item)})`"
            text = (ast.get_docstring(item) or "").partition("\n\n")[0]
            if item.name not in members or text:
                members[item.name] = f"* {shown}{': ' + text if text else ''}"
    return [f"A `{node.name}`: {ast.get_docstring(node)}", "", *members.values(), ""]


def _arguments(function: _Function) -> str:
    """Return the arguments without their types and without ``self``."""
    shown = ast.parse(ast.unparse(function)).body[0]
    assert isinstance(shown, _Function)
    arguments = shown.args
    plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    for argument in [*plain, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            argument.annotation = None
    arguments.args = [each for each in arguments.args if each.arg != "self"]
    return ast.unparse(arguments)


def _describe(module: str, function: _Function) -> list[str]:
    text = ast.get_docstring(function) or ""
    (example,) = doctest.DocTestParser().get_examples(text)
    awaited = "await " if isinstance(function, ast.AsyncFunctionDef) else ""
    lines = [f"### {awaited}{module}.{function.name}({_arguments(function)})", ""]
    lines += [text.partition(">>>")[0].strip(), ""]
    want = example.want.strip()
    lines += ["```python", example.source.strip(), *([f"# {want}"] if want else []), "```", ""]
    return lines
