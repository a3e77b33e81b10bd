"""Files laid over each other: later ones win, and what has no effect is told."""

from __future__ import annotations

import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.shaping_finding import CHECK_OPTIONS, LoadOptions, Severity
from engine.model.shaping_merge import SiteRoute, merge_layers, rollup_domains

SITE = SiteRoute("mx.one.test", ("mx.one.test",))
BIG = SiteRoute("(a|b).big.example", ("a.big.example", "b.big.example"))
ROUTES = {
    "one.test": SITE,
    "two.test": SITE,
    "big.test": BIG,
    "null.test": SiteRoute(is_null=True),
    "gone.test": SiteRoute(failure="the domain gone.test does not exist"),
}


def layers(*texts, remote=()):
    return [
        parse_shaping(text.encode(), f"{index}.toml", is_remote=index in remote)
        for index, text in enumerate(texts)
    ]


def merge(*texts, options=CHECK_OPTIONS, remote=()):
    shaping, findings = merge_layers(layers(*texts, remote=remote), ROUTES, options)
    return shaping, [str(one) for one in findings]


def options_of(bucket):
    return {".".join(key): setting.value for key, setting in bucket.settings.items()}


def test_later_files_win_value_by_value_and_limits_by_name():
    shaping, said = merge(
        "[default]\nmax_ready = 1\nidle_timeout = 5\n"
        "additional_connection_limits = {a = 1, b = 2}\nprohibited_hosts = ['10.0.0.0/8']\n",
        "[default]\nmax_ready = 2\n"
        "additional_connection_limits = {b = 3, c = 4}\nprohibited_hosts = ['::1']\n",
    )

    assert said == []
    assert options_of(shaping.default) == {
        "max_ready": 2,
        "idle_timeout": 5,
        "additional_connection_limits.a": 1,
        "additional_connection_limits.b": 3,
        "additional_connection_limits.c": 4,
        "prohibited_hosts": ["::1"],
    }


def test_sources_merge_each_for_itself_and_rules_and_terms_add_up():
    rule = '[[provider.big.automation]]\nregex = "{}"\naction = "Suspend"\nduration = 1\n'
    shaping, said = merge(
        '[provider.big]\nmatch = [{MXSuffix = ".a.test"}]\nprovider_max_message_rate = "1/s"\n'
        "[provider.big.sources.s]\nmax_ready = 1\nidle_timeout = 5\n" + rule.format("one"),
        '[provider.big]\nmatch = [{MXSuffix = ".b.test"}]\nprovider_max_message_rate = "2/s"\n'
        "[provider.big.sources.s]\nmax_ready = 2\n" + rule.format("two"),
    )

    big = shaping.providers["big"]
    assert said == []
    assert [term.text for term in big.match] == [".a.test", ".b.test"]
    assert options_of(big) == {"provider_max_message_rate": "2/s"}
    assert {key: held.value for key, held in big.for_source("s").items()} == {
        ("max_ready",): 2,
        ("idle_timeout",): 5,
    }
    assert [one.rule.patterns[0].text for one in big.rules] == ["one", "two"]
    assert [one.is_rollup for one in big.rules] == [True, True]


def test_rules_of_a_provider_known_by_its_domains_act_on_the_domain():
    shaping, _ = merge(
        '[provider.big]\nmatch = [{DomainSuffix = ".a.test"}]\n'
        '[[provider.big.automation]]\nregex = "x"\naction = "Suspend"\nduration = 1\n'
    )
    assert [one.is_rollup for one in shaping.providers["big"].rules] == [False]


def test_replace_base_drops_what_came_before_and_nothing_that_comes_after():
    rule = '[["one.test".automation]]\nregex = "x"\naction = "Suspend"\nduration = 1\n'
    shaping, _ = merge(
        '["one.test"]\nmax_ready = 1\n["one.test".sources.s]\nmax_ready = 9\n' + rule,
        '["one.test"]\nreplace_base = true\nidle_timeout = 5\n',
        '["one.test"]\nconnection_limit = 3\n',
    )

    bucket = shaping.sites["mx.one.test"]
    assert options_of(bucket) == {"idle_timeout": 5, "connection_limit": 3}
    assert (bucket.sources, bucket.rules, bucket.replaces_base) == ({}, [], True)
    assert str(bucket.place) == "1.toml:1"


def test_replace_base_of_a_provider_drops_its_terms_and_limits_as_well():
    shaping, _ = merge(
        '[provider.big]\nmatch = [{MXSuffix = ".a.test"}]\nprovider_connection_limit = 5\n',
        '[provider.big]\nreplace_base = true\nmatch = [{MXSuffix = ".b.test"}]\n',
    )

    assert [term.text for term in shaping.providers["big"].match] == [".b.test"]
    assert options_of(shaping.providers["big"]) == {}


def test_a_domain_lands_at_its_site_or_by_itself():
    shaping, said = merge(
        '["one.test"]\nmax_ready = 1\n', '["one.test"]\nmx_rollup = false\nmax_ready = 2\n'
    )

    assert said == []
    assert options_of(shaping.sites["mx.one.test"]) == {"max_ready": 1}
    assert options_of(shaping.domains["one.test"]) == {"max_ready": 2}


