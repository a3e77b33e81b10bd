"""What replies mean for a recipient."""

import pytest

from engine.deliver.verdict import TooMany, judge_reply, judge_too_many
from engine.model.disposition import Disposition
from engine.model.reply import make_reply


@pytest.mark.parametrize("code", [250, 200, 251, 252])
def test_any_positive_reply_is_delivery(code):
    assert judge_reply(make_reply(code, "ok"), ".") is Disposition.DELIVERED


@pytest.mark.parametrize("code", [300, 354, 400, 421, 450, 451, 452, 499, 503])
def test_surprise_and_trouble_defer(code):
    assert judge_reply(make_reply(code, "x"), ".") is Disposition.DEFERRED


@pytest.mark.parametrize("code", [500, 501, 502, 504, 550, 552, 554, 599])
def test_only_a_permanent_reply_fails(code):
    assert judge_reply(make_reply(code, "x"), ".") is Disposition.FAILED


@pytest.mark.parametrize("text", ["too many", "5.5.3 too many"])
def test_too_many_recipients_is_never_permanent(text):
    assert judge_reply(make_reply(552, text), "RCPT TO:<a@b>") is Disposition.DEFERRED


def test_a_full_mailbox_that_says_so_is_permanent():
    reply = make_reply(552, "5.2.2 mailbox full")

    assert judge_reply(reply, "RCPT TO:<a@b>") is Disposition.FAILED


def test_552_after_the_data_is_about_the_message():
    assert judge_reply(make_reply(552, "too big"), ".") is Disposition.FAILED


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (452, "4.5.3 many", TooMany.YES),
        (552, "5.5.3 many", TooMany.YES),
        (550, "5.5.3 many", TooMany.YES),
        (452, "many", TooMany.MAYBE),
        (552, "many", TooMany.MAYBE),
        (452, "4.2.2 full", TooMany.NO),
        (451, "many", TooMany.NO),
        (550, "no", TooMany.NO),
    ],
)
def test_tells_too_many_recipients(code, text, expected):
    assert judge_too_many(make_reply(code, text)) is expected
