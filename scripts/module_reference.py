"""The reference pages of what scripts call, made from the type stubs.

``make_reference`` writes them; tests run each example.
"""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path

STUBS = Path(__file__).resolve().parents[1] / "mta-stubs"
MODULES = (
    *("domain_map", "cidr", "regex_set_map", "digest", "encode", "time", "uuid", "serde", "fs"),
    *("string", "counter_series", "secrets", "mimepart", "dkim"),
    *("dns", "http", "redis", "sqlite", "amqp", "kafka", "nats", "xfer", "tsa", "proxy"),
)
#: Functions of ``mta`` itself that belong here.
OF_MTA = (
    *("memoize", "make_counter", "log_debug", "log_info", "log_warn", "log_error"),
    *("available_parallelism", "get_event_registrars", "set_lruttl_cache_capacity"),
)
#: The others, by what they are for: heading, what it says, names.
FUNCTIONS = (
    (
        "In init",
        "What a node is made of. Anywhere else these are errors. An edit is carried out at the"
        " next reload.",
        (
            *("define_spool", "start_esmtp_listener", "start_http_listener", "start_ssh_console"),
            *("configure_local_logs", "configure_log_hook"),
            *("set_memory_hard_limit", "set_memory_soft_limit", "set_memory_low_thresh"),
            *("set_handler_limits", "set_fall_back_to_acl_map", "configure_redis_throttles"),
            "configure_tracing",
        ),
    ),
    (
        "Answers",
        "What the events that begin with `get_` are answered. An unknown option or a wrong value"
        " is an error at load.",
        (
            *("make_queue_config", "make_egress_pool", "make_egress_source"),
            *("make_egress_path", "make_listener_domain"),
            *("make_access_control_list", "load_acl_map", "AccessControlMap"),
        ),
    ),
    (
        "Acting",
        "A refusal ends the handler: no `except` catches it.",
        (
            *("reject", "disconnect", "make_throttle", "make_message", "inject_message"),
            "parse_duration",
        ),
    ),
)
#: Where the options of a function are explained.
OPTION_PAGES = {
    "start_esmtp_listener": "listener-options.md",
    "make_queue_config": "queue-options.md",
    "make_egress_pool": "egress-sources.md",
    "make_egress_source": "egress-sources.md",
    "make_egress_path": "egress-path-options.md",
}
#: Classes of ``mta`` whose methods have a page, and how a script calls such an object.
OBJECTS = {"Message": "msg", "Connection": "conn", "Throttle": "throttle"}
VALUES = ("Address", "AddressHeader", "AddressEntry")
#: What the examples of the page of messages are run with.
EXAMPLE_MESSAGE = """\
From: Anna <anna@example.com>
To: someone@example.org
Subject: =?utf-8?q?Caf=C3=A9?=
X-Tenant: acme
X-Tag: news
X-Tag: spring
X-Schedule: {"first_attempt": "2030-01-02T00:00:00Z"}
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain

Hello!
--b
Content-Type: text/html

<html><body>Hello!</body></html>
--b--
"""
#: What the names of types in signatures stand for.
TYPES = """\
In signatures a `Duration` is a number of seconds or text such as `"20m"`, a `Rate` text such as
`"100/min"`, a `KeySource` the name of a file or one of the tables that
[mta.secrets](script-modules.md#mtasecrets) explains; `V`, `D` and `F` are whatever is given. A
wrong number or name of arguments is a TypeError, an argument of the wrong kind a TypeError or
ValueError; what else may be raised is said at each function."""
LINE_LENGTH = 100
NOTE = "*Made by `scripts/make_reference.py` from the type stubs; do not edit.*"
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def make_modules_page() -> str:
    """Return the page."""
    lines = ["# Modules for scripts", "", NOTE, ""]
    lines += [
        "What a script finds below `mta` besides the events and options of the other pages.",
        "`await` stands where a call waits: such a call belongs into an `async def` handler, and",
        "ends by itself. What is kept beyond a call (memoized answers, counter series, counters)",
        "outlives reloads and ends with the node. `mta.amqp`, `mta.kafka`, `mta.nats` need their",
        "extras; without them a call says which. Only scripts of these daemons have `mta.tsa` and",
        "`mta.proxy`. Each example is run by a test; errors of scripts have file and line.",
        "",
        TYPES,
        "",
    ]
    lines += ["## mta", ""]
    for name in OF_MTA:
        lines += _describe("mta", functions("__init__")[name])
    lines += _describe_class(classes("__init__")["Counter"])
    for module in MODULES:
        lines += _describe_module(module)
    return "\n".join(lines)


def make_functions_page() -> str:
    """Return the page of the functions of ``mta`` itself."""
    lines = ["# Functions", "", NOTE, ""]
    lines += ["What `import mta` gives; each example is run by a test.", "", TYPES, ""]
    for heading, text, names in FUNCTIONS:
        lines += [f"## {heading}", "", text, ""]
        for name in names:
            if name in classes("__init__"):
                lines += _describe_class(classes("__init__")[name])
                continue
            lines += _describe("mta", functions("__init__")[name], OPTION_PAGES.get(name))
    return "\n".join(lines)


def make_message_page() -> str:
    """Return the page of what handlers are given."""
    lines = ["# Messages, connections, throttles", "", NOTE, ""]
    lines += [
        "What handlers are given, and what `mta.make_throttle` makes. Nothing of a message or a",
        "connection waits. What an event stores of the changes made to a message is said",
        "[there](hooks.md). The examples are run with this message, by a client of the address",
        "192.0.2.1:",
        "",
        "```",
        EXAMPLE_MESSAGE.rstrip(),
        "```",
        "",
        TYPES,
        "",
    ]
    known = classes("__init__")
    for kind, name in OBJECTS.items():
        lines += [f"## {kind}", "", _prose(known[kind]), ""]
        for method in methods(known[kind]).values():
            lines += _describe(name, method)
    lines += ["## Addresses", ""]
    for kind in VALUES:
        lines += _describe_class(known[kind])
    return "\n".join(lines)