def test_two_sections_for_one_site_merge_and_are_told():
    shaping, said = merge('["one.test"]\nmax_ready = 1\n["two.test"]\nidle_timeout = 5\n')

    assert options_of(shaping.sites["mx.one.test"]) == {"max_ready": 1, "idle_timeout": 5}
    assert said == [
        "0.toml:3: warning: \"two.test\": is one site with 'one.test', mx.one.test: "
        "both sections are for all its domains"
    ]


def test_the_same_section_in_two_files_is_no_alias():
    assert merge('["one.test"]\nmax_ready = 1\n', '["one.test"]\nmax_ready = 2\n')[1] == []


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ("null.test", "the section is left out: the domain takes no mail (null MX)"),
        ("gone.test", "the section is left out: the domain gone.test does not exist"),
    ],
)
def test_a_section_without_a_site_is_left_out_and_told(domain, said):
    shaping, found = merge(f'\n["{domain}"]\nmax_ready = 1\n')

    assert found == [f'0.toml:2: warning: "{domain}": {said}']
    assert (shaping.sites, shaping.domains) == ({}, {})


def test_a_section_whose_domain_was_not_asked_for_is_left_out_without_a_word():
    shaping, found = merge('["unasked.test"]\nmax_ready = 1\n')

    assert (found, shaping.sites) == ([], {})


def test_a_section_that_is_left_out_is_checked_all_the_same():
    _, found = merge('["gone.test"]\nmax_redy = 1\n', options=LoadOptions())

    assert [one.partition(" (")[0] for one in found] == [
        "0.toml:2: error: \"gone.test\".max_redy: unknown option 'max_redy'"
    ]


def test_a_domain_that_belongs_to_a_provider_as_well_is_told():
    provider = '[provider.big]\nmatch = [{MXSuffix = ".big.example"}]\n'
    _, found = merge(provider, '["big.test"]\nmax_ready = 1\n["one.test"]\nmax_ready = 1\n')

    assert found == [
        "1.toml:1: warning: \"big.test\": the domain belongs to the provider 'big' as well"
    ]


def test_a_provider_that_no_file_lets_match_is_told_with_a_guess():
    _, found = merge(
        '[provider.google]\nmatch = [{MXSuffix = ".google.com"}]\n',
        "[provider.googel]\nmax_ready = 1\n",
    )

    assert found == [
        "1.toml:1: warning: provider.googel: no file says what the provider 'googel' matches: "
        "it has no effect (did you mean 'google'?)"
    ]


def test_a_provider_may_get_its_terms_from_another_file():
    _, found = merge(
        "[provider.google]\nmax_ready = 1\n",
        '[provider.google]\nmatch = [{MXSuffix = ".google.com"}]\n',
    )

    assert found == []


@pytest.mark.parametrize("severity", list(Severity))
def test_each_finding_weighs_what_the_options_say(severity):
    text = (
        '[provider.big]\nmatch = [{MXSuffix = ".big.example"}]\n["big.test"]\n'
        '["one.test"]\n["two.test"]\n["null.test"]\n["gone.test"]\n'
    )
    options = LoadOptions(
        provider_overlap=severity, dns_fail=severity, null_mx=severity, aliased_site=severity
    )

    _, found = merge(text, options=options)

    words = {Severity.IGNORE: [], Severity.WARN: ["warning"] * 4, Severity.ERROR: ["error"] * 4}
    assert [one.split(": ")[1] for one in found] == words[severity]


def test_a_value_that_cannot_be_used_is_an_error_and_left_out():
    shaping, found = merge('[default]\nmax_ready = 0\nidle_timeout = "5s"\n')

    assert options_of(shaping.default) == {"idle_timeout": "5s"}
    assert [one.partition(":2: ")[2].partition(":")[0] for one in found] == ["error"]


def test_a_wrong_value_that_is_overridden_does_no_harm():
    shaping, found = merge("[default]\nmax_ready = 0\n", "[default]\nmax_ready = 5\n")

    assert options_of(shaping.default) == {"max_ready": 5}
    assert len(found) == 1
    assert found[0].startswith("0.toml:2: warning: default.max_ready: ")
    assert "what comes later overrides it" in found[0]


def test_what_a_url_gave_wrong_takes_no_good_value_from_its_place():
    shaping, found = merge(
        "[default]\nmax_ready = 5\n", "[default]\nmax_ready = 0\nidle_timeout = 1\n", remote=(1,)
    )

    assert options_of(shaping.default) == {"max_ready": 5, "idle_timeout": 1}
    assert [one.partition("default")[0] for one in found] == ["1.toml:2: warning: "]
    assert found[0].endswith("; it is left out")


@pytest.mark.parametrize(
    ("severity", "words"),
    [(Severity.IGNORE, []), (Severity.WARN, ["warning"]), (Severity.ERROR, ["error"])],
)
def test_an_error_in_what_a_url_gave_weighs_what_the_options_say(severity, words):
    _, found = merge("default = 1\n", remote=(0,), options=LoadOptions(remote_load=severity))

    assert [one.split(": ")[1] for one in found] == words


def test_only_domains_with_rollup_are_looked_up_each_once():
    found = rollup_domains(
        layers(
            '["b.test"]\n["a.test"]\n["c.test"]\nmx_rollup = false\n',
            '["B.Test"]\n["d.test"]\n',
        )
    )

    assert found == ["b.test", "a.test", "d.test"]
