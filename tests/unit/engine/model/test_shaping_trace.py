"""What shaping says of a path, step by step, ends in what it gives."""

from __future__ import annotations

from datetime import date

import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import SiteRoute, merge_layers
from engine.model.shaping_trace import ShapingInForce, trace_path

HOSTS = ("mx1.big.example", "mx2.big.example")
SITE = "(mx1|mx2).big.example"
ROUTES = {"a.test": SiteRoute(SITE, HOSTS)}

BASE = """\
[default]
connection_limit = 10
max_ready = 1
[default.sources."ip-1"]
max_ready = 2
[provider.big]
match = [{ MXSuffix = ".big.example" }, { DomainSuffix = ".big.test" }]
provider_connection_limit = 5
max_ready = 3
[provider.silent]
match = [{ MXSuffix = ".big.example" }]
["a.test"]
max_ready = 4
[warmup."ip-9"]
start = "2026-12-01"
schedule = [{ day = 1, connection_limit = 1 }]
"""
MORE = """\
[default]
connection_limit = 20
["a.test"]
max_ready = 5
"""
LONE = '["b.test"]\nmx_rollup = false\nreplace_base = true\nmax_ready = 9\n'


def in_force(*texts, on=None):
    layers = [parse_shaping(text.encode(), f"{n}.toml") for n, text in enumerate(texts)]
    shaping, findings = merge_layers(layers, ROUTES, LoadOptions())
    assert not [one for one in findings if one.severity == "error"]
    return ShapingInForce(
        shaping=shaping,
        files=tuple(layer.name for layer in layers),
        place=("init.py", 3),
        is_complete=True,
        failing=None,
        on=on,
        obeys=True,
    )


def trace(*texts, domain="a.test", source="ip-1", site=SITE, on=None):
    return trace_path(in_force(*texts, on=on), domain, source, site, HOSTS)


def chain(traced, *key):
    return [
        (said.kind, said.setting.value, str(said.setting.place)) for said in traced.said[tuple(key)]
    ]


def test_all_that_was_said_of_an_option_is_told_in_the_order_in_which_it_counts():
    assert chain(trace(BASE, MORE), "max_ready") == [
        ("default", 1, "0.toml:3"),
        ("default", 2, "0.toml:5"),
        ("provider", 3, "0.toml:9"),
        ("site", 4, "0.toml:13"),
        ("site", 5, "1.toml:4"),
    ]


def test_a_limit_that_a_provider_shares_is_put_down_to_the_provider():
    traced = trace(BASE)
    key = ("additional_connection_limits", "shaping-provider-big-ip-1-limit")

    assert [(kind, value) for kind, value, _ in chain(traced, *key)] == [("provider", 5)]
    assert ("provider_connection_limit",) not in traced.said


def test_a_cap_of_a_warm_up_comes_last():
    traced = trace(BASE, source="ip-9", on=date(2026, 12, 1))

    assert [one[:2] for one in chain(traced, "connection_limit")] == [
        ("default", 10),
        ("warmup", 1),
    ]
    assert [day.number for day in traced.warmups] == [1]


def test_the_sections_that_count_are_listed_by_file_with_what_they_match():
    found = [
        (one.kind, one.section, one.file, one.options, one.matched_by)
        for one in trace(BASE, MORE).sections
    ]

    mx = ("MXSuffix .big.example",)
    assert found == [
        ("default", "default", "0.toml", ("connection_limit", "max_ready"), ()),
        ("default", "default", "1.toml", ("connection_limit",), ()),
        ("default", "default.sources.ip-1", "0.toml", ("max_ready",), ()),
        ("provider", "provider.big", "0.toml", ("provider_connection_limit", "max_ready"), mx),
        ("provider", "provider.silent", "0.toml", (), mx),
        ("site", '"a.test"', "0.toml", ("max_ready",), ()),
        ("site", '"a.test"', "1.toml", ("max_ready",), ()),
    ]


def test_a_section_that_replaces_the_base_keeps_it_out():
    traced = trace(BASE, LONE, domain="b.test", site="mx.b.test")

    assert [(one.kind, one.name, one.replaces_base) for one in traced.sections] == [
        ("domain", "b.test", True)
    ]
    assert chain(traced, "max_ready") == [("domain", 9, "1.toml:4")]


@pytest.mark.parametrize("domain", ["a.test", "b.test", "x.big.test", "other.test"])
@pytest.mark.parametrize("source", ["ip-1", "ip-9"])
@pytest.mark.parametrize("on", [None, date(2026, 12, 1)])
def test_the_last_said_is_what_shaping_gives(domain, source, on):
    given = in_force(BASE, MORE, LONE, on=on)
    traced = trace_path(given, domain, source, SITE, HOSTS)

    resolved = given.shaping.resolve(domain, source, SITE, HOSTS, on=on)
    assert traced.options() == resolved.options()
    assert traced.providers == given.shaping.providers_of(domain, HOSTS)
