"""Which options and rules a domain, a source and a site get, and where each came from."""

from __future__ import annotations

from engine.base.shaping_source import parse_shaping
from engine.model.egress import make_egress_path
from engine.model.shaping import Shaping
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import SiteRoute, merge_layers

HOSTS = ["mx1.big.example", "mx2.big.example"]
SITE = "(mx1|mx2).big.example"
ROUTES = {"a.test": SiteRoute(SITE, tuple(HOSTS)), "gone.test": SiteRoute(failure="gone")}

FILE = """\
["default"]
connection_limit = 10
max_ready = 1
idle_timeout = "60s"
[["default".automation]]
regex = "default"
action = "Suspend"
duration = "1h"

["default".sources."ip-1"]
idle_timeout = "61s"

[provider."big"]
match = [{ MXSuffix = ".big.example" }, { DomainSuffix = ".big.test" }]
provider_connection_limit = 5
provider_max_message_rate = "100/s"
max_ready = 2
[[provider."big".automation]]
regex = "provider"
action = "Suspend"
duration = "2h"

[provider."big".sources."ip-1"]
provider_source_selection_rate = "7/s"
max_ready = 3

["a.test"]
max_ready = 4
[["a.test".automation]]
regex = "site"
action = "Suspend"
duration = "1h"
[["a.test".automation]]
regex = "switched off"
action = "Suspend"
duration = "9h"
enabled = false

["a.test".sources."ip-2"]
max_ready = 6
"""
DOMAIN = """\
["a.test"]
mx_rollup = false
max_ready = 5
[["a.test".automation]]
regex = "domain"
action = "Suspend"
duration = "1h"

["a.test".sources."ip-2"]
idle_timeout = "62s"
"""


def load(*texts):
    files = [parse_shaping(text.encode(), f"{index}.toml") for index, text in enumerate(texts)]
    shaping, findings = merge_layers(files, ROUTES, LoadOptions())
    assert findings == ()
    return shaping


def patterns(rules):
    return [(one.rule.patterns[0].text, one.is_rollup) for one in rules]


def test_without_files_nothing_is_said_of_any_path():
    shaping = Shaping()

    assert shaping.resolve("a.test", "ip-1", SITE, HOSTS).options() == {}
    assert shaping.rules_for("a.test", SITE, HOSTS) == []
    assert (shaping.longest_duration_s, shaping.needs_deliveries) == (0.0, False)


def test_the_nearer_a_section_is_to_the_path_the_more_it_counts():
    shaping = load(FILE, DOMAIN)

    def ready(domain, source, site, hosts):
        return shaping.resolve(domain, source, site, hosts).options()["max_ready"]

    assert ready("x.test", "ip-9", "x.test", ["x.test"]) == 1
    assert ready("x.test", "ip-9", "other", HOSTS) == 2
    assert ready("x.test", "ip-1", "other", HOSTS) == 3
    assert ready("x.test", "ip-1", SITE, HOSTS) == 4
    assert ready("a.test", "ip-1", SITE, HOSTS) == 5
    assert ready("a.test", "ip-2", SITE, HOSTS) == 6


def test_what_default_says_of_a_source_counts_for_every_destination():
    shaping = load(FILE)

    assert shaping.resolve("x.test", "ip-1", "x.test").options()["idle_timeout"] == "61s"
    assert shaping.resolve("x.test", "ip-2", "x.test").options()["idle_timeout"] == "60s"


def test_the_sites_of_a_provider_share_limits_per_source():
    found = load(FILE).resolve("mail.big.test", "ip-1", "elsewhere").options()

    assert found["provider_name"] == "big"
    assert found["additional_connection_limits"] == {"shaping-provider-big-ip-1-limit": 5}
    assert found["additional_message_rate_throttles"] == {"shaping-provider-big-ip-1-rate": "100/s"}
    assert found["additional_source_selection_rates"] == {
        "shaping-provider-big-ip-1-selection-rate": "7/s"
    }
    assert not [name for name in found if name.startswith("provider_") and name != "provider_name"]
    make_egress_path(**found)


