"""Each option of a path is put down to what set it."""

from __future__ import annotations

from datetime import date

import pytest

from engine.admin.decision_book import DecisionBook
from engine.admin.option_origins import (
    Origin,
    PathAsked,
    Setters,
    explain_options,
    note_in_overlay,
)
from engine.base.clock import Clock
from engine.base.shaping_source import parse_shaping
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.shaping_overrides import ShapingOverrides
from engine.control.suspensions import SuspensionRegistry
from engine.model.decision import Decision, DecisionKind, DecisionScope
from engine.model.egress import make_egress_path
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import SiteRoute, merge_layers
from engine.model.shaping_trace import ShapingInForce, trace_path
from policy.testing import ManualTime

WALL = 1_800_000_000.0
TSA = "http://tsa.test:8008"
ASKED = PathAsked("a.test", "ip-1", "mx.a.test")
BASE = """\
[default]
connection_limit = 10
smtp_auth_plain_password = { key_data = "secret" }
max_message_rate = "9/s"
[default.additional_connection_limits]
shared = 30
[warmup."ip-1"]
start = "2026-12-01"
schedule = [{ day = 1, max_message_rate = "1/s" }]
"""
OVERLAY = """\
["a.test"]
[ "a.test".sources."ip-1"]
# automation rule: too many
# expires 2027-01-15T09:00:00Z
connection_limit = 3
"""


class World:
    """Shaping, an overlay of the automation and what it decided."""

    def __init__(self):
        time = ManualTime()
        clock = Clock(mono=time, wall=lambda: WALL)
        self.book = DecisionBook(SuspensionRegistry(time), AdminBounceRegistry(time), clock)
        self.overrides = ShapingOverrides()
        self.layers = [parse_shaping(BASE.encode(), "base.toml")]

    def override(self, text=OVERLAY):
        layer = parse_shaping(text.encode(), "overlay", is_remote=True)
        self.overrides.replace(TSA, text.encode(), layer)
        self.layers.append(layer)

    def decide(self, value, rule="r1", ends_in=60.0, origin=TSA, **scope):
        scope = {"source": "ip-1", "site_name": "mx.a.test"} | scope
        decision = Decision(
            kind=DecisionKind.OVERRIDE,
            scope=DecisionScope(option="connection_limit", **scope),
            rule_hash=rule,
            reason=f"by {rule}",
            expires_at=WALL + ends_in,
            value=value,
        )
        self.book.take(origin, [decision])

    def trace(self, on=None):
        routes = {"a.test": SiteRoute("mx.a.test", ("mx.a.test",))}
        shaping, _ = merge_layers(self.layers, routes, LoadOptions())
        files = tuple(one.name for one in self.layers)
        in_force = ShapingInForce(
            shaping=shaping,
            files=files,
            place=("init.py", 3),
            is_complete=True,
            failing=None,
            on=on,
            obeys=True,
        )
        return trace_path(in_force, "a.test", "ip-1", "mx.a.test", ["mx.a.test"])

    def explain(self, *, on=None, trace=True, script=None, **changes):
        found = self.trace(on) if trace else None
        options = found.options() if found is not None else {}
        path = make_egress_path(**(options | changes))
        setters = Setters(script, self.overrides, self.book)
        return {
            one.name if one.entry is None else f"{one.name}.{one.entry}": one
            for one in explain_options(path, found, ASKED, setters)
        }


@pytest.fixture
def world():
    return World()


def test_a_value_of_a_file_and_a_default_are_told_apart(world):
    found = world.explain()
    limit, port = found["connection_limit"], found["smtp_port"]

    assert (limit.value, limit.origin, limit.file, limit.line, limit.section) == (
        "10",
        Origin.SHAPING,
        "base.toml",
        2,
        "default",
    )
    assert (port.value, port.origin, port.file, port.overrode) == (25, Origin.DEFAULT, None, [])
    assert "ehlo_domain" not in found
    assert found["additional_connection_limits.shared"].line == 6


