"""Why a path is as it is: each value with where it comes from."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import SiteRoute, merge_layers
from tests.fakes.tsa_world import NOON, rule_text, seen, shaping_of
from tsa.errors import ConfigurationError
from tsa.explain import Subject, explain, overlay_of, read_decisions
from tsa.publication import describe
from tsa.replay import Replay

SITE = "mx.big.example"
ROUTES = {"big.example": SiteRoute(SITE, (SITE,))}
FILES = """\
[default]
connection_limit = 20
[default.sources.ip-1]
max_message_rate = "10/s"
[provider.big]
match = [{ MXSuffix = ".big.example" }]
provider_connection_limit = 50
["big.example"]
idle_timeout = "5s"
"""
DAY = date(2027, 1, 15)


def explained(text, decisions=(), *, domain="big.example", source="ip-1", **options):
    layers = [parse_shaping(text.encode(), "rules.toml")]
    if decisions:
        layers.append(overlay_of(decisions))
    shaping, findings = merge_layers(layers, ROUTES, LoadOptions())
    assert findings == ()
    subject = Subject(domain, source, SITE, (SITE,), DAY)
    return explain(shaping, subject, decisions, **options)


def decided(text, **record):
    replay = Replay(shaping_of(text))
    replay.see(seen(NOON, **record))
    return [one.decision for one in replay.episodes]


def shown(found):
    return {line.name: (line.value, line.origin, line.section) for line in found.lines}


def test_each_value_names_file_line_and_section():
    found = explained(FILES)

    assert found.providers == ["big"]
    assert shown(found) == {
        "connection_limit": (20, "rules.toml:2", "default"),
        "max_message_rate": ("10/s", "rules.toml:4", "default.sources.ip-1"),
        "provider_name": ("big", "rules.toml:5", "provider.big"),
        'additional_connection_limits["shaping-provider-big-ip-1-limit"]': (
            50,
            "rules.toml:7",
            "provider.big",
        ),
        "idle_timeout": ("5s", "rules.toml:9", '"big.example"'),
    }


def test_a_source_without_values_of_its_own_has_those_of_all():
    assert "max_message_rate" not in shown(explained(FILES, source="ip-2"))


def test_what_nobody_sets_is_named_on_demand():
    found = shown(explained(FILES, with_defaults=True))

    assert found["enable_tls"] == ("Opportunistic", "default", "")
    assert found["connection_limit"][1] == "rules.toml:2"


@pytest.mark.parametrize("section", ["default", "provider.big"])
def test_a_value_that_a_decision_set_names_its_rule(section):
    rule = rule_text('{ SetConfig = { name = "connection_limit", value = 3 } }', section=section)
    decisions = decided(FILES.partition('["big.example"]')[0] + rule)

    found = explained(FILES, decisions)

    (line,) = (one for one in found.lines if one.name == "connection_limit")
    assert (line.value, line.decision) == (3, decisions[0])
    assert line.origin == f"decision by {decisions[0].place}"


def test_decisions_about_other_sources_and_sites_do_not_count():
    rule = rule_text('{ SetConfig = { name = "connection_limit", value = 3 } }')
    elsewhere = decided(rule, recipient="user@other.example", site_name="mx.other.example")

    assert shown(explained(FILES, decided(rule), source="ip-2"))["connection_limit"][0] == 20
    assert shown(explained(FILES, elsewhere))["connection_limit"][0] == 20


def test_suspensions_and_bounces_of_such_mail_are_named():
    decisions = decided(
        rule_text('["Suspend", "SuspendTenant", "Bounce"]'), queue="tenant@big.example"
    )

    assert explained(FILES, decisions).holding == decisions
    assert [one.kind.value for one in explained(FILES, decisions, source="ip-2").holding] == [
        "SchedQSuspension",
        "SchedQBounce",
    ]
    assert explained(FILES, decisions, domain="other.example", source="ip-2").holding == []


def test_a_warm_up_names_its_day_its_step_and_the_days_held():
    text = FILES + (
        '[warmup.ip-1]\nstart = "2027-01-12"\nheld_days = ["2027-01-13"]\nschedule = [\n'
        '{ day = 1, max_message_rate = "1/s" },\n{ day = 3, max_message_rate = "2/s" } ]\n'
    )

    found = explained(text)

    assert found.warmups == ["warmup.ip-1: day 3, the step of day 3 (rules.toml:15); 1 days held"]
    assert shown(found)["max_message_rate"] == ("2/s", "rules.toml:15", "warmup.ip-1")


def test_secrets_are_hidden():
    text = '[default]\nsmtp_auth_plain_username = "me"\nsmtp_auth_plain_password = "swordfish"\n'
    found = explained(text, with_defaults=True)

    assert "swordfish" not in repr(found)
    assert shown(found)["smtp_auth_plain_password"][:2] == ("(hidden)", "rules.toml:3")


def test_the_decisions_that_a_tsa_shows_are_read_back():
    rule = '{ SetConfig = { name = "connection_limit", value = 3 } }'
    made = decided(rule_text(f'["Suspend", {rule}]'))

    read = read_decisions(msgspec.json.encode([describe(one) for one in made]))

    assert [(one.key, one.value, one.place, one.site_domain) for one in read] == [
        (one.key, one.value, one.place, one.site_domain) for one in made
    ]


@pytest.mark.parametrize("raw", [b"", b"{}", b'[{"kind": "Nonsense"}]', b"\xff", b"[3]"])
def test_what_is_no_list_of_decisions_is_an_error(raw):
    with pytest.raises(ConfigurationError, match="no list of decisions"):
        read_decisions(raw)
