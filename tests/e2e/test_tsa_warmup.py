"""A running TSA holds the day of a warm-up, tells nodes, and remembers it over a crash."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import merge_layers
from engine.model.shaping_warmup import day_of
from tests.fakes.tsa_process import TsaProcess
from tests.fakes.tsa_world import record_line, rule_text
from tests.samples.running_node import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

SCHEDULE = """
[warmup.ip-1]
start = "{}"
schedule = [{{ day = 1, connection_limit = 1 }}, {{ day = 2, connection_limit = 2 }}]
"""


def limits(rules, overlay, days):
    layers = [
        parse_shaping(rules.encode(), "rules.toml"),
        parse_shaping(overlay, "shaping.toml", is_remote=True),
    ]
    shaping, findings = merge_layers(layers, {}, LoadOptions())
    assert findings == ()
    return [
        shaping.resolve("any.example", "ip-1", "", on=day).options()["connection_limit"]
        for day in days
    ]


def test_a_held_day_is_in_the_overlay_and_survives_a_kill(tmp_path):
    now = time.time()
    today = day_of(now)
    days = [today, today + timedelta(1), today + timedelta(2)]
    rules = SCHEDULE.format(today) + rule_text('"PauseWarmup"')
    daemon = TsaProcess(tmp_path, rules)
    try:
        daemon.start()
        assert limits(rules, daemon.http("/get_config_v1/shaping.toml")[1], days) == [1, 2, 2]
        assert [daemon.publish(record_line(now)) for _ in range(2)] == [200, 200]
        daemon.kill()
        daemon.start()

        wait_until("the decision", daemon.decisions)
        assert limits(rules, daemon.http("/get_config_v1/shaping.toml")[1], days) == [1, 1, 2]
        (decision,) = daemon.decisions()
        assert (decision["kind"], decision["count"]) == ("WarmupHold", 2)
        assert decision["scope"] == {"source": "ip-1", "day": today.isoformat()}
    finally:
        daemon.kill()