def test_a_secret_is_hidden_and_has_its_place(world):
    world.layers.append(
        parse_shaping(
            b'[default]\nsmtp_auth_plain_password = { key_data = "other" }\n', "more.toml"
        )
    )
    one = world.explain()["smtp_auth_plain_password"]

    assert (one.value, one.file) == ("(hidden)", "more.toml")
    assert [(before.value, before.file) for before in one.overrode] == [("(hidden)", "base.toml")]


def test_a_cap_of_a_warm_up_is_told_with_what_it_lowered(world):
    one = world.explain(on=date(2026, 12, 1))["max_message_rate"]

    assert (one.value, one.origin, one.line) == ("1/s", Origin.WARMUP, 9)
    assert [(before.value, before.line) for before in one.overrode] == [("9/s", 4)]


def test_an_override_is_told_with_its_decision(world):
    world.override()
    world.decide(3)
    world.decide(3, origin="http://other.test", rule="r9", ends_in=900)
    one = world.explain()["connection_limit"]

    assert (one.value, one.origin, one.file) == ("3", Origin.AUTOMATION, "overlay")
    assert (one.decision.rule, one.decision.reason) == ("r1", "by r1")
    assert one.decision.expires == "2027-01-15T08:01:00Z"
    assert one.decision.id is not None
    assert [(before.value, before.origin) for before in one.overrode] == [(10, Origin.SHAPING)]


def test_of_two_decisions_the_one_with_this_value_is_named(world):
    world.override()
    world.decide(3, "r1", ends_in=60)
    world.decide(7, "r2", ends_in=90)
    world.decide(3, "r3", ends_in=30, site_name=None, domain="a.test")

    assert world.explain()["connection_limit"].decision.rule == "r1"


def test_without_the_decision_the_overlay_says_why_and_how_long(world):
    world.override()
    decision = world.explain()["connection_limit"].decision

    assert (decision.id, decision.rule, decision.origin) == (None, None, TSA)
    assert (decision.reason, decision.expires) == (
        "automation rule: too many",
        "2027-01-15T09:00:00Z",
    )


def test_what_a_script_changed_of_shaping_is_put_down_to_it(world):
    found = world.explain(script=("init.py", 7), connection_limit=2, ehlo_domain="x.test")
    limit = found["connection_limit"]

    assert (limit.value, limit.origin, limit.file, limit.line) == (
        "2",
        Origin.SCRIPT,
        "init.py",
        7,
    )
    assert [before.value for before in limit.overrode] == [10]
    assert (found["ehlo_domain"].origin, found["ehlo_domain"].overrode) == (Origin.SCRIPT, [])
    assert found["max_message_rate"].origin is Origin.SHAPING


def test_what_a_script_took_away_is_told(world):
    one = world.explain(script=("init.py", 7), max_message_rate=None)["max_message_rate"]

    assert (one.value, one.origin, [before.value for before in one.overrode]) == (
        None,
        Origin.SCRIPT,
        ["9/s"],
    )


def test_without_shaping_all_but_defaults_is_of_the_script(world):
    found = world.explain(trace=False, script=("init.py", 7), max_ready=7)

    assert found["max_ready"].origin is Origin.SCRIPT
    assert found["connection_limit"].origin is Origin.DEFAULT


def test_an_option_without_effect_is_marked(world):
    found = world.explain(trace=False, script=("init.py", 7), tls_prefer_openssl=True)

    assert not found["tls_prefer_openssl"].in_force
    assert found["smtp_port"].in_force


@pytest.mark.parametrize(
    ("text", "line", "note"),
    [
        (OVERLAY, 5, ("automation rule: too many", "2027-01-15T09:00:00Z")),
        (OVERLAY, 4, ("", None)),
        (OVERLAY, 1, ("", None)),
        (OVERLAY, 99, ("", None)),
        (OVERLAY, None, ("", None)),
        ("", 3, ("", None)),
    ],
)
def test_a_note_stands_right_above_its_option_or_nowhere(text, line, note):
    assert note_in_overlay(text.encode(), line) == note
