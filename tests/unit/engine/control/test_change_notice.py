"""Changes are told once, however many are made together."""

from __future__ import annotations

import pytest

from engine.control.change_notice import ChangeNotice


@pytest.fixture
def told():
    return []


@pytest.fixture
def notice(told):
    made = ChangeNotice()
    made.on_change.append(lambda: told.append(1))
    return made


def test_each_change_is_told(notice, told):
    notice()
    notice()
    assert len(told) == 2


def test_changes_made_together_are_told_once_at_the_end(notice, told):
    with notice.at_once():
        notice()
        with notice.at_once():
            notice()
        assert told == []
    assert len(told) == 1


def test_without_a_change_nothing_is_told(notice, told):
    with notice.at_once():
        pass
    assert told == []


def test_what_changed_before_a_failure_is_told(notice, told):
    with pytest.raises(KeyError), notice.at_once():
        notice()
        raise KeyError
    assert len(told) == 1
