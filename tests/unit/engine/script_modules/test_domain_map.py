"""Domains and their wildcards."""

from __future__ import annotations

import pytest

from engine.script_modules.domain_map import DomainMap, normal_key
from policy.errors import PolicyLoadError

MAP = DomainMap(
    {
        "*": "any",
        "*.com": "com",
        "example.com": "self",
        "*.example.com": "below",
        "a.b.example.com": "deep",
        "bücher.example": "books",
        "[192.0.2.1]": "literal",
    }
)


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        ("example.com", "self"),
        ("EXAMPLE.com.", "self"),
        ("x.example.com", "below"),
        ("y.x.example.com", "below"),
        ("a.b.example.com", "deep"),
        ("c.b.example.com", "below"),
        ("other.com", "com"),
        ("com", "any"),
        ("nowhere.test", "any"),
        ("BÜCHER.example", "books"),
        ("xn--bcher-kva.example", "books"),
        ("[192.0.2.1]", "literal"),
        ("[192.0.2.9]", "any"),
    ],
)
def test_the_most_specific_key_wins(domain, value):
    assert MAP[domain] == value


def test_a_longer_key_that_does_not_fit_hides_no_shorter_wildcard():
    found = DomainMap({"*.com": 1, "a.example.com": 2})

    assert found["b.example.com"] == 1


@pytest.mark.parametrize("domain", ["x" * 300, "", "..", "*.com", "b\udc80.example"])
def test_what_is_no_domain_has_no_value(domain):
    found = DomainMap({"*.com": 1, "com": 2})

    assert found.get(domain, "none") == "none"
    with pytest.raises(KeyError):
        found[domain]


@pytest.mark.parametrize("key", ["", "a.*.b", "x*", "*.", "a..b", ".a", "*.*.a", "x" * 300])
def test_what_is_no_domain_is_no_key(key):
    with pytest.raises(ValueError, match="not a domain"):
        normal_key(key)


def test_values_are_set_and_deleted():
    found = DomainMap()
    found["*.Test"] = 1
    assert "a.test" in found and len(found) == 1 and list(found) == ["*.test"]

    del found["*.test"]

    assert "a.test" not in found


def test_a_value_of_none_is_a_value():
    assert DomainMap({"a": None}).get("a", "default") is None


def test_a_script_makes_and_asks_one(host):
    host.load("m = mta.domain_map.new()\nm['*.a'] = [1]\nm['x.a'].append(2)\nprint(repr(m['y.a']))")

    assert host.printed == ["[1, 2]"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("mta.domain_map.new({'a': 1})['b']", "KeyError"),
        ("mta.domain_map.new({1: 1})", "a domain is text"),
        ("mta.domain_map.new()._values", "_values"),
        ("mta.domain_map.new()[None]", "a domain is text"),
    ],
)
def test_a_mistake_is_an_error_with_its_line(host, script, reason):
    with pytest.raises(PolicyLoadError, match=reason) as caught:
        host.load(script)

    assert caught.value.line == 3


@pytest.mark.parametrize("key", ["a b.test", "joe@a.test", "a.test/24", "a.test,b.test", "a..test"])
def test_a_key_that_is_no_domain_is_refused(key):
    with pytest.raises(ValueError, match="not a domain"):
        normal_key(key)


def test_what_is_no_dict_is_refused_in_words():
    with pytest.raises(TypeError, match="a dict from domains"):
        DomainMap(["a.test"])
