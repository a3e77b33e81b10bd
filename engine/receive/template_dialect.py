"""The template languages of injected content, and what bounds them.

Place in flow: ``engine.receive.injection_content`` compiles a request's texts once and renders them
for each recipient, in a thread.

Invariants:
    * A rendering ends: loops, calls and operators are counted against a budget of steps and CPU
      time, and no text or list grows past ``TEXT_MAX``.
    * A template reaches neither attributes with leading underscores nor changes its variables.
    * A line break inside a value is marked, so that one in a header can be told from the
      template's own (``LINE_MARK``).

Failure: a template that cannot be compiled raises ``TemplateError`` for the request; one that
cannot be rendered raises it for the recipient.
"""

from __future__ import annotations

import enum
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2 import nodes
from markupsafe import Markup


class TemplateDialect(enum.StrEnum):
    """The languages a request may name."""

    JINJA = "Jinja"
    STATIC = "Static"
    HANDLEBARS = "Handlebars"


class TemplateError(ValueError):
    """A template has a mistake, or asks for more than it may have."""


#: Stands for a line break that came out of a value; a noncharacter, so that no text holds it.
LINE_MARK = "\ufdd0"
#: Characters of a text, items of a list, that a template may make.
TEXT_MAX = 16 * 1024 * 1024
#: Steps (loop turns and calls) of one rendering.
STEPS_MAX = 1_000_000
#: CPU seconds of one rendering.
CPU_S = 1.0
#: The widest field, the deepest indentation.
WIDTH_MAX = 10_000
_STEPS_PER_LOOK = 256
_WIDE = re.compile(r"[%{:.<>=^][^%{}]*\d{5}|%[^%a-zA-Z]*\*|\{[^{}]*\{")

#: Return the text of a template with these variables.
RenderText = Callable[[Mapping[str, Any]], str]

_budget = threading.local()


def _start_budget(cpu_s: float = CPU_S) -> None:
    _budget.steps = 0
    _budget.end_s = time.thread_time() + min(cpu_s, CPU_S)


def _charge() -> None:
    _budget.steps += 1
    if _budget.steps % _STEPS_PER_LOOK:
        return
    if _budget.steps > STEPS_MAX or time.thread_time() > _budget.end_s:
        raise TemplateError("the template takes too long")


def _check_size(size: int) -> None:
    if size > TEXT_MAX:
        raise TemplateError("the template makes too long a text")


def _check_width(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, int) and abs(value) > WIDTH_MAX:
            raise TemplateError(f"{value} is more than {WIDTH_MAX}")


def _counted(items: Any) -> Iterator[Any]:
    for item in items:
        _charge()
        yield item


def _concat(parts: list[Any]) -> str:
    texts = [part if isinstance(part, Markup) else str(part) for part in parts]
    _check_size(sum(map(len, texts)))
    if any(isinstance(part, Markup) for part in parts):
        return Markup("").join(texts)
    return "".join(texts)


def _mark_lines(value: Any) -> Any:
    """Return what an expression gave, its line breaks marked."""
    if not isinstance(value, str) or not ("\n" in value or "\r" in value or LINE_MARK in value):
        return value
    text = value.replace(LINE_MARK, "\ufffd")
    return text.replace("\r\n", LINE_MARK).replace("\n", LINE_MARK).replace("\r", LINE_MARK)


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """The sandbox, with everything that can run away counted."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, "cirrus_counted", [], [], None, None)
        _replace_concats(tree)
        tree.set_environment(self)
        return tree

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Return the value of an operator, unless it would be too large."""
        _charge()
        match operator:
            case "*":
                for text, count in ((left, right), (right, left)):
                    if isinstance(text, str | list | tuple) and isinstance(count, int):
                        _check_size(len(text) * max(count, 0))
                _check_numbers(left, right)
            case "**":
                _check_width((left, right))
                if abs(right) > 64:
                    raise TemplateError("the exponent is too large")
            case "+":
                if hasattr(left, "__len__") and hasattr(right, "__len__"):
                    _check_size(len(left) + len(right))
            case "%" if isinstance(left, str):
                _check_format(left)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Any:
        """Return the sandboxed form of ``str.format``, unless its pattern asks for wide fields."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(str(value.__self__))
        return wrapped

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Return what a call gives, within the budget."""
        _charge()
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str | bytes):
            _check_method(owner, getattr(function, "__name__", ""), args)
            _check_width(itertools.chain(args, kwargs.values()))
        return super().call(context, function, *args, **kwargs)


def _replace_concats(node: nodes.Node) -> None:
    """Put a counted filter in the place of every ``~``, which no sandbox sees otherwise."""
    for child in list(node.iter_child_nodes()):
        _replace_concats(child)
    for field, value in list(node.iter_fields()):
        if isinstance(value, nodes.Concat):
            setattr(node, field, _counted_concat(value))
        elif isinstance(value, list):
            value[:] = [_counted_concat(v) if isinstance(v, nodes.Concat) else v for v in value]


def _counted_concat(node: nodes.Concat) -> nodes.Filter:
    parts = nodes.List(node.nodes, lineno=node.lineno)
    return nodes.Filter(parts, "cirrus_concat", [], [], None, None, lineno=node.lineno)


