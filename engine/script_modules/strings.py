"""``mta.string``: what Python's own strings lack.

Place in flow: exposed by ``all_modules``; templates are rendered by a port, the dialects being
those of injected mail.

Invariants:
    * A template sees copies of plain values only, and gets the CPU time that its caller has left.
    * The public suffix list is that of the installed package; it is read at first use.

Standard: https://publicsuffix.org/list/
"""

from __future__ import annotations

import importlib
import textwrap
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from engine.model.address import normal_domain
from engine.script_modules.plain_value import copy_plain
from engine.script_modules.reply_pattern import normalize_smtp_response
from engine.script_modules.script_call import caller_budget
from policy.errors import LimitExceededError
from policy.script_api import ScriptNamespace

MODULE = "mta.string"
TEMPLATE_CHARACTERS_MAX = 262_144
TEMPLATES_KEPT = 256
NS_PER_TEMPLATE_CHARACTER = 2_000
WRAPPED_CHARACTERS_MAX = 100_000
NS_PER_WRAPPED_CHARACTER = 200

#: Port: render a compiled template with variables, in that many CPU seconds at most.
Render = Callable[[Mapping[str, Any], float], str]
#: Port: compile a text of a dialect, for HTML or not.
CompileTemplate = Callable[[str, str, bool], Render]


class Templates:
    """Compiled templates of scripts, the latest used.

    Args:
        compile_template: Port: compiles one.
    """

    def __init__(self, compile_template: CompileTemplate) -> None:
        self._compile = compile_template
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, bool], Render] = OrderedDict()

    def eval_template(
        self, name: str, source: str, context: Mapping[str, Any], dialect: str = "Jinja"
    ) -> str:
        """Return a template filled in; values are escaped where its name ends in .html or .htm.

        Raises:
            ValueError: It is no template of the dialect, or cannot be filled in.
        """
        if not isinstance(name, str) or not isinstance(source, str):
            raise TypeError("wants a name and a text")
        if len(source) > TEMPLATE_CHARACTERS_MAX:
            raise LimitExceededError(f"a template has at most {TEMPLATE_CHARACTERS_MAX} characters")
        if not isinstance(context, Mapping):
            raise TypeError("context: wants a dict")
        budget = caller_budget()
        variables = copy_plain(dict(context), budget).value
        is_html = name.lower().endswith((".html", ".htm"))
        try:
            render = self._find(source, str(dialect), is_html)
            text = render(variables, max(0.001, budget.left_ns() / 1e9))
        except ValueError as error:
            budget.check()
            raise ValueError(f"{name[:100]}: {error}") from None
        budget.account_text(len(text))
        return text

    def _find(self, source: str, dialect: str, is_html: bool) -> Render:
        key = (source, dialect, is_html)
        render = self._kept.get(key)
        if render is None:
            caller_budget().afford(len(source) * NS_PER_TEMPLATE_CHARACTER)
            render = self._compile(source, dialect, is_html)
        # A policy may be loading in a thread.
        with self._lock:
            self._kept[key] = render
            self._kept.move_to_end(key)
            if len(self._kept) > TEMPLATES_KEPT:
                self._kept.popitem(last=False)
        return render


@cache
def _suffixes() -> Any:
    try:
        package: Any = importlib.import_module("publicsuffixlist")
    except ImportError:
        raise RuntimeError(
            "the public suffix list needs a package: pip install publicsuffixlist"
        ) from None
    return package.PublicSuffixList()


def _domain(domain: Any) -> str | None:
    if not isinstance(domain, str):
        raise TypeError("wants a domain")
    if len(domain) > 255 or domain.startswith("["):
        return None
    try:
        return normal_domain(domain)
    except ValueError:
        return None


def psl_domain(domain: str) -> str | None:
    """Return the part of a domain that somebody registered, None where it is a suffix itself."""
    name = _domain(domain)
    found: str | None = None if name is None else _suffixes().privatesuffix(name)
    return found


def psl_suffix(domain: str) -> str | None:
    """Return the public suffix of a domain, below which names are registered."""
    name = _domain(domain)
    found: str | None = None if name is None else _suffixes().publicsuffix(name)
    return found


def wrap(text: str, soft: int = 75, hard: int = 900) -> str:
    """Return text folded for a header: at spaces to ``soft`` columns, in words only at ``hard``."""
    if not isinstance(text, str):
        raise TypeError("wants text")
    for name, value in (("soft", soft), ("hard", hard)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 998:
            raise ValueError(f"{name}: wants a whole number from 1 to 998")
    if len(text) > WRAPPED_CHARACTERS_MAX:
        raise LimitExceededError(f"more than {WRAPPED_CHARACTERS_MAX} characters are too many")
    caller_budget().afford(len(text) * NS_PER_WRAPPED_CHARACTER)
    lines: list[str] = []
    for line in textwrap.wrap(
        text, soft, break_long_words=False, break_on_hyphens=False, expand_tabs=False
    ):
        lines += [line[start : start + hard] for start in range(0, len(line), hard)]
    return "\r\n\t".join(lines)


def expose_string(namespace: ScriptNamespace, templates: Templates) -> None:
    """Make ``mta.string`` importable by scripts."""
    for function in (
        templates.eval_template,
        normalize_smtp_response,
        psl_domain,
        psl_suffix,
        wrap,
    ):
        namespace.expose(function.__name__, function, module=MODULE)
