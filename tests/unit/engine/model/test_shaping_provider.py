"""Which domains belong to a provider, and which terms can never say so."""

from __future__ import annotations

import pytest

from engine.model.shaping_finding import Place
from engine.model.shaping_provider import (
    MatchKind,
    MatchTerm,
    domain_for_providers,
    is_provider_of,
    matching_terms,
    normal_host,
    normal_section_name,
    why_never,
)


def mx(text):
    return MatchTerm(MatchKind.MX_SUFFIX, text, Place("x.toml", 1))


def host(text):
    return MatchTerm(MatchKind.HOST_NAME, text, Place("x.toml", 1))


def suffix(text):
    return MatchTerm(MatchKind.DOMAIN_SUFFIX, text, Place("x.toml", 1))


TERMS = [mx(".big.example"), host("mx.other.example"), suffix(".big.test")]


@pytest.mark.parametrize(
    ("domain", "hosts"),
    [
        ("a.big.test", []),
        ("a.big.test", ["mx.elsewhere.example"]),
        ("a.test", ["mx1.big.example", "mx2.big.example"]),
        ("a.test", ["mx1.big.example", "mx.other.example"]),
    ],
)
def test_a_suffix_of_the_domain_or_all_hosts_together_make_it_belong(domain, hosts):
    assert is_provider_of(TERMS, domain, hosts)


@pytest.mark.parametrize(
    ("domain", "hosts"),
    [
        ("a.test", ["mx1.big.example", "mx.elsewhere.example"]),
        ("a.test", ["x.mx.other.example"]),
        ("a.test", []),
        ("a.test", None),
        ("big.test", None),
        (None, ["mx1.big.example"]),
    ],
)
def test_one_host_of_somebody_else_or_none_known_keeps_it_out(domain, hosts):
    assert not is_provider_of(TERMS, domain, hosts)


def test_a_suffix_is_plain_text_without_regard_to_labels():
    assert is_provider_of([suffix("ig.test")], "big.test", None)


def test_no_terms_match_nothing():
    assert not is_provider_of([], "a.test", ["mx1.big.example"])


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        (mx(".big.example."), "trailing dot"),
        (suffix("Big.example"), "lower case"),
        (mx("*.big.example"), "wildcards"),
        (suffix("bücher.example"), "A-labels"),
        (mx("big_example/24"), "such characters"),
        (host(""), "empty name"),
        (host(".big.example"), "begins with a dot"),
        (mx("a..example"), "two dots"),
        (suffix("x" * 64 + ".example"), "so long"),
        (host("a." * 130), "trailing dot"),
        (host("a" + ".a" * 130), "so long"),
    ],
)
def test_a_term_that_can_never_match_says_why(term, reason):
    assert reason in why_never(term)


@pytest.mark.parametrize("term", [mx(".big.example"), host("mx.x.example"), suffix(""), mx("-x.a")])
def test_a_term_that_can_match_is_fine(term):
    assert why_never(term) is None


def test_names_are_compared_in_one_form():
    assert normal_host("MX1.Big.Example.") == "mx1.big.example"
    assert domain_for_providers("Big.Example.") == "big.example"
    assert domain_for_providers("big.example:2525") == "big.example"
    assert domain_for_providers("bücher.example") == "xn--bcher-kva.example"


@pytest.mark.parametrize("name", ["[192.0.2.1]", "[192.0.2.1]:25", "http://127.0.0.1:8008.x", ""])
def test_what_is_no_domain_belongs_to_no_provider(name):
    assert domain_for_providers(name) is None


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("One.Test.", "one.test"),
        ("One.Test:2525", "one.test:2525"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("http://127.0.0.1:8008.tsa.internal", "http://127.0.0.1:8008.tsa.internal"),
    ],
)
def test_a_section_is_found_under_the_name_of_the_queue(name, normal):
    assert normal_section_name(name) == normal


@pytest.mark.parametrize(
    ("domain", "hosts", "found"),
    [
        ("a.big.test", ["mx1.big.example"], [TERMS[0], TERMS[2]]),
        ("a.test", ["mx.other.example"], [TERMS[1]]),
        (None, [], []),
    ],
)
def test_the_terms_that_are_met_are_named(domain, hosts, found):
    assert matching_terms(TERMS, domain, hosts) == found