def methods(node: ast.ClassDef) -> dict[str, _Function]:
    """Return the methods and properties of a class by name; of several, the explained one."""
    return _of_functions(node.body)


def functions(module: str) -> dict[str, _Function]:
    """Return the functions of a stub by name; of overloads, the one that is explained."""
    return _of_functions(_tree(module).body)


def classes(module: str) -> dict[str, ast.ClassDef]:
    """Return the classes of a stub by name, but for those that only annotate."""
    found = [node for node in _tree(module).body if isinstance(node, ast.ClassDef)]
    return {node.name: node for node in found if not node.name.startswith("_")}


def _of_functions(nodes: list[ast.stmt]) -> dict[str, _Function]:
    found: dict[str, _Function] = {}
    for node in nodes:
        if isinstance(node, _Function) and (node.name not in found or ast.get_docstring(node)):
            found[node.name] = node
    return found


def _tree(module: str) -> ast.Module:
    return ast.parse((STUBS / f"{module}.pyi").read_text())


def _prose(node: ast.ClassDef | ast.Module | _Function) -> str:
    """Return what a docstring says in words, in Markdown."""
    text = (ast.get_docstring(node) or "").partition(">>>")[0].strip()
    return text.replace("``", "`")


def _describe_module(module: str) -> list[str]:
    lines = [f"## mta.{module}", "", _prose(_tree(module)), ""]
    for function in functions(module).values():
        lines += _describe(f"mta.{module}", function)
    for node in classes(module).values():
        lines += _describe_class(node)
    return lines


def _describe_class(node: ast.ClassDef) -> list[str]:
    members = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign):
            members.append(f"* `{type_text(item)}`")
    for name, item in methods(node).items():
        if name.startswith("_"):
            continue
        if _is_property(item):
            shown = f"{name}: {type_text(item.returns)}"
        else:
            head = " ".join(line.strip() for line in _signature(item)).removesuffix(": ...")
            shown = head.replace("def ", "", 1).replace("async ", "await ")
            shown = shown.replace("( ", "(").replace(", )", ")")
        text = _prose(item).replace("\n", " ").replace("  ", " ")
        members.append(f"* `{shown}`{': ' + text if text else ''}")
    example = _example(ast.get_docstring(node) or "")
    shown_example = ["```python", *example, "```", ""] if example else []
    return [f"### {node.name}", "", _prose(node), "", *members, "", *shown_example]


def _is_property(function: _Function) -> bool:
    return any(ast.unparse(mark) == "property" for mark in function.decorator_list)


def type_text(node: ast.AST | None) -> str:
    """Return a type, or a part of a signature, as the pages write it."""
    text = ast.unparse(node).replace("'", '"') if node is not None else "Any"
    return re.sub(r"\b_([A-Z])", r"\1", text).replace("builtins.", "")


def _signature(function: _Function) -> list[str]:
    """Return the head of a function, over several lines if it is long."""
    parts = []
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    for argument, default in zip(plain, defaults, strict=True):
        if argument.arg != "self":
            parts.append(_argument(argument, default))
    if arguments.vararg:
        parts.append("*" + _argument(arguments.vararg, None))
    elif arguments.kwonlyargs:
        parts.append("*")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parts.append(_argument(argument, default))
    if arguments.kwarg:
        parts.append("**" + _argument(arguments.kwarg, None))
    word = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
    return format_head(f"{word} {function.name}", parts, type_text(function.returns))


def format_head(start: str, parts: list[str], answer: str) -> list[str]:
    """Return the head of a function as the formatter of the project writes it."""
    line = f"{start}({', '.join(parts)}) -> {answer}: ..."
    if len(line) <= LINE_LENGTH:
        return [line]
    return [f"{start}(", *(f"    {part}," for part in parts), f") -> {answer}: ..."]


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    shown = argument.arg
    if argument.annotation is not None:
        shown += f": {type_text(argument.annotation)}"
    if default is not None:
        equals = " = " if argument.annotation is not None else "="
        shown += equals + type_text(default)
    return shown


def _describe(module: str, function: _Function, options: str | None = None) -> list[str]:
    """Return what the page says of a function: its signature, what it does, an example.

    Args:
        module: What stands before its name.
        function: It.
        options: The page of its options, if there is one.
    """
    awaited = "await " if isinstance(function, ast.AsyncFunctionDef) else ""
    lines = [f"### {awaited}{module}.{function.name}", ""]
    if _is_property(function):
        head = [f"{module}.{function.name}: {type_text(function.returns)}"]
    elif options is not None:
        head = format_head(f"def {function.name}", ["**options"], type_text(function.returns))
    else:
        head = _signature(function)
    lines += ["```python", *head, "```", "", _prose(function), ""]
    if options is not None:
        lines += [f"Its options have a [page]({options}).", ""]
    return [*lines, "```python", *_example(ast.get_docstring(function) or ""), "```", ""]


def _example(text: str) -> list[str]:
    """Return the lines of the examples in a docstring; what comes out follows as a comment."""
    lines: list[str] = []
    for example in doctest.DocTestParser().get_examples(text):
        lines += example.source.rstrip().splitlines()
        lines += [f"# {line}" for line in example.want.strip().splitlines()]
    return lines
