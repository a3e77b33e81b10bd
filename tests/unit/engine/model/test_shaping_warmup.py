"""Warm-up schedules: which caps hold on which day."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import merge_layers
from engine.model.shaping_warmup import day_of

FIRST = date(2026, 12, 1)
WARMUP = """
[warmup."ip-1"]
start = "2026-12-01"
schedule = [
  { day = 1, max_message_rate = "100/h", connection_limit = 2 },
  { day = 3, max_message_rate = "500/h" },
  { day = 5 },
]
"""
BIG = '[provider.big]\nmatch = [{ DomainSuffix = "big.example" }]\n'


def shaping_of(*texts, remote=()):
    layers = [
        parse_shaping(text.encode(), f"{number}.toml", is_remote=number in remote)
        for number, text in enumerate(texts)
    ]
    shaping, findings = merge_layers(layers, {}, LoadOptions())
    return shaping, [str(one) for one in findings]


def options(shaping, day, *, source="ip-1", domain="any.example"):
    on = None if day is None else FIRST + timedelta(day - 1)
    return shaping.resolve(domain, source, domain, on=on).options()


def rates(shaping, days, **path):
    return [options(shaping, day, **path).get("max_message_rate") for day in days]


def test_each_step_caps_from_its_day_on_until_the_next_and_one_without_caps_ends_it():
    shaping, findings = shaping_of(WARMUP)

    assert findings == []
    assert rates(shaping, range(1, 7)) == ["100/h", "100/h", "500/h", "500/h", None, None]
    assert options(shaping, 1)["connection_limit"] == 2


def test_before_its_start_a_source_is_as_cold_as_on_the_first_day():
    shaping, _ = shaping_of(WARMUP)

    assert rates(shaping, [-30, 0]) == ["100/h", "100/h"]


def test_the_last_step_holds_on():
    shaping, _ = shaping_of(WARMUP.replace("{ day = 5 },", ""))

    assert rates(shaping, [500]) == ["500/h"]


def test_other_sources_and_a_path_without_a_date_are_not_capped():
    shaping, _ = shaping_of(WARMUP)

    assert rates(shaping, [1], source="ip-2") == [None]
    assert rates(shaping, [None]) == [None]


def test_a_cap_lowers_what_is_configured_and_never_raises_it():
    configured = '[default]\nmax_message_rate = "{}"\nconnection_limit = 1\n'
    slow, _ = shaping_of(WARMUP, configured.format("90/h"))
    fast, _ = shaping_of(WARMUP, configured.format("10/s"))

    assert options(slow, 1) == {"max_message_rate": "90/h", "connection_limit": 1}
    assert options(fast, 1) == {"max_message_rate": "100/h", "connection_limit": 1}


def test_a_cap_bounds_overrides_of_a_later_layer_too():
    override = '["any.example"]\nmx_rollup = false\n["any.example".sources.ip-1]\n'
    shaping, _ = shaping_of(WARMUP, override + 'max_message_rate = "1/s"\n')

    assert rates(shaping, [1]) == ["100/h"]


def test_a_capped_value_names_the_step_it_comes_from():
    shaping, _ = shaping_of(WARMUP)

    setting = shaping.resolve("any.example", "ip-1", "", on=FIRST).settings["max_message_rate",]

    assert (str(setting.place), setting.section) == ("0.toml:5", "warmup.ip-1")


def test_a_total_is_one_limit_that_all_sites_share():
    shaping, _ = shaping_of(
        '[warmup.ip-1]\nstart = 2026-12-01\nschedule = [{ day = 1, total_message_rate = "50/day" }]'
    )

    for domain in ("any.example", "other.example"):
        assert options(shaping, 1, domain=domain) == {
            "additional_message_rate_throttles": {"shaping-warmup-ip-1-rate": "50/day"}
        }


def test_the_schedule_for_a_provider_takes_the_place_of_the_one_for_the_source():
    provider = (
        "[warmup.ip-1.provider.big]\n"
        'schedule = [{ day = 1, max_message_rate = "7/h", total_message_rate = "70/day" }]\n'
    )
    shaping, findings = shaping_of(WARMUP, BIG, provider)

    assert findings == []
    assert options(shaping, 9, domain="big.example") == {
        "provider_name": "big",
        "max_message_rate": "7/h",
        "additional_message_rate_throttles": {"shaping-warmup-provider-big-ip-1-rate": "70/day"},
    }
    assert rates(shaping, [1]) == ["100/h"]


def test_a_held_day_is_repeated():
    held = '[warmup.ip-1]\nheld_days = ["2026-12-02", 2026-12-03]\n'
    shaping, findings = shaping_of(WARMUP, held)

    assert findings == []
    assert rates(shaping, range(1, 8)) == ["100/h"] * 4 + ["500/h"] * 2 + [None]


def test_days_held_for_a_provider_hold_only_its_sites():
    held = '[warmup.ip-1.provider.big]\nheld_days = ["2026-12-02"]\n'
    shaping, _ = shaping_of(WARMUP, BIG, held)

    assert rates(shaping, [3, 4], domain="big.example") == ["100/h", "500/h"]
    assert rates(shaping, [3, 4]) == ["500/h", "500/h"]


def test_held_days_of_an_earlier_warm_up_and_days_to_come_do_not_count():
    held = '[warmup.ip-1]\nheld_days = ["2026-11-30", "2026-12-20"]\n'
    shaping, _ = shaping_of(WARMUP, held)

    assert rates(shaping, [3]) == ["500/h"]


@pytest.mark.parametrize("pattern", range(32))
def test_the_day_rises_by_one_after_each_day_that_was_not_held(pattern):
    held = [FIRST + timedelta(number) for number in range(5) if pattern >> number & 1]
    text = WARMUP + "".join(
        f"held_days = {[day.isoformat() for day in held]}\n" if held else ""
    ).replace("'", '"')
    shaping, _ = shaping_of(text)

    number, on = 1, FIRST
    for _ in range(12):
        (day,) = shaping.warmups.days("ip-1", [], on)
        assert day.number == number
        number += on not in held
        on += timedelta(1)


def test_later_files_override_the_schedule_and_add_held_days():
    later = (
        '[warmup.ip-1]\nschedule = [{ day = 1, max_message_rate = "1/h" }, { day = 3 }]\n'
        'held_days = ["2026-12-02"]\n'
    )
    shaping, _ = shaping_of(WARMUP + 'held_days = ["2026-12-01"]\n', later)

    assert rates(shaping, range(1, 6)) == ["1/h", "1/h", "1/h", "1/h", None]


def test_the_hash_tells_of_a_changed_schedule_and_of_held_days_but_not_of_comments():
    hashes = [
        shaping_of(WARMUP + more)[0].hash
        for more in ("", "# nothing\n", 'held_days = ["2026-12-01"]\n')
    ]

    assert hashes[0] == hashes[1] != hashes[2]
    assert shaping_of(WARMUP.replace("500/h", "501/h"))[0].hash != hashes[0]


def test_a_schedule_without_a_start_is_an_error_and_what_has_no_effect_a_warning():
    _, no_start = shaping_of(WARMUP.replace('start = "2026-12-01"', ""))
    _, no_schedule = shaping_of('[warmup.ip-1]\nstart = "2026-12-01"\n')
    _, no_provider = shaping_of(
        BIG + "[warmup.ip-1.provider.bgi]\n"
        'start = "2026-12-01"\nschedule = [{ day = 1, connection_limit = 1 }]\n'
    )

    assert no_start == [
        "0.toml:2: error: warmup.ip-1: the schedule has no start: write start = '2026-12-31'"
    ]
    assert no_schedule == [
        "0.toml:1: warning: warmup.ip-1: a start without a schedule has no effect"
    ]
    assert no_provider == [
        "0.toml:3: warning: warmup.ip-1.provider.bgi: no file says what the provider 'bgi' "
        "matches: it has no effect (did you mean 'big'?)"
    ]


def test_what_a_url_leaves_out_keeps_no_file_from_use():
    _, findings = shaping_of(WARMUP.replace('start = "2026-12-01"', ""), remote=[0])

    assert findings == []


def test_days_begin_at_midnight_in_utc():
    midnight = 1_796_083_200.0

    assert (day_of(midnight - 1), day_of(midnight)) == (date(2026, 11, 30), FIRST)
    assert (day_of(-1e18), day_of(1e18)) == (date(1970, 1, 1), date(9999, 12, 31))
