"""Keys of ``cirrus top``."""

from __future__ import annotations

import pytest

from engine.cli.top_controls import FILTER_MAX, Controls, View


def pressed(*keys: str, controls: Controls | None = None) -> Controls:
    controls = controls or Controls()
    for key in keys:
        controls.press(key)
    return controls


@pytest.mark.parametrize("key", ["q", "Q", "esc", "ctrl-c", "ctrl-d", "closed"])
def test_it_can_be_left(key):
    assert pressed(key).has_ended


@pytest.mark.parametrize(
    ("keys", "view"),
    [
        (["tab"], View.QUEUES),
        (["tab"] * 7, View.OVERVIEW),
        (["shift-tab"], View.HELP),
        (["right", "right", "left"], View.QUEUES),
        (["4"], View.PROVIDERS),
        (["7", "1"], View.OVERVIEW),
        (["?"], View.HELP),
        (["8"], View.OVERVIEW),
    ],
)
def test_views_are_chosen(keys, view):
    assert pressed(*keys).view is view


def test_an_interval_is_longer_or_shorter_within_bounds():
    assert pressed("+").interval_s == 2.0
    assert pressed("-").interval_s == 0.5
    assert pressed(*"---------").interval_s == 0.5
    assert pressed(*"+++++++++").interval_s == 60.0
    assert pressed("-", controls=Controls(interval_s=3.0)).interval_s == 2.0
    assert pressed("+", controls=Controls(interval_s=3600.0)).interval_s == 3600.0


def test_a_filter_is_typed():
    controls = pressed("f", "b", "i", "q", "backspace", "g")

    assert (controls.filter_text, controls.is_typing) == ("big", True)
    assert not controls.has_ended

    controls.press("enter")
    assert (controls.filter_text, controls.is_typing) == ("big", False)
    assert pressed("q", controls=controls).has_ended


def test_escape_drops_a_filter_before_it_leaves():
    controls = pressed("/", "x", "esc")

    assert (controls.filter_text, controls.is_typing, controls.has_ended) == ("", False, False)


def test_ctrl_c_leaves_also_while_a_filter_is_typed():
    assert pressed("f", "x", "ctrl-c").has_ended


def test_a_filter_is_bounded():
    assert len(pressed("f", *"x" * 500).filter_text) == FILTER_MAX


def test_a_filter_can_be_emptied_and_the_view_changed_while_typing():
    controls = pressed("f", "x", "ctrl-u", "y", "tab")

    assert (controls.filter_text, controls.view) == ("y", View.QUEUES)


def test_a_list_is_scrolled_within_its_bounds():
    controls = Controls(view=View.REASONS)
    controls.fit(rows=100, page=20)

    places = []
    for key in ("down", "pgdn", "up", "end", "down", "pgup", "home", "up", " "):
        controls.press(key)
        controls.fit(rows=100, page=20)
        places.append(controls.scroll)

    assert places == [1, 21, 20, 80, 80, 60, 0, 0, 20]


def test_a_list_that_fits_is_not_scrolled():
    controls = Controls(scroll=7)
    controls.fit(rows=3, page=20)

    assert controls.scroll == 0


def test_another_view_begins_at_its_top():
    controls = Controls(scroll=7)

    assert controls.press("tab")
    assert controls.scroll == 0


@pytest.mark.parametrize(
    ("view", "key", "is_asked"),
    [
        (View.OVERVIEW, "tab", True),
        (View.QUEUES, "down", True),
        (View.REASONS, "down", False),
        (View.QUEUES, "+", False),
        (View.QUEUES, "x", False),
    ],
)
def test_a_node_is_asked_at_once_for_what_is_not_known_yet(view, key, is_asked):
    assert Controls(view=view).press(key) is is_asked
