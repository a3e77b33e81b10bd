"""Warm-up schedules as a file writes them: what is wrong is named by file, line and key."""

from __future__ import annotations

from datetime import date

import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.shaping_warmup_section import STEPS_MAX

START = '[warmup."ip-1"]\nstart = "2026-12-01"\n'


def findings_of(text):
    return [str(one) for one in parse_shaping(text.encode(), "w.toml").findings]


def test_a_schedule_is_read_with_its_provider_and_its_places():
    text = START + (
        'schedule = [{ day = 1, connection_limit = 2 }]\n[warmup."ip-1".provider.big]\n'
        "held_days = [2026-12-03]\n"
    )

    own, big = parse_shaping(text.encode(), "w.toml").warmups

    assert (own.scope, own.start) == (("ip-1", None), date(2026, 12, 1))
    assert [(step.day, step.caps, step.place.line) for step in own.steps] == [
        (1, {"connection_limit": 2}, 3)
    ]
    assert (big.scope, big.held, big.place.line) == (
        ("ip-1", "big"),
        frozenset({date(2026, 12, 3)}),
        4,
    )


def test_a_schedule_can_be_written_in_json():
    text = b'{"warmup": {"ip-1": {"start": "2026-12-01", "schedule": [{"day": 1}]}}}'

    layer = parse_shaping(text, "w.json")

    assert layer.findings == ()
    assert layer.warmups[0].start == date(2026, 12, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[warmup]\nip-1 = 3", "2: error: warmup.ip-1: a table is expected, not 3"),
        ("[warmup.a]\nprovider = 3", "warmup.a.provider: a table of providers is expected, not 3"),
        ("[warmup.a.provider]\nb = 3", "2: error: warmup.a.provider.b: a table is expected, not 3"),
        (
            "[warmup.a]\nstrat = 3",
            "2: error: warmup.a.strat: unknown key of a warm-up (did you mean 'start'?)",
        ),
        (
            '[warmup.a]\nstart = "soon"',
            "2: error: warmup.a.start: a date like '2026-12-31' is expected, not 'soon'",
        ),
        ("[warmup.a]\nstart = 2026-12-01T00:00:00Z", "a date like '2026-12-31' is expected"),
        ("[warmup.a]\nheld_days = []", "a list that is not empty is expected, not []"),
        ("[warmup.a]\nschedule = 3", "a list that is not empty is expected, not 3"),
        ("[warmup.a]\nschedule = [3]", "schedule[0]: a table like {day = 1, ...} is expected"),
        (
            "[warmup.a]\nschedule = [{ day = 2 }]",
            "2: error: warmup.a.schedule[0].day: the first step is that of day 1, not 2",
        ),
        (
            "[warmup.a]\nschedule = [{ day = 1 },\n{ day = 1 }]",
            "3: error: warmup.a.schedule[1].day: days rise from step to step: 1 comes behind 1",
        ),
        ("[warmup.a]\nschedule = [{ connection_limit = 1 }]", "the number of a day is expected"),
        (
            '[warmup.a]\nschedule = [{ day = 1, max_mesage_rate = "1/h" }]',
            "nothing that can be capped (did you mean 'max_message_rate'?)",
        ),
        (
            "[warmup.a]\nschedule = [{ day = 1, connection_limit = 0 }]",
            "schedule[0].connection_limit: ",
        ),
        (
            '[warmup.a]\nschedule = [{ day = 1, total_message_rate = "many" }]',
            "schedule[0].total_message_rate: not a rate: 'many'",
        ),
    ],
)
def test_what_is_wrong_is_named(text, said):
    (finding,) = findings_of(text)

    assert said in finding


def test_a_schedule_with_an_error_is_left_out_as_a_whole():
    text = START + 'schedule = [{ day = 1, connection_limit = 2 }, { day = 2, nonsense = "1/h" }]\n'

    assert parse_shaping(text.encode(), "w.toml").warmups == ()


def test_a_schedule_is_bounded():
    steps = ", ".join(f"{{ day = {day} }}" for day in range(1, STEPS_MAX + 2))

    (finding,) = findings_of(START + f"schedule = [{steps}]\n")

    assert f"at most {STEPS_MAX} entries" in finding


def test_only_rules_of_default_and_of_providers_pause_a_warm_up():
    rule = 'automation = [{ regex = "x", action = "PauseWarmup", duration = "1 day" }]\n'

    assert findings_of(f"[default]\n{rule}[provider.big]\n{rule}") == []
    (finding,) = findings_of(f'["a.example"]\n{rule}')
    assert "2: error" in finding
    assert "belongs into their sections" in finding
