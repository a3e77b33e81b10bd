"""Shaping files over the whole schema resolve as a second, obvious implementation says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.base.shaping_source import parse_shaping
from engine.model.egress import make_egress_path
from engine.model.egress_options import PATH_NOT_IN_FORCE, PATH_OPTIONS
from engine.model.shaping_finding import CHECK_OPTIONS, LoadOptions
from engine.model.shaping_merge import SiteRoute, merge_layers
from tests.fakes import slow_shaping
from tests.fakes.shaping_text import to_toml

RATES = st.sampled_from(["1/s", "100/min", "local:20/30s", "1,000/hr,max_burst=5", "7/d"])
LIMITS = st.one_of(
    st.integers(1, 50), st.just("local:3"), st.just({"limit": 2, "force_local": True})
)
COUNTS = st.integers(1, 5000)
FLAGS = st.booleans()
DURATIONS = st.sampled_from(["5s", "1 minute", "1h30m", 7, 0.5])
NETS = st.lists(st.sampled_from(["10.0.0.0/8", "::1", "192.0.2.1"]), max_size=2)
KEYS = st.sampled_from(["/etc/key.pem", {"key_data": "secret"}])
TEXTS = st.sampled_from(["a", "mta.example", 'with "quotes" and \\', "zwölf"])
ENTRIES = st.sampled_from(["one", "two", "shaping-provider-big-ip-1-limit"])
CHOICES = {
    "enable_tls": ["Opportunistic", "OpportunisticInsecure", "Required", "Disabled"],
    "reconnect_strategy": ["ConnectNextHost", "ReconnectSameHost", "TerminateSession"],
    "ip_lookup_strategy": ["Ipv4AndIpv6", "Ipv4Only", "Ipv6Only"],
    "refresh_strategy": ["Ttl", "Epoch"],
    "dispatcher_wakeup_strategy": ["Aggressive", "Relaxed"],
    "maintainer_wakeup_strategy": ["Aggressive", "Relaxed"],
    "low_memory_reduction_policy": ["ShrinkDataAndMeta", "ShrinkData", "NoShrink"],
    "no_memory_reduction_policy": ["ShrinkDataAndMeta", "ShrinkData", "NoShrink"],
}


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Return values that fit an option."""
    if name in CHOICES:
        return st.sampled_from(CHOICES[name])
    if name == "additional_connection_limits":
        return st.dictionaries(ENTRIES, LIMITS, max_size=2)
    if name.startswith("additional_"):
        return st.dictionaries(ENTRIES, RATES, max_size=2)
    if name == "connection_limit":
        return LIMITS
    if name == "enable_dane":
        return st.just(False)
    if name.endswith("_hosts"):
        return NETS
    if name.endswith(("_rate",)):
        return RATES
    if name.endswith("_timeout") or name in ("remember_broken_tls", "refresh_interval"):
        return DURATIONS
    if name in ("tls_certificate", "tls_private_key", "smtp_auth_plain_password"):
        return KEYS
    if name == "rustls_cipher_suites":
        return st.lists(TEXTS, max_size=2)
    if name == "ehlo_domain":
        return st.sampled_from(["mta.example", "[192.0.2.1]"])
    if name.startswith("openssl_") or name in (
        "smtp_auth_plain_username",
        "provider_name",
        "readyq_pool_name",
    ):
        return TEXTS
    if name.startswith("max_") or name in (
        "smtp_port",
        "consecutive_connection_failures_before_delay",
    ):
        return COUNTS
    return FLAGS


OPTION = {name: values_of(name) for name in PATH_OPTIONS}
# A few often, so that files override each other; all of them now and then.
COMMON = ("connection_limit", "max_message_rate", "enable_tls", "additional_connection_limits")


@st.composite
def path_options(draw, names=tuple(PATH_OPTIONS)):
    chosen = draw(st.lists(st.sampled_from(COMMON), max_size=3, unique=True))
    chosen += draw(st.lists(st.sampled_from(names), max_size=3, unique=True))
    return {name: draw(OPTION[name]) for name in dict.fromkeys(chosen)}


SET_CONFIG = st.sampled_from(
    [
        {"name": "max_message_rate", "value": "1/min"},
        {"name": "connection_limit", "value": 1},
        {"name": "enable_tls", "value": "Required"},
        {"name": "additional_connection_limits", "value": {"x": 3}},
    ]
)
ACTIONS = st.one_of(
    st.sampled_from(["Suspend", "SuspendTenant", "SuspendCampaign"]),
    st.sampled_from(["Bounce", "BounceTenant", "BounceCampaign"]),
    st.builds(lambda table: {"SetConfig": table}, SET_CONFIG),
    st.builds(lambda table: {"SetDomainConfig": table}, SET_CONFIG),
    st.just({"AdjustConfig": {"name": "connection_limit", "floor": 2, "factor": "50%"}}),
)
TRIGGERS = st.sampled_from(
    [
        "Immediate",
        {"Threshold": "5/hr"},
        {"Threshold": "3/10min"},
        {"Proportion": {"of": "Deferred", "over": "10%", "within": "5m", "at_least": 100}},
    ]
)


def one_or_list(strategy):
    return st.one_of(strategy, st.lists(strategy, min_size=1, max_size=2))


