"""Which reply a sink chooses: hook, file, name, lot."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from engine.tools.sink_options import FailAt, SinkMessage, SinkOptions, SinkReply, Stage
from engine.tools.sink_rules import load_rules
from engine.tools.sink_script import ReplyScript


def session(*recipients: str, recipient: str | None = None):
    return SimpleNamespace(
        client="127.0.0.1",
        local="127.0.0.1:25",
        sender="a@x.test",
        recipients=list(recipients),
        recipient=recipient,
    )


def message(*recipients: str, data: bytes = b"hi\r\n") -> SinkMessage:
    return SinkMessage("a@x.test", recipients, data, {}, "c.test", False, 0.0, 1, "", "", "")


def at_rcpt(address: str, **options) -> SinkReply | None:
    return ReplyScript(SinkOptions(**options)).judge(Stage.RCPT, session(), address)


@pytest.mark.parametrize(
    ("address", "reply"),
    [
        ("user@y.test", None),
        ("tempfail@y.test", "451 4.7.1"),
        ("TempFail.17@y.test", "451 4.7.1"),
        ("permfail-x@y.test", "550 5.1.1"),
        ("reply-450@y.test", "450 4.0.0"),
        ("reply-550-5.7.26.3@y.test", "550 5.7.26"),
        ("reply-999@y.test", None),
        ("reply-250@y.test", None),
        ("replyable@y.test", None),
        ("421@y.test", "421 4.7.0"),
        ("tempfail-data@y.test", None),
        ("user.tempfail@y.test", None),
        ("@y.test", None),
    ],
)
def test_a_name_asks_for_a_reply_at_rcpt(address, reply):
    found = at_rcpt(address)
    assert (found and found.text[: len(reply or "")]) == reply


@pytest.mark.parametrize(
    ("name", "reply"),
    [("tempfail-data.1", "451"), ("permfail-data", "550"), ("reply-data-452", "452")],
)
def test_a_name_asks_for_a_reply_after_the_dot(name, reply):
    script = ReplyScript(SinkOptions())
    address = f"{name}@y.test"
    found = script.judge(Stage.DOT, session("user@y.test", address), message(address))
    assert found is not None
    assert found.text.startswith(reply)


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("drop", SinkReply("", close=True)),
        ("hang", SinkReply("", hang=True)),
        ("slow", SinkReply("", delay_s=5.0)),
        ("slow-7", SinkReply("", delay_s=7.0)),
        ("slow-" + "9" * 400, SinkReply("", delay_s=3600.0)),
    ],
)
def test_a_name_asks_for_trouble(name, reply):
    assert at_rcpt(f"{name}@y.test") == reply


def test_names_ask_for_nothing_when_that_is_switched_off():
    assert at_rcpt("tempfail@y.test", by_name=False) is None


def test_greylisting_defers_the_first_attempt_of_each_address():
    script = ReplyScript(SinkOptions())
    addresses = ["greylist@y.test", "greylist2@y.test", "greylist@y.test", "greylist2@y.test"]
    answers = [script.judge(Stage.RCPT, session(), address) for address in addresses]
    assert [bool(answer) for answer in answers] == [True, True, False, False]


def test_what_is_greylisted_is_bounded(monkeypatch):
    monkeypatch.setattr("engine.tools.sink_script._MAX_GREYLISTED", 10)
    script = ReplyScript(SinkOptions())
    for number in range(100):
        script.judge(Stage.RCPT, session(), f"greylist{number}@y.test")
    assert len(script._greylisted) == 10


@pytest.mark.parametrize("fail_at", FailAt)
def test_percentages_are_kept(fail_at):
    options = SinkOptions(tempfail_percent=20, permfail_percent=10, fail_at=fail_at, seed=1)
    script = ReplyScript(options)
    stage = Stage(fail_at.value)
    drawn = Counter[str]()
    for _ in range(5000):
        reply = script.judge(stage, session(), message() if stage is Stage.DOT else "u@y.test")
        drawn[reply.text[0] if reply else "2"] += 1
    assert drawn["4"] == pytest.approx(1000, rel=0.1)
    assert drawn["5"] == pytest.approx(500, rel=0.15)


def test_percentages_are_drawn_at_one_stage_only():
    script = ReplyScript(SinkOptions(tempfail_percent=100))
    assert script.judge(Stage.DOT, session(), message()) is None


def test_the_same_seed_draws_the_same():
    def draw():
        script = ReplyScript(SinkOptions(tempfail_percent=50, seed=7))
        return [script.judge(Stage.RCPT, session(), "u@y.test") for _ in range(50)]

    assert draw() == draw()


def test_hook_goes_before_file_and_file_before_name_and_name_before_lot(tmp_path):
    (tmp_path / "r.toml").write_text('[["*"]]\nwhen = "rcpt"\nmatch = "file"\nreply = "450 file"\n')
    hook = {"permfail.file.hook@y": "452 hook"}
    script = ReplyScript(
        SinkOptions(tempfail_percent=100),
        load_rules(tmp_path / "r.toml"),
        lambda _stage, _session, argument: hook.get(argument),
    )
    found = [
        script.judge(Stage.RCPT, session(), f"permfail{ending}@y")
        for ending in (".file.hook", ".file", "")
    ]
    assert [reply.text[:3] for reply in found if reply] == ["452", "450", "550"]
    lot = script.judge(Stage.RCPT, session(), "user@y")
    assert lot is not None
    assert lot.text[0] == "4"


def test_a_hook_that_answers_nonsense_is_told():
    script = ReplyScript(SinkOptions(), hook=lambda *_: "nonsense")
    with pytest.raises(ValueError, match="a reply is a code"):
        script.judge(Stage.MAIL, session(), "a@x.test")


def test_it_knows_whether_messages_are_looked_at(tmp_path):
    (tmp_path / "r.toml").write_text('[["*"]]\nwhen = "dot"\nmatch = "spam"\nreply = "550 spam"\n')
    rules = load_rules(tmp_path / "r.toml")
    assert not ReplyScript(SinkOptions()).reads_messages
    assert ReplyScript(SinkOptions(), rules).reads_messages
