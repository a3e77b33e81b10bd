"""Metrics that scripts count."""

from __future__ import annotations

import pytest

from engine.script_modules.script_counter import COUNTERS_MAX, SERIES_MAX
from policy.errors import PolicyLoadError


def test_a_counter_is_exposed_with_its_prefix_and_labels(host):
    host.load(
        "c = mta.make_counter('refused', labels=['tenant'], help='mail refused')\n"
        "c.inc(tenant='a')\nc.inc(2.5, tenant='a')\nc.inc(tenant=7)"
    )

    text = host.text_of_metrics()
    assert "# HELP script_refused mail refused\n# TYPE script_refused counter\n" in text
    assert 'script_refused{tenant="a"} 3.5\n' in text
    assert 'script_refused{tenant="7"} 1\n' in text


def test_a_counter_without_labels(host):
    host.load("mta.make_counter('seen').inc()")

    assert "\nscript_seen 1\n" in host.text_of_metrics()


def test_counts_outlive_a_reload(host):
    for _ in range(2):
        host.load("mta.make_counter('seen').inc()")

    assert "\nscript_seen 2\n" in host.text_of_metrics()


def test_label_values_without_end_become_one_series(host):
    host.load(
        "c = mta.make_counter('seen', labels=['who'])\n"
        f"for n in range({SERIES_MAX + 500}):\n    c.inc(who=n)\n"
        "c.inc(who=0)"
    )

    text = host.text_of_metrics()
    assert text.count("script_seen{") == SERIES_MAX + 1
    assert 'script_seen{who="(other)"} 500\n' in text
    assert 'script_seen{who="0"} 2\n' in text


def test_counters_without_end_are_refused(host):
    with pytest.raises(PolicyLoadError, match=f"at most {COUNTERS_MAX} metrics"):
        host.load("for n in range(1000):\n    mta.make_counter(f'c{n}')")


def test_a_long_label_value_is_cut(host):
    host.load("mta.make_counter('seen', labels=['who']).inc(who='x' * 100_000)")

    assert len(host.text_of_metrics()) < 2000


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("mta.make_counter('Bad')", "'Bad' is no name"),
        ("mta.make_counter('')", "is no name"),
        ("mta.make_counter('a', labels='tenant')", "labels: wants a list"),
        ("mta.make_counter('a', labels=['x', 'x'])", "different ones"),
        ("mta.make_counter('a', labels=['le gal'])", "is no name"),
        ("mta.make_counter('a', labels=['n'])", "none of them n"),
        ("mta.make_counter('a').inc(-1)", "only grows"),
        ("mta.make_counter('a').inc(float('nan'))", "only grows"),
        ("mta.make_counter('a').inc('1')", "only grows"),
        ("mta.make_counter('a').inc(tenant='x')", "the labels of script_a are: none"),
        ("mta.make_counter('a', labels=['t']).inc()", "the labels of script_a are: t"),
        ("mta.make_counter('a')\nmta.make_counter('a', labels=['t'])", "until a restart"),
        ("mta.make_counter('a')._family", "_family"),
    ],
)
def test_a_mistake_is_a_load_error(host, script, reason):
    with pytest.raises(PolicyLoadError, match=reason):
        host.load(script)
