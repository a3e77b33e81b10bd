"""A transaction's phases name what a spent deadline was spent on."""

from __future__ import annotations

from engine.model.reply import make_reply
from engine.receive.incoming import Admitted, Phase


def test_phases_have_the_names_that_replies_show():
    assert [phase.value for phase in Phase] == ["rx", "resolve", "spool", "insert"]


def test_each_verdict_has_a_list_of_its_own():
    first, second = Admitted(make_reply(250, "ok")), Admitted(make_reply(250, "ok"))
    first.spool_ids.append(b"x")

    assert second.spool_ids == []
