"""mta.reject and mta.disconnect: what they accept, what they carry."""

from __future__ import annotations

import pytest

from engine.script_refusals import CloseMode, SmtpRefusal, disconnect, reject
from policy.errors import ScriptRefusal


def test_reject_carries_the_reply():
    with pytest.raises(SmtpRefusal) as caught:
        reject(550, "5.7.1 no")

    assert caught.value.reply.one_line() == "550 5.7.1 no"
    assert caught.value.close is CloseMode.IF_421
    assert isinstance(caught.value, ScriptRefusal)


@pytest.mark.parametrize("code", [250, 399, 600, True, "550", 4.5])
def test_a_code_that_refuses_nothing_is_an_error_of_the_script(code):
    for call in (reject, disconnect):
        with pytest.raises(ValueError, match="400 to 599"):
            call(code, "x")


def test_the_text_is_text():
    with pytest.raises(TypeError):
        reject(550, b"x")


@pytest.mark.parametrize("mode", list(CloseMode))
def test_disconnect_says_how_to_close(mode):
    with pytest.raises(SmtpRefusal) as caught:
        disconnect(421, "bye", mode.value)
    assert caught.value.close is mode


def test_disconnect_closes_at_once_by_default_and_names_its_modes():
    with pytest.raises(SmtpRefusal) as caught:
        disconnect(550, "bye")
    assert caught.value.close is CloseMode.FORCE
    with pytest.raises(ValueError, match="If421, ForceDisconnect, FollowWith421"):
        disconnect(550, "bye", "Softly")
