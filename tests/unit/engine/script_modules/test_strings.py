"""Templates, public suffixes and folding."""

from __future__ import annotations

import pytest

from policy.errors import HookFailedError, PolicyLoadError


def rendered(host, source, context="{}", name="x.txt"):
    return host.value(f"mta.string.eval_template({name!r}, {source!r}, {context})")


@pytest.mark.parametrize(
    ("name", "text"), [("x.txt", "a<b>"), ("x.html", "a&lt;b&gt;"), ("X.HTM", "a&lt;b&gt;")]
)
def test_values_are_escaped_where_the_name_says_html(host, name, text):
    assert rendered(host, "a{{ x }}", "{'x': '<b>'}", name) == repr(text)


def test_line_breaks_of_values_stay(host):
    assert rendered(host, "{{ x }}\n", "{'x': 'a\\nb'}") == repr("a\nb\n")


def test_a_static_template_is_its_text(host):
    call = "mta.string.eval_template('x', '{{ x }}', {'x': 1}, dialect='Static')"
    assert host.value(call) == "'{{ x }}'"


def test_a_template_changes_nothing_of_its_caller(host):
    host.load(
        "items = [1]\nmta.string.eval_template('x', '{% set l = l + [2] %}', {'l': items})\n"
        "print(repr(items))"
    )

    assert host.printed == ["[1]"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ x", "t.txt: line 1"),
        ("{{ ''.__class__.__mro__ }}", "t.txt: "),
        ("{{ l.append(1) }}", "unsafe|not safely"),
        ("{{ 'x' * 10**9 }}", "too long|too large|exponent"),
        ("{{ '{:>999999999}'.format(1) }}", "too wide"),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "long|CPU",
        ),
        ("{% include 'x' %}", "t.txt: "),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
    ],
)
def test_a_template_that_fails_is_an_error_of_the_script(host, source, reason):
    with pytest.raises(PolicyLoadError, match=reason) as caught:
        host.load(f"mta.string.eval_template('t.txt', {source!r}, {{'l': [1]}})")

    assert caught.value.line == 3


async def test_an_endless_template_ends_within_the_budget_of_the_handler(host):
    host.load(
        "SOURCE = '{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}'\n"
        "@on('get_queue_config')\ndef ask(*args):\n"
        "    return mta.string.eval_template('x', SOURCE, {})"
    )

    with pytest.raises(HookFailedError, match=r"used more than its 50 ms of CPU|takes too long"):
        await host.fire("a")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("'x', 5, {}", "a name and a text"),
        ("'x', 'y', []", "context: wants a dict"),
        ("'x', 'y', {'f': len}", "only plain values"),
        ("'x', 'y', {}, 'Handlebars'", "'Handlebars' is not available"),
        ("'x', 'y' * 300_000, {}", "has at most"),
    ],
)
def test_a_mistake_is_a_load_error(host, arguments, reason):
    with pytest.raises(PolicyLoadError, match=reason):
        host.load(f"mta.string.eval_template({arguments})")


def test_templates_without_end_do_not_fill_memory(host):
    host.load("for n in range(400):\n    mta.string.eval_template('x', f'a{n}', {}, 'Static')")


@pytest.mark.parametrize(
    ("domain", "registered", "suffix"),
    [
        ("mail.example.co.uk", "example.co.uk", "co.uk"),
        ("Example.COM.", "example.com", "com"),
        ("com", None, "com"),
        ("a.b.unknown-tld", "b.unknown-tld", "unknown-tld"),
        ("[192.0.2.1]", None, None),
        ("", None, None),
        ("x" * 300, None, None),
        ("bücher.de", "xn--bcher-kva.de", "de"),
    ],
)
def test_public_suffixes(host, domain, registered, suffix):
    pytest.importorskip("publicsuffixlist")
    found = host.value(f"(mta.string.psl_domain({domain!r}), mta.string.psl_suffix({domain!r}))")

    assert found == repr((registered, suffix))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("'aa bb cc', 5", "aa bb\r\n\tcc"),
        ("'a' * 12 + ' b', 5, 8", "aaaaaaaa\r\n\taaaa\r\n\tb"),
        ("'a  b\\n\\tc', 75", "a  b  c"),
        ("''", ""),
    ],
)
def test_folding(host, arguments, text):
    assert host.value(f"' '.join(mta.string.wrap({arguments}).split(' '))") == repr(text)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("5", "wants text"),
        ("'a', 0", "soft: wants"),
        ("'a', 75, True", "hard: wants"),
        ("'a' * 200_000", "too many"),
    ],
)
def test_what_cannot_be_folded(host, arguments, reason):
    with pytest.raises(PolicyLoadError, match=reason):
        host.load(f"mta.string.wrap({arguments})")
