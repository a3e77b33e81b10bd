"""One shaping file: its sections, what is wrong in each of them, and in which line."""

from __future__ import annotations

import pytest

from engine.base.data_file import parse_data_file
from engine.model.shaping_section import parse_layer

FILE = """\
["default"]
connection_limit = 10
additional_connection_limits = { one = 3, two = "local:4" }

[provider."big"]
match = [{ MXSuffix = ".big.example" }, { HostName = "mx.other.example" }]
provider_connection_limit = 5
max_message_rate = "5/s"

[[provider."big".automation]]
regex = "slow"
action = "Suspend"
duration = "1h"

[provider."big".sources."ip-1"]
provider_source_selection_rate = "1/s"

["One.Example"]
mx_rollup = false
replace_base = true
max_ready = 5

["One.Example".sources."ip-1"]
max_ready = 7
"""


def read(text):
    """Return the layer that a text holds, and what is said about it."""
    file = parse_data_file(text.encode(), "x.toml", is_json=False)
    layer = parse_layer("x.toml", file.values, file.line_of)
    return layer, [str(one).removeprefix("x.toml:") for one in layer.findings]


def complaints(layer):
    """Return the complaints about options, which wait for the merge."""
    sections = [*([layer.default] if layer.default else []), *layer.providers, *layer.domains]
    held = [one for section in sections for one in section.settings.values()]
    held += [
        one for section in sections for table in section.sources.values() for one in table.values()
    ]
    return [f"{one.place.line}: {one.complaint}" for one in held if one.complaint]


def test_a_file_is_read_with_the_line_of_every_value():
    layer, said = read(FILE)

    assert said == []
    assert complaints(layer) == []
    default, (big,), (one,) = layer.default, layer.providers, layer.domains
    assert {key: (held.value, held.place.line) for key, held in default.settings.items()} == {
        ("connection_limit",): (10, 2),
        ("additional_connection_limits", "one"): (3, 3),
        ("additional_connection_limits", "two"): ("local:4", 3),
    }
    assert (big.name, big.place.line, big.path) == ("big", 5, ("provider", "big"))
    assert [(term.kind.value, term.text, term.place.line) for term in big.match] == [
        ("MXSuffix", ".big.example", 6),
        ("HostName", "mx.other.example", 6),
    ]
    assert [(rule.place.line, rule.section) for rule in big.rules] == [(10, "provider.big")]
    selection = big.sources["ip-1"]["provider_source_selection_rate",]
    assert (selection.value, selection.section) == ("1/s", "provider.big.sources.ip-1")
    assert (one.name, one.is_rollup, one.replaces_base) == ("one.example", False, True)
    assert one.sources["ip-1"]["max_ready",].section == '"One.Example".sources.ip-1'


