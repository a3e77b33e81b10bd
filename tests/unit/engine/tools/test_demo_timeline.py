"""The timeline of a demonstration: every number is what the records say."""

from __future__ import annotations

import pytest
from rich.console import Console

from engine.model.log_record import LogRecord, RecordKind, Response, format_event_time
from engine.tools.demo import judge_loop
from engine.tools.demo_timeline import make_timeline, sentences, table_of
from engine.tools.demo_world import DemoFailedError

BEGAN_AT = 1_700_000_000.0
BIG, FINE = "big.example", "fine.example"


def record(at_s: float, domain: str, kind=RecordKind.DELIVERY, command="RCPT") -> LogRecord:
    return LogRecord(
        kind=kind,
        recipient=f"a@{domain}",
        event_time=format_event_time(BEGAN_AT + at_s),
        response=Response(451, None, "slow down", command),
    )


def every(step_s: float, from_s: float, to_s: float, domain: str, kind=RecordKind.DELIVERY):
    count = round((to_s - from_s) / step_s)
    return [record(from_s + number * step_s, domain, kind) for number in range(count)]


def a_story(quiet_from_s=6.0, slow_step_s=0.5):
    return [
        record(0.0, FINE, RecordKind.RECEPTION),
        *every(0.1, 0.0, 12.0, FINE),
        *every(0.1, 0.0, 2.0, BIG),
        *every(0.1, 2.0, 3.0, BIG, RecordKind.TRANSIENT_FAILURE),
        *every(slow_step_s, 3.0, quiet_from_s, BIG, RecordKind.TRANSIENT_FAILURE),
        *every(0.2, quiet_from_s, 9.0, BIG),
        *every(0.1, 9.0, 12.0, BIG),
    ]


def test_it_tells_when_it_slowed_down_and_when_it_recovered():
    timeline = make_timeline(a_story(), BIG)
    assert timeline.first_deferral_s == pytest.approx(2.0)
    assert timeline.last_deferral_s == pytest.approx(5.5)
    assert timeline.before == pytest.approx(10.0)
    assert timeline.meanwhile == pytest.approx(2.0)
    assert timeline.recovered_s == 9
    assert timeline.others_before == pytest.approx(10.0, rel=0.05)
    assert timeline.others_meanwhile == pytest.approx(10.0, rel=0.05)


def test_another_story_gives_other_numbers():
    timeline = make_timeline(a_story(quiet_from_s=8.0, slow_step_s=1.0), BIG)
    assert timeline.last_deferral_s == pytest.approx(7.0)
    assert timeline.meanwhile == pytest.approx(0.8)


def test_each_second_has_its_row():
    timeline = make_timeline(a_story(), BIG)
    assert [one.number for one in timeline.seconds] == list(range(12))
    assert (timeline.seconds[0].deferred, timeline.seconds[0].delivered) == (0, 10)
    assert (timeline.seconds[2].deferred, timeline.seconds[2].delivered) == (10, 0)
    console = Console(width=100, record=True)
    console.print(table_of(timeline))
    text = console.export_text()
    assert "Mail for big.example" in text
    assert text.count("│") == 5 * 12


def test_the_order_of_the_records_does_not_matter():
    assert make_timeline(reversed(a_story()), BIG) == make_timeline(a_story(), BIG)


def test_what_the_node_itself_said_is_no_answer_of_the_provider():
    held = record(1.0, BIG, RecordKind.TRANSIENT_FAILURE, command="")
    assert make_timeline([*every(0.1, 0.0, 3.0, BIG), held], BIG).first_deferral_s is None


def test_the_words_are_those_of_the_numbers():
    said = " ".join(sentences(make_timeline(a_story(), BIG)))
    assert "deferred mail from 2.0 s to 5.5 s" in said
    assert "10.0 a second before, 2.0 once the automation had answered" in said
    assert "as much as before again in second 9" in said


def test_without_a_deferral_the_words_say_so():
    assert sentences(make_timeline(every(0.1, 0.0, 2.0, BIG), BIG))[0].startswith(
        "big.example deferred nothing"
    )
    assert make_timeline([], BIG).before == 0.0


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (every(0.1, 0.0, 3.0, BIG), "deferred nothing"),
        (
            [
                *every(0.1, 0.0, 2.0, BIG),
                *every(0.1, 2.0, 5.0, BIG, RecordKind.TRANSIENT_FAILURE),
            ],
            "the rate did not drop",
        ),
        (
            [
                *every(0.1, 0.0, 2.0, BIG),
                *every(1.0, 2.0, 6.0, BIG, RecordKind.TRANSIENT_FAILURE),
            ],
            "never took as much as before",
        ),
    ],
)
def test_a_loop_that_does_not_close_fails_the_story(records, reason):
    with pytest.raises(DemoFailedError, match=reason):
        judge_loop(make_timeline(records, BIG))


def test_a_loop_that_closes_passes():
    judge_loop(make_timeline(a_story(), BIG))
