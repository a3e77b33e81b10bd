"""Sources and pools come from tables, and what does not fit together is said at load."""

from __future__ import annotations

import pytest

from engine.model.egress import PoolEntry
from tests.fakes.helper_world import HelperWorld

SETUP = "sources.setup('sources.toml')\n"


def world(tmp_path, text):
    made = HelperWorld(tmp_path)
    made.load(SETUP, {"sources.toml": text})
    return made


def check(tmp_path, text):
    return HelperWorld(tmp_path).check(SETUP, {"sources.toml": text})


def test_a_source_has_the_options_of_make_egress_source(tmp_path):
    source = world(
        tmp_path,
        "[source.'ip-1']\nsource_address = '10.0.0.1'\nehlo_domain = 'mta'\nttl = '5m'\n",
    ).fire("get_egress_source", "ip-1")

    assert (source.name, source.source_address, source.ehlo_domain, source.ttl_s) == (
        "ip-1",
        "10.0.0.1",
        "mta",
        300.0,
    )


def test_a_pool_has_its_sources_in_order_with_a_weight_of_one_if_none_is_given(tmp_path):
    pool = world(tmp_path, "[source.a]\n[source.b]\n[pool.p.b]\nweight = 3\n[pool.p.a]\n").fire(
        "get_egress_pool", "p"
    )

    assert pool.entries == (PoolEntry("b", 3), PoolEntry("a", 1))


def test_a_pool_may_name_the_unspecified_source(tmp_path):
    pool = world(tmp_path, "[pool.p.unspecified]\n").fire("get_egress_pool", "p")

    assert pool.entries == (PoolEntry("unspecified"),)


@pytest.mark.parametrize("hook", ["get_egress_source", "get_egress_pool"])
def test_nothing_is_said_of_what_is_not_defined(tmp_path, hook):
    assert world(tmp_path, "[source.a]\n").fire(hook, "other") is None


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            "[source.a]\n[pool.p.aa]\n",
            "2: error: pool 'p' names the source 'aa', which is not defined (did you mean 'a'?)",
        ),
        ("[pool.p]\n", "1: error: pool 'p' has no source"),
        (
            "[source.a]\n[pool.p.a]\nweight = -1\n",
            "3: error: pool.p.a.weight: a number from 0 to 1000000 is expected, not -1",
        ),
        (
            "[source.a]\n[pool.p.a]\nwieght = 1\n",
            "3: error: pool.p.a: unknown option 'wieght' (did you mean 'weight'?)",
        ),
        ("[source.a]\nname = 'b'\n", "2: error: source.a: unknown option 'name'"),
        (
            "[source.a]\nha_proxy_server = '10.0.0.1:5000'\n",
            "2: error: source 'a': ha_proxy_server: ha_proxy_source_address has to be given too",
        ),
        (
            "[source.a]\n[pool.p.a]\nweight = 0\n",
            "2: warning: pool 'p': no source has a weight: no mail leaves",
        ),
        ("[source.'']\n", "1: error: source '': name: text is expected, not ''"),
    ],
)
def test_what_does_not_fit_is_found_with_its_line(tmp_path, text, finding):
    assert check(tmp_path, text) == [f"sources.toml:{finding}"]


def test_every_mistake_is_told_at_once(tmp_path):
    found = check(tmp_path, "[source.a]\nttl = 'x'\n[source.b]\nehlo = 'x'\n[pool.p.c]\n")

    assert [one.split(": ")[0] for one in found] == [
        "sources.toml:2",
        "sources.toml:4",
        "sources.toml:5",
    ]


def test_a_script_cannot_answer_for_sources_too(tmp_path):
    found = HelperWorld(tmp_path).check(
        SETUP + "@on('get_egress_source')\ndef f(name):\n    return None\n",
        {"sources.toml": "[source.a]\n"},
    )

    assert "init.py:5: error: 'get_egress_source' takes one handler" in found[0]