def test_the_sections_of_domains_are_rolled_up_unless_they_say_otherwise():
    layer, _ = read('["one.example"]\nmax_ready = 1\n')

    assert layer.domains[0].is_rollup
    assert not layer.domains[0].replaces_base


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("default = 1", "1: error: default: a table is expected, not 1"),
        ("x = 1", "1: error: x: a table is expected, not 1"),
        ("[provider]\nbig = 1", "2: error: provider.big: a table is expected, not 1"),
        ('["a.b"]\nmx_rollup = "no"', '2: error: "a.b".mx_rollup: True or False'),
        ('["a.b"]\nautomation = 1', '2: error: "a.b".automation: a list is expected, not 1'),
        ('["a.b"]\nsources = 1', '2: error: "a.b".sources: a table of sources is expected'),
        ('["a.b".sources]\nx = 1', '2: error: "a.b".sources.x: a table is expected, not 1'),
        ('["a.b"]\nmatch = []', '2: error: "a.b".match: belongs into provider sections'),
        ("[default]\nmatch = []", "2: error: default.match: belongs into provider sections"),
        (
            "[provider.x]\nmx_rollup = true",
            "2: error: provider.x.mx_rollup: belongs into sections of domains",
        ),
        ("[provider.x]\nmatch = 1", "2: error: provider.x.match: a list is expected, not 1"),
        (
            '[provider.x]\nmatch = ["a"]',
            "2: error: provider.x.match[0]: {DomainSuffix, MXSuffix, HostName}: one of these",
        ),
        (
            '[provider.x]\nmatch = [{MXSuffix = "a", HostName = "b"}]',
            "2: error: provider.x.match[0]: {DomainSuffix, MXSuffix, HostName}: one of these",
        ),
        (
            '[provider.x]\nmatch = [{MxSuffix = "a"}]',
            "2: error: provider.x.match[0]: {DomainSuffix, MXSuffix, HostName}: one of these",
        ),
        (
            "[provider.x]\nmatch = [{MXSuffix = 1}]",
            "2: error: provider.x.match[0].MXSuffix: text is expected, not 1",
        ),
    ],
)
def test_a_wrong_structure_is_an_error_in_its_line(text, said):
    _, found = read(text)

    assert len(found) == 1
    assert found[0].startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[default]\nmx_rollup = true", "2: warning: default.mx_rollup: has no effect"),
        (
            '[provider.x]\nprovider_name = "y"',
            "2: warning: provider.x.provider_name: has no effect",
        ),
        (
            '[provider.x]\nmatch = [\n {HostName = "a"},\n {MXSuffix = ".b."}]',
            "4: warning: provider.x.match[1].MXSuffix: '.b.' can never match: names are compared "
            "without",
        ),
        (
            '[provider.x]\nmatch = [{MXSuffix = ""}]',
            "2: warning: provider.x.match[0].MXSuffix: is empty: it matches every name",
        ),
        ("[com]\nmax_ready = 1", "1: warning: com: a section for the domain 'com'"),
        ('["*.a.b"]\nmax_ready = 1', '1: warning: "*.a.b": can never match: there are no wild'),
        (
            '["a.b"]\ntls_prefer_openssl = true',
            '2: warning: "a.b".tls_prefer_openssl: is known but not yet in force',
        ),
    ],
)
def test_what_is_odd_is_a_warning_in_its_line(text, said):
    _, found = read(text)

    assert len(found) == 1
    assert found[0].startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["a.b"]\nmax_redy = 1', "2: unknown option 'max_redy' (did you mean 'max_ready'?)"),
        ('["a.b"]\nmax_ready = 0', "2: a number from 1"),
        (
            "[a.test]\nmax_ready = 1",
            "1: unknown option 'test'; a domain with dots is written in quotes",
        ),
        ('["a.b"]\nprovider_connection_limit = 1', "2: belongs into provider sections"),
        ("[provider.x]\nprovider_connection_limit = 0", "2: a limit is at least 1, not 0"),
        ('["a.b".sources.s]\nmax_ready = "x"', "2: a whole number is expected"),
        ('["a.b"]\nadditional_connection_limits = 1', "2: a table from names"),
        ('["a.b"]\nadditional_connection_limits = {x = 1, y = 0}', "2: a limit is at least 1"),
    ],
)
def test_an_option_that_does_not_fit_stays_with_its_complaint(text, said):
    layer, _ = read(text)

    found = complaints(layer)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_a_domain_literal_and_the_name_of_an_internal_queue_are_no_mistakes():
    literal = '["[192.0.2.1]"]\nmax_ready = 1\n'
    internal = '["http://127.0.0.1:8008.tsa.internal"]\nmx_rollup = false\nmax_ready = 1\n'

    layer, said = read(literal + internal)

    assert said == []
    assert [one.name for one in layer.domains] == [
        "[192.0.2.1]",
        "http://127.0.0.1:8008.tsa.internal",
    ]


def test_null_means_that_nothing_was_said():
    layer = parse_layer(
        "x.json",
        {"a.b": {"max_ready": None, "mx_rollup": None, "sources": None, "automation": None}},
        lambda *path: None,
    )

    assert layer.findings == ()
    assert layer.domains[0].settings == {}
    assert layer.domains[0].is_rollup