def _check_numbers(left: Any, right: Any) -> None:
    for value in (left, right):
        if isinstance(value, int) and value.bit_length() > 4096:
            raise TemplateError("the number is too large")


def _check_format(pattern: str) -> None:
    # Nested fields ("{:{}}") and stars take their width from an argument.
    if _WIDE.search(pattern):
        raise TemplateError("the format is too wide")


def _check_method(owner: Any, name: str, args: tuple[Any, ...]) -> None:
    if name == "replace" and len(args) >= 2 and isinstance(args[1], str | bytes):
        _check_size(len(owner) + (len(owner) + 1) * len(args[1]))
    elif name == "join" and args and hasattr(args[0], "__len__"):
        _check_size(len(args[0]) * len(owner))


def _bounded_filter(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that refuses wide arguments, with what the template engine notes on it."""

    def bounded(*args: Any, **kwargs: Any) -> Any:
        _charge()
        _check_width(itertools.chain(args[1:], kwargs.values()))
        return function(*args, **kwargs)

    bounded.__dict__.update(function.__dict__)
    return bounded


def _format_filter(pattern: str, *args: Any, **kwargs: Any) -> str:
    _check_format(str(pattern))
    _check_width(itertools.chain(args, kwargs.values()))
    return str(pattern) % (kwargs or args)


def _replace_filter(text: Any, old: str, new: str, count: int | None = None) -> str:
    _charge()
    owner = text if isinstance(text, str) else str(text)
    _check_method(owner, "replace", (old, new))
    return owner.replace(old, new, -1 if count is None else count)


def _join_filter(items: Any, separator: str = "", attribute: str | None = None) -> str:
    parts: list[Any] = []
    size = 0
    for item in _counted(items):
        part = item if attribute is None else (item or {}).get(attribute, "")
        part = part if isinstance(part, Markup) else str(part)
        size += len(part) + len(separator)
        _check_size(size)
        parts.append(part)
    if any(isinstance(part, Markup) for part in parts) or isinstance(separator, Markup):
        return Markup(separator).join(parts)  # noqa: S704 - as the engine's own filter does
    return separator.join(parts)


def _make_environment(*, is_html: bool) -> _Environment:
    environment = _Environment(
        autoescape=is_html, keep_trailing_newline=True, finalize=_mark_lines, cache_size=0
    )
    environment.globals.pop("lipsum", None)
    for name in ("center", "indent", "wordwrap", "batch", "slice", "round", "truncate"):
        environment.filters[name] = _bounded_filter(environment.filters[name])
    environment.filters.update(
        format=_format_filter,
        replace=_replace_filter,
        join=_join_filter,
        cirrus_counted=_counted,
        cirrus_concat=_concat,
    )
    return environment


_plain = _make_environment(is_html=False)
_html = _make_environment(is_html=True)


def compile_text(source: str, dialect: TemplateDialect, *, is_html: bool = False) -> RenderText:
    """Return what renders a text of a request.

    Line breaks out of values come as ``LINE_MARK``.

    Args:
        source: The text.
        dialect: Its language.
        is_html: Escape values for HTML.

    Raises:
        TemplateError: The text is no template of this dialect.
    """
    if dialect is TemplateDialect.STATIC:
        text = source.replace(LINE_MARK, "\ufffd")
        return lambda _variables: text
    if dialect is not TemplateDialect.JINJA:
        raise TemplateError(f"the dialect {dialect} is not available")
    compiled = _compile(source, is_html=is_html)
    return lambda variables: _render(compiled, variables)


def compile_for_scripts(
    source: str, dialect: str, is_html: bool
) -> Callable[[Mapping[str, Any], float], str]:
    """Return what renders a text for a policy script, within CPU seconds given each time.

    Raises:
        TemplateError: The text is no template, or there is no such dialect.
    """
    if dialect not in (TemplateDialect.JINJA, TemplateDialect.STATIC):
        raise TemplateError(f'the dialect {dialect[:100]!r} is not available: "Jinja" or "Static"')
    if dialect == TemplateDialect.STATIC:
        return lambda _variables, _cpu_s: source
    compiled = _compile(source, is_html=is_html)

    def render(variables: Mapping[str, Any], cpu_s: float) -> str:
        text = _render(compiled, variables, cpu_s)
        return str(text).replace(LINE_MARK, "\n")

    return render


def _compile(source: str, *, is_html: bool) -> jinja2.Template:
    try:
        return (_html if is_html else _plain).from_string(source.replace(LINE_MARK, "\ufffd"))
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"line {error.lineno}: {error.message}") from error
    except (RecursionError, MemoryError) as error:
        raise TemplateError("the template is nested too deeply") from error


def _render(template: jinja2.Template, variables: Mapping[str, Any], cpu_s: float = CPU_S) -> str:
    _start_budget(cpu_s)
    pieces: list[str] = []
    size = 0
    try:
        for piece in template.generate(variables):
            _charge()
            size += len(piece)
            _check_size(size)
            pieces.append(piece)
    except TemplateError:
        raise
    except Exception as error:
        raise TemplateError(f"{type(error).__name__}: {error}"[:500]) from error
    return "".join(pieces)
