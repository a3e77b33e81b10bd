"""Handlers are judged by their text alone."""

from __future__ import annotations

import pytest

from engine.registration_check import check_registrations


def findings_of(tmp_path, text: str) -> list[str]:
    script = tmp_path / "init.py"
    script.write_text(text)
    return [str(one).removeprefix(f"{tmp_path}/") for one in check_registrations([script])]


@pytest.mark.parametrize(
    "arguments",
    [
        "name",
        "pool",
        "name, /",
        "name, more=1",
        "*names",
        "name, **more",
        "*, name=0, **k",
        "n, *, m=2",
    ],
)
def test_a_handler_that_can_be_called_is_fine(tmp_path, arguments):
    found = findings_of(tmp_path, f'@on("get_egress_pool")\ndef p({arguments}): ...\n')
    # Arguments are passed by position: a function that takes none this way does not fit.
    assert bool(found) == arguments.startswith("*, ")


@pytest.mark.parametrize("arguments", ["", "a, b", "*, name", "name, *, more"])
def test_a_handler_that_cannot_be_called_is_named_with_what_it_must_accept(tmp_path, arguments):
    (found,) = findings_of(
        tmp_path, f'\n@mta.on("get_egress_pool")\nasync def p({arguments}): ...\n'
    )
    assert found.startswith("init.py:2: error: the handler must accept get_egress_pool(name): ")


def test_an_unknown_event_is_named_with_what_may_be_meant(tmp_path):
    assert findings_of(tmp_path, '@on("get_egres_pool")\ndef p(name): ...\n') == [
        "init.py:1: error: there is no event 'get_egres_pool'; did you mean 'get_egress_pool'?"
    ]


def test_several_are_found_wherever_they_stand(tmp_path):
    text = (
        'if True:\n    @on("nothing")\n    def a(): ...\n'
        '@other\n@on("message_received")\n@on("smtp_data")\ndef m(): ...\n'
    )
    lines = [found.split(":")[1] for found in findings_of(tmp_path, text)]
    assert lines == ["2", "4", "4"] or lines == ["4", "4", "2"]


@pytest.mark.parametrize(
    "text", ["x = (", "@on(name)\ndef p(): ...\n", '@off("x")\ndef p(): ...\n']
)
def test_what_cannot_be_told_from_the_text_is_left_alone(tmp_path, text):
    assert findings_of(tmp_path, text) == []


def test_a_file_that_is_gone_is_left_alone(tmp_path):
    assert check_registrations([tmp_path / "none.py"]) == []