RULES = st.fixed_dictionaries(
    {
        "regex": one_or_list(
            st.sampled_from(["\\[TSS04\\]", "^4[25]1 ", "(?i)slow", "(?<!un)block", "a{1,3}+b"])
        ),
        "action": one_or_list(ACTIONS),
        "duration": st.sampled_from(["1 hour", 90, "15m"]),
    },
    optional={"trigger": TRIGGERS, "match_internal": FLAGS, "enabled": FLAGS},
)
SOURCES = st.dictionaries(st.sampled_from(["ip-1", "ip-2"]), path_options(), max_size=2)
SHARED = {
    "provider_connection_limit": LIMITS,
    "provider_max_message_rate": RATES,
    "provider_source_selection_rate": RATES,
}
TERMS = st.sampled_from(
    [
        {"MXSuffix": ".big.example"},
        {"MXSuffix": "x.example"},
        {"HostName": "mx1.big.example"},
        {"HostName": "other.example"},
        {"DomainSuffix": ".test"},
        {"DomainSuffix": "a.test"},
        {"MXSuffix": ".Never.example."},
    ]
)


@st.composite
def sections(draw, kind):
    section = draw(path_options())
    if draw(FLAGS):
        section["automation"] = draw(st.lists(RULES, max_size=2))
    if draw(FLAGS):
        section["sources"] = draw(SOURCES)
    if draw(st.integers(0, 3)) == 0:
        section["replace_base"] = draw(FLAGS)
    if kind == "domain" and draw(FLAGS):
        section["mx_rollup"] = draw(FLAGS)
    if kind == "provider":
        if draw(FLAGS):
            section["match"] = draw(st.lists(TERMS, max_size=3))
        for name, strategy in SHARED.items():
            if draw(FLAGS):
                section[name] = draw(strategy)
        for source in section.get("sources", {}).values():
            if draw(FLAGS):
                source["provider_source_selection_rate"] = draw(RATES)
    return section


DOMAINS = (
    "a.test",
    "b.test",
    "C.Test",
    "null.test",
    "gone.test",
    "d.example",
    "http://127.0.0.1:8008.tsa.internal",
)
HOSTS = st.sampled_from(["mx1.big.example", "mx2.big.example", "other.example", "mx.x.example."])


@st.composite
def worlds(draw):
    """Files, and what the DNS says of the domains."""
    files = draw(
        st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "default": sections("default"),
                    "provider": st.dictionaries(
                        st.sampled_from(["big", "odd", "none"]), sections("provider"), max_size=3
                    ),
                    **{name: sections("domain") for name in DOMAINS},
                },
            ),
            min_size=1,
            max_size=3,
        )
    )
    routes: dict[str, Any] = {}
    for name in DOMAINS:
        hosts = draw(st.lists(HOSTS, min_size=1, max_size=2, unique=True))
        routes[name.lower()] = ("+".join(sorted(hosts)), hosts)
    routes["null.test"] = "null"
    routes["gone.test"] = routes[DOMAINS[-1]] = "fail"
    return files, routes


def site_routes(routes):
    said = {"null": SiteRoute(is_null=True), "fail": SiteRoute(failure="gone")}
    return {
        name: said[route] if isinstance(route, str) else SiteRoute(route[0], tuple(route[1]))
        for name, route in routes.items()
    }


def load(files, routes, options=CHECK_OPTIONS, *, as_json=False):
    layers = [
        parse_shaping(json.dumps(file).encode(), f"{index}.json")
        if as_json
        else parse_shaping(to_toml(file).encode(), f"{index}.toml")
        for index, file in enumerate(files)
    ]
    return merge_layers(layers, site_routes(routes), options)


def questions(routes):
    for name in DOMAINS:
        domain = name.lower()
        route = routes[domain]
        site, hosts = route if not isinstance(route, str) else (domain, None)
        for source in ("ip-1", "ip-2", "unspecified"):
            yield domain, source, site, hosts
    # A site of its own, and a domain of nobody's.
    yield "e.example", "ip-1", "other.example", ["other.example"]
    yield "f.test", "ip-1", "nowhere", []


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(worlds(), st.booleans())
def test_paths_are_those_of_the_obvious_way(world, as_json):
    files, routes = world
    shaping, findings = load(files, routes, as_json=as_json)

    assert [str(one) for one in findings if one.severity == "error"] == []
    for domain, source, site, hosts in questions(routes):
        found = shaping.resolve(domain, source, site, hosts).options()
        assert found == slow_shaping.resolve(files, routes, domain, source, site, hosts)
        make_egress_path(**found)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(worlds())
def test_rules_are_those_of_the_obvious_way(world):
    files, routes = world
    shaping, _ = load(files, routes)

    for domain, _source, site, hosts in questions(routes):
        found = [
            ([pattern.text for pattern in one.rule.patterns], one.is_rollup)
            for one in shaping.rules_for(domain, site, hosts)
        ]
        expected = [
            (regex if isinstance(regex, list) else [regex], is_rollup)
            for regex, is_rollup in slow_shaping.rules(files, routes, domain, site, hosts)
        ]
        assert found == expected


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(worlds())
def test_the_format_of_the_files_changes_nothing(world):
    files, routes = world

    assert load(files, routes)[0].hash == load(files, routes, as_json=True)[0].hash


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(worlds())
def test_every_value_says_the_line_it_stands_in(world):
    files, routes = world
    shaping, _ = load(files, routes)
    lines = {f"{index}.toml": to_toml(file).splitlines() for index, file in enumerate(files)}

    for domain, source, site, hosts in questions(routes):
        for key, setting in shaping.resolve(domain, source, site, hosts).settings.items():
            line = lines[setting.place.file][setting.place.line - 1]
            if key != ("provider_name",) and not key[-1].startswith("shaping-provider-"):
                assert json.dumps(key[-1]) in line


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(worlds())
def test_nothing_is_said_of_good_files_but_what_the_options_ask_for(world):
    files, routes = world
    _, findings = load(files, routes, LoadOptions())

    allowed = (
        "can never match",
        "has no effect",
        "not yet in force",
        "no MTA-STS policy",
    )
    said = [str(one) for one in findings if not any(text in one.message for text in allowed)]
    assert [one for one in said if not any(name in one for name in PATH_NOT_IN_FORCE)] == []
