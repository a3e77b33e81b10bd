"""Templates: what they give, and that none can run away."""

from __future__ import annotations

import time

import pytest

from engine.receive.template_dialect import (
    LINE_MARK,
    TemplateDialect,
    TemplateError,
    compile_text,
)

JINJA = TemplateDialect.JINJA
DOUBLING = (
    "{{% set n = namespace(x={}) %}}"
    "{{% for i in range(60) %}}{{% set n.x = n.x {} n.x %}}{{% endfor %}}"
)


def render(source, *, is_html=False, **variables):
    return compile_text(source, JINJA, is_html=is_html)(variables)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ name }}", "Jo"),
        ("{{ missing }}", ""),
        ("{% for i in [1, 2] %}{{ i }}{{ loop.last }} {% endfor %}", "1False 2True "),
        ("{{ 'a' ~ 1 ~ name }}", "a1Jo"),
        ("{{ [1, 2]|join('-') }} {{ items|join(',', attribute='a') }}", "1-2 1,2"),
        ("{{ '%05.2f'|format(3.1) }} {{ '{:>4}'.format('x') }}", "03.10    x"),
        ("{{ name|upper }} {{ name|replace('J', 'K') }} {{ 'x'|center(3) }}|", "JO Ko  x |"),
        ("{{ 2 * 3 }} {{ 2 ** 8 }} {{ 'ab' * 2 }} {{ 7 % 4 }}", "6 256 abab 3"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(name) }}", "<Jo>"),
    ],
)
def test_common_templates_work(source, expected):
    assert render(source, name="Jo", items=[{"a": 1}, {"a": 2}]) == expected


def test_values_are_escaped_in_html_only():
    assert render("{{ v }}{{ v ~ '<i>' }}", v="<b>", is_html=True) == "&lt;b&gt;&lt;b&gt;&lt;i&gt;"
    assert render("{{ v }}", v="<b>") == "<b>"


def test_line_breaks_out_of_values_are_marked_and_the_templates_own_are_not():
    assert render("a\n{{ v }}", v="1\r\n2\n3\r4") == LINE_MARK.join(["a\n1", "2", "3", "4"])
    assert LINE_MARK not in render("{{ v }}" + LINE_MARK, v=LINE_MARK)


def test_static_text_is_left_alone():
    assert compile_text("{{ name }}", TemplateDialect.STATIC)({}) == "{{ name }}"


@pytest.mark.parametrize(
    "source", ["{{ x", "{% for %}", "{% endif %}", "{{ " + "(" * 5000, "{{ x | nofilter }}"]
)
def test_a_mistake_is_found_when_compiled(source):
    with pytest.raises(TemplateError):
        compile_text(source, JINJA)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(10**9) %}{% endfor %}",
        "{{ 'x' * 10000000000 }}",
        "{{ [0] * 10000000000 }}",
        "{{ 10 ** 10 ** 8 }}",
        "{{ 'x'.center(10000000000) }}",
        "{{ 'x'.zfill(width=10000000000) }}",
        "{{ 'x'|center(10000000000) }}",
        "{{ 'x'|indent(10000000000) }}",
        "{{ '%10000000000s' % 1 }}",
        "{{ '%*s' % (10000000000, 1) }}",
        "{{ '%10000000000d'|format(1) }}",
        "{{ '{:>10000000000}'.format(1) }}",
        "{{ '{:>{}}'.format(1, 10000000000) }}",
        DOUBLING.format("'x'", "~"),
        DOUBLING.format("'x'", "+"),
        DOUBLING.format("9", "*"),
        "{{ ('x' * 1000000)|replace('x', 'y' * 10000) }}",
        "{{ ('x' * 1000000).replace('x', 'y' * 10000) }}",
        "{{ range(99999)|map('string')|join('x' * 1000) }}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ lipsum(n=1000000) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__'] }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ data.append(1) }}",
        "{{ missing.attribute }}",
        "{{ 1 / 0 }}",
    ],
)
def test_no_template_runs_away_or_breaks_out(source):
    begun_s = time.thread_time()

    try:
        text = render(source, data=[])
    except TemplateError:
        text = ""

    assert "class" not in text
    assert len(text) < 1000
    assert time.thread_time() - begun_s < 3