def test_of_several_providers_the_last_gives_the_name_and_all_give_their_limits():
    shaping = load(
        '[provider.one]\nmatch = [{DomainSuffix = "a.test"}]\nprovider_connection_limit = 1\n'
        '[provider.two]\nmatch = [{DomainSuffix = "a.test"}]\nprovider_connection_limit = 2\n'
    )

    found = shaping.resolve("a.test", "s", "x").options()

    assert found["provider_name"] == "two"
    assert found["additional_connection_limits"] == {
        "shaping-provider-one-s-limit": 1,
        "shaping-provider-two-s-limit": 2,
    }


def test_a_section_that_replaces_the_base_keeps_default_and_providers_out():
    base = FILE.replace('["a.test"]\n', '["a.test"]\nreplace_base = true\n', 1)

    assert load(base).resolve("a.test", "ip-1", SITE, HOSTS).options() == {"max_ready": 4}


def test_replace_base_in_a_later_file_keeps_the_base_out_as_well():
    shaping = load(FILE, '["a.test"]\nreplace_base = true\nconnection_limit = 2\n')

    assert shaping.resolve("a.test", "ip-1", SITE, HOSTS).options() == {"connection_limit": 2}


def test_every_value_says_its_file_line_and_section():
    settings = load(FILE, DOMAIN).resolve("a.test", "ip-1", SITE, HOSTS).settings

    def origin(*key):
        return (str(settings[key].place), settings[key].section)

    assert origin("connection_limit") == ("0.toml:2", "default")
    assert origin("max_ready") == ("1.toml:3", '"a.test"')
    assert origin("idle_timeout") == ("0.toml:11", "default.sources.ip-1")
    assert origin("provider_name") == ("0.toml:13", "provider.big")
    assert origin("additional_connection_limits", "shaping-provider-big-ip-1-limit") == (
        "0.toml:15",
        "provider.big",
    )


def test_rules_come_from_the_widest_section_to_the_nearest_and_know_their_scope():
    shaping = load(FILE, DOMAIN)

    assert patterns(shaping.rules_for("a.test", SITE, HOSTS)) == [
        ("default", True),
        ("provider", True),
        ("site", True),
        ("domain", False),
    ]
    assert patterns(shaping.rules_for("x.test", "x.test", ["x.test"])) == [("default", True)]


def test_a_rule_that_is_switched_off_is_known_and_does_not_count():
    shaping = load(FILE)

    assert "switched off" in [text for text, _ in patterns(shaping.all_rules())]
    assert "switched off" not in [text for text, _ in patterns(shaping.rules_for("a.test", SITE))]


def test_deliveries_have_to_be_seen_only_where_proportions_are_counted():
    rule = (
        '[[default.automation]]\naction = "Suspend"\nduration = "1h"\nenabled = {}\n'
        'trigger = {{ Proportion = {{ over = "10%", within = "5m", at_least = 9 }} }}\n'
    )

    assert not load(FILE).needs_deliveries
    assert load(FILE, rule.format("true")).needs_deliveries
    assert not load(FILE, rule.format("false")).needs_deliveries


def test_the_longest_duration_is_known():
    assert load(FILE).longest_duration_s == 9 * 3600


def test_the_sources_that_files_name_are_known_with_their_places():
    found = load(FILE, DOMAIN).referenced_sources()

    assert {name: str(place) for name, place in found.items()} == {
        "ip-1": "0.toml:11",
        "ip-2": "0.toml:40",
    }


def test_the_hash_changes_with_what_has_an_effect_and_with_nothing_else():
    shaping = load(FILE, DOMAIN)

    assert load("# a comment\n\n" + FILE, DOMAIN).hash == shaping.hash
    assert load(FILE, DOMAIN).hash == shaping.hash
    for old, new in {
        "max_ready = 2": "max_ready = 3",
        '"ip-1"': '"ip-7"',
        'regex = "site"': 'regex = "sit"',
        "enabled = false": "enabled = true",
        ".big.test": ".big.other",
        '["a.test"]\nmax': '["a.test"]\nreplace_base = true\nmax',
    }.items():
        assert load(FILE.replace(old, new), DOMAIN).hash != shaping.hash, old
