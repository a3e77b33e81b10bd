"""The reference page of events: made from the declared hooks, the stub of ``on``, and examples.

``make_reference`` writes it; a test runs the examples.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from module_reference import STUBS, format_head, type_text

from engine.hooks import HOOKS, NOT_YET_FIRED
from policy.hook import Hook, OnFailure
from proxy.hooks import HOOKS as PROXY_HOOKS
from tsa.hooks import HOOKS as DAEMON_HOOKS

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "reference" / "examples"
NOTE = "*Made by `scripts/make_reference.py` from the code; do not edit.*"
FAILURES = {
    OnFailure.REFUSE: "refuse: the client is told to try again later; nothing is kept",
    OnFailure.DEFER: "defer: the message waits and the handler is asked again",
    OnFailure.KEEP_LAST: "keep the last answer; without one, the mail waits",
    OnFailure.IGNORE: "go on as if there were no handler; the error is logged",
    OnFailure.FATAL: "the node does not start; at a reload the running policy stays",
}
#: Where the daemon differs.
DAEMON_FAILURES = {
    OnFailure.KEEP_LAST: "keep the last rules; without any, the daemon does not start",
    OnFailure.FATAL: "the daemon does not start; at a reload what runs stays",
}
#: Where the proxy differs.
PROXY_FAILURES = {
    OnFailure.REFUSE: "refuse: the client is told that name or password are wrong",
    OnFailure.FATAL: "the proxy does not start; at a reload what runs stays",
}
#: Events, besides those that fail for good, whose handlers cannot wait for the network.
NEVER_WAITING = {"load_shaping_data"}
#: What arguments mean, whatever the event.
ARGUMENTS = {
    "attempt_counted": "whether it counts as a delivery attempt",
    "authc": "the identity whose password it is",
    "authz": "the identity to act as; empty for the same",
    "campaign": "the campaign of the queue, or None",
    "command": "the line that is answered, or None",
    "conn": "the [connection](message.md#connection)",
    "data": "what the operator gave, by name",
    "delay": "the seconds until it is due again",
    "domain": "the domain",
    "egress_source": "the name of the source",
    "extensions": "what would be advertised",
    "hook_name": "the name of the log hook",
    "listener": 'the address of the listener, such as `"127.0.0.1:2525"`',
    "msg": "the [message](message.md#message)",
    "name": "the name asked for",
    "password": "the password that was shown",
    "reasons": "why, in words",
    "recipient": "the [address](message.md#addresses)",
    "record": "the [log record](log-record.md), by field",
    "resource": "what is accessed",
    "response": "the text of the reply, its code in front",
    "routing_domain": "the domain that mail is routed by, where it is another one, or None",
    "sender": "the [address](message.md#addresses); empty for a bounce",
    "site_name": "the name of the hosts that take mail for the domain",
    "status": "the code of the reply",
    "tenant": "the tenant of the queue, or None",
    "token": "the token that was shown",
    "user": "the name that was shown",
}
#: Where an argument means something else than elsewhere.
EXCEPTIONS = {
    ("smtp_ehlo", "domain"): "what the client calls itself",
    ("get_listener_domain", "domain"): "the domain of a sender or recipient",
    ("get_queue_config", "domain"): "the domain of the recipients",
    ("get_egress_path", "routing_domain"): "the domain that mail is routed by",
    ("rewrite_delivery_status", "domain"): "the domain of the recipients",
    ("log_disposition", "msg"): "the [message](message.md#message), or None where there is none",
    ("smtp_rewrite_response", "response"): "the text of the reply",
}


def make_hooks_page(
    hooks: Iterable[Hook] = HOOKS,
    daemon_hooks: Iterable[Hook] = DAEMON_HOOKS,
    proxy_hooks: Iterable[Hook] = PROXY_HOOKS,
) -> str:
    """Return the page of events."""
    lines = ["# Events", "", NOTE, ""]
    lines += [
        'A handler is a function that a script registers with `@on("event")`, `def` or',
        "`async def`. It gets the arguments below, by position. `None` means: the next handler,",
        "then the default. *Several*: the event takes more than one handler, asked in order.",
        "An answer of another type is an error of the handler, found where it is given.",
        "The examples are those of [one script](examples/events.py), which a test runs.",
        "",
    ]
    lines += _describe_all(hooks, event_examples("events"), FAILURES)
    lines += [
        "# Events of the traffic shaping automation",
        "",
        "Those of the script of `cirrus tsa`, see [there](../tsa.md). The examples are those of",
        "[another script](examples/automation.py).",
        "",
    ]
    lines += _describe_all(daemon_hooks, event_examples("automation"), FAILURES | DAEMON_FAILURES)
    lines += [
        "# Events of the egress proxy",
        "",
        "Those of the script of `cirrus proxy`, see [there](../proxy.md). The examples are those",
        "of [a third script](examples/egress.py).",
        "",
    ]
    lines += _describe_all(proxy_hooks, event_examples("egress"), FAILURES | PROXY_FAILURES)
    return "\n".join(lines)


def _describe_all(
    hooks: Iterable[Hook], examples: dict[str, str], failures: dict[OnFailure, str]
) -> list[str]:
    heads = handler_heads()
    lines: list[str] = []
    for hook in hooks:
        lines += [f"## {hook.name}", ""]
        lines += ["```python", *_head(hook, *heads[hook.name]), "```", "", hook.doc, ""]
        if hook.name in NOT_YET_FIRED:
            lines += ["**Known, not yet in force:** a handler never runs; loading it warns.", ""]
        for name in hook.arguments:
            meaning = EXCEPTIONS.get((hook.name, name)) or ARGUMENTS[name]
            lines.append(f"* `{name}`: {meaning}.")
        answer = "nothing" if hook.result is None else "an answer, or None"
        lines.append(f"* Returns {answer}.{' Several.' if hook.multiple else ''}")
        may_wait = hook.on_failure is not OnFailure.FATAL and hook.name not in NEVER_WAITING
        waits = f", {hook.wait_budget_s:g} s in all for `async def`" if may_wait else ""
        lines.append(f"* Budget: {hook.cpu_budget_s * 1000:g} ms of CPU{waits}.")
        lines += [f"* When it fails: {failures[hook.on_failure]}.", ""]
        lines += ["```python", examples[hook.name], "```", ""]
    return lines


def _head(hook: Hook, types: list[str], answer: str) -> list[str]:
    parts = [f"{name}: {kind}" for name, kind in zip(hook.arguments, types, strict=True)]
    return format_head(f"def {hook.name}", parts, answer)


def handler_heads() -> dict[str, tuple[list[str], str]]:
    """Return the types of the arguments and of the answer of each event, as the stub has them."""
    tree = ast.parse((STUBS / "__init__.pyi").read_text())
    bounds = {}
    for node in tree.body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="TypeVar"), keywords=[ast.keyword(value=bound)]),
            ):
                bounds[name] = bound
    found: dict[str, tuple[list[str], str]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "on" and len(node.args.args) == 2:
            event, handler = node.args.args
            bound = bounds[ast.unparse(handler.annotation)]
            arguments, answer = bound.slice.elts
            types = [type_text(one) for one in arguments.elts]
            for one in ast.walk(event.annotation):
                if isinstance(one, ast.Constant):
                    found[one.value] = (types, _answer_text(answer))
    return found


def _answer_text(answer: ast.expr) -> str:
    """Return what a handler answers, whether it is ``def`` or ``async def``."""
    match answer:
        case ast.Subscript(value=ast.Name(id="_Answer"), slice=kind):
            return f"{type_text(kind)} | None"
        case ast.Name(id="_Nothing"):
            return "None"
    return type_text(answer)


def event_examples(script: str) -> dict[str, str]:
    """Return the handler of each event in a script of examples, as it is written there."""
    text = (EXAMPLES / f"{script}.py").read_text()
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.decorator_list:
            (mark,) = node.decorator_list
            assert isinstance(mark, ast.Call)
            event = ast.literal_eval(mark.args[0])
            lines = text.splitlines()[mark.lineno - 1 : node.end_lineno]
            found[event] = "\n".join(lines)
    return found
