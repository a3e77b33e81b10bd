"""Pictures of ``cirrus top``."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from engine.cli.top_controls import Controls, View
from engine.cli.top_lists import Listed
from engine.cli.top_state import TopState
from engine.cli.top_view import format_number, make_frame, share_rows
from tests.fakes.top_world import (
    AUTOMATION,
    DECISIONS,
    IDENTITY,
    NOW_AT,
    QUEUES,
    REASON,
    SAMPLE,
    counters,
    history,
    walked,
)

SIZES = [(80, 24), (40, 10), (200, 60), (1, 1), (20, 2), (500, 200)]
HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\n日本語の長い名前\u202e\u0301" * 3

OVERVIEW = """\
live  mail-1  cirrus 0.1.0  up 3h                        10:00:00 UTC  every 1 s
received/s    70.0         ▂▂▂▂▂▂▂▂▂▂█  scheduled     1203         ▇▇▇▇▇▇▇▇▇▇█
delivered/s      0         ██████████▁  ready            7         ▆▆▆▆▆▆▆▆▆▆█
transfail/s      0         ██████████▁  messages        15                   █
permfail/s       0         ██████████▁  conn out         2         ███████████
rejected/s       0         ▁▁▁▁▁▁▁▁▁▁▁  conn in          4         ▆▆▆▆▆▆▆▆▆▆█
cpu %         12.5         ▇▇▇▇▇▇▇▇▇██  memory         97M         ▇▇▇▇▇▇▇▇▇██
QUEUES (2)                     COUNT    DUE   HELD STATUS
acme@big.example                 900     12      0
beta@other.example               303      0    303 held: their request (by ops)
PROVIDERS (the last minute)              DELIV/S TRANSF/S  PERMF/S  QUEUED  CONN
big                                          6.0      2.0        0     900     2
mx.fine.example                              2.0        0      1.0       0     1
REASONS (the last hour)                       PROVIDER            COUNT OUTCOME
451 4.7.28 too much mail, slow down           big                    26 deferred
TSA  decisions 1, suspensions 2, bounces 0, options changed, follows http://tsa…
set option     max_message_rate=1.5/s site… they said slow down               1h






[overview] queues  ready  providers  reasons  decisions  help   f filter  q quit
"""


def known(**changed) -> TopState:
    state = TopState(
        identity=dict(IDENTITY), not_live="", queues=QUEUES, automation=dict(AUTOMATION)
    )
    state.decisions = DECISIONS
    state.take_history(history(SAMPLE), 1000.0)
    state.take_counters(counters(received=500), 1000.0)
    state.take_counters(counters(received=570), 1001.0)
    state.take_walked(walked(), 1001.0)
    state.note_answer(NOW_AT)
    for name, value in changed.items():
        setattr(state, name, value)
    return state


def picture(
    state: TopState | None = None, size: tuple[int, int] = (80, 24), **options
) -> list[str]:
    options = {"now_at": NOW_AT, "mono": 1001.5, **options}
    controls = options.pop("controls", Controls())
    return make_frame(state or known(), controls, size, **options).lines


def row_of(lines: list[str], text: str) -> str:
    return next(line for line in lines if text in line)


def test_the_overview_has_everything_at_80_by_24():
    assert picture() == OVERVIEW.splitlines()


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("has_colour", [False, True])
def test_a_picture_is_as_large_as_the_screen(view, size, has_colour):
    lines = picture(size=size, controls=Controls(view), has_colour=has_colour)

    assert len(lines) == size[1]
    plain = picture(size=size, controls=Controls(view))
    assert max(cell_len(line) for line in plain) <= size[0]


def hostile() -> TopState:
    queue = dict(QUEUES["scheduled"][1], queue_name=HOSTILE, suspended=HOSTILE)
    way = dict(QUEUES["ready"][0], site_name=HOSTILE, source=HOSTILE, limited_by=HOSTILE)
    decision = dict(
        DECISIONS["decisions"][0], reason=HOSTILE, scope={"domain": HOSTILE}, kind=HOSTILE
    )
    provider = dict(SAMPLE["providers"][0], name=HOSTILE)
    return known(
        identity={"hostname": HOSTILE, "version": HOSTILE},
        queues=dict(QUEUES, scheduled=[queue] * 40, ready=[way] * 40),
        reasons=[dict(REASON, text=HOSTILE, provider=HOSTILE, enhanced=HOSTILE)] * 40,
        decisions={"decisions": [decision] * 40},
        samples=[dict(SAMPLE, providers=[provider])],
        automation=dict(AUTOMATION, subscribed_to=HOSTILE),
    )


@pytest.mark.parametrize("view", View)
@pytest.mark.parametrize("size", SIZES)
def test_names_from_outside_neither_move_the_cursor_nor_break_a_line(view, size):
    state = hostile()
    for changed in ({}, {"away": HOSTILE}, {"not_live": HOSTILE}):
        for name, value in changed.items():
            setattr(state, name, value)
        controls = Controls(view, filter_text="\x1b[31m" if changed else "")
        lines = picture(state, size, controls=controls)

        assert len(lines) == size[1]
        assert all(line.isprintable() for line in lines)
        assert max(cell_len(line) for line in lines) <= size[0]


def test_it_reads_the_same_without_colour():
    import re

    coloured = picture(has_colour=True)
    assert any("\x1b" in line for line in coloured)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in coloured] == picture()


def test_a_node_that_was_not_asked_yet_is_not_shown_as_idle():
    lines = picture(TopState())

    assert "asking" in lines[0]
    assert row_of(lines, "received/s").split() == ["received/s", "?", "scheduled", "?"]
    assert "asking" in row_of(lines, "QUEUES")


def test_a_node_that_is_away_is_said_to_be_stale():
    lines = picture(known(away="no answer of http://n: connection refused"), now_at=NOW_AT + 72)

    assert "NO ANSWER" in lines[0]
    assert lines[-1] == (
        "stale since 10:00:00 UTC, 1m 12s; no answer of http://n: connection refused"
    )
    assert "acme@big.example" in "\n".join(lines)


def test_a_node_that_never_answered_is_said_not_to_answer():
    lines = picture(TopState(away="no answer of http://n: connection refused"))

    assert lines[-1] == "no answer of http://n: connection refused"


def test_an_answer_that_is_awaited_for_long_is_told():
    assert "the node takes its time; stale since 10:00:00" in picture(now_at=NOW_AT + 9)[-1]
    assert "stale" not in picture(now_at=NOW_AT + 9, controls=Controls(interval_s=10.0))[-1]


def test_a_node_that_takes_no_mail_says_why():
    lines = picture(known(not_live="the node answers 503: disk full"))

    assert "NOT LIVE" in lines[0]
    assert lines[-1] == "the node answers 503: disk full"


def test_numbers_that_are_refused_are_told_below():
    assert picture(known(refused={"rates": "401: who are you"}))[-1] == "rates: 401: who are you"


def test_a_filter_is_seen():
    typing = Controls(filter_text="big", is_typing=True)
    assert picture(controls=typing)[-1].startswith("filter: big")

    lines = picture(controls=Controls(filter_text="big"))
    assert lines[-1].startswith("only 'big' [overview]")
    assert not any("mx.fine" in line for line in lines)


def test_a_narrow_screen_names_the_view_that_is_shown():
    lines = picture(size=(40, 10), controls=Controls(View.DECISIONS))

    assert lines[-1].startswith("[decisions]")


def test_a_list_is_scrolled():
    queues = [dict(QUEUES["scheduled"][0], queue_name=f"q-{n:03}") for n in range(100)]
    state = known(queues=dict(QUEUES, scheduled=queues, scheduled_matching=5000))

    frame = make_frame(
        state, Controls(View.QUEUES, scroll=90), (80, 24), now_at=NOW_AT, mono=1001.5
    )

    assert (frame.rows, frame.page) == (100, 20)
    assert frame.lines[1].split() == "QUEUES 100 of 5000 rows 91 to 100".split()
    assert frame.lines[2].split()[:2] == ["QUEUE", "COUNT"]
    assert [line.split()[0] for line in frame.lines[3:13]] == [f"q-{n:03}" for n in range(90, 100)]


def test_help_fits_80_columns_and_can_be_scrolled():
    whole = picture(size=(80, 60), controls=Controls(View.HELP))
    assert not any("…" in line for line in whole)

    scrolled = picture(controls=Controls(View.HELP, scroll=3))
    assert scrolled[1] == whole[4]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("received", None, "?"),
        ("received", 0.0, "0"),
        ("received", 0.25, "0.2"),
        ("received", 123.4, "123"),
        ("received", 123456.0, "123k"),
        ("cpu", 99.94, "99.9"),
        ("scheduled", 1_234_567.0, "1.2M"),
        ("memory", 97316864.0, "97M"),
        ("memory", 97316864000.0, "97.3G"),
    ],
)
def test_numbers_have_few_characters(name, value, shown):
    assert format_number(name, value) == shown


def listed(rows: int) -> Listed:
    return Listed("A", "", rows=[()] * rows)


@pytest.mark.parametrize(
    ("rows", "lists", "heights"),
    [
        (15, (20, 20, 20, 20), [4, 4, 4, 3]),
        (15, (0, 1, 20, 0), [1, 2, 11, 1]),
        (15, (1, 1, 1, 1), [2, 2, 2, 2]),
        (2, (5, 5, 5, 5), [2, 0, 0, 0]),
        (3, (5, 5, 0, 5), [2, 0, 1, 0]),
        (5, (5, 5), [3, 2]),
        (0, (5, 5), [0, 0]),
        (-3, (5, 5), [0, 0]),
    ],
)
def test_lists_share_the_screen(rows, lists, heights):
    assert share_rows([listed(one) for one in lists], rows) == heights
