"""The file of replies: which rule fires, and what is wrong with a file."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from engine.model.errors import ConfigurationError
from engine.tools.sink_options import SinkReply, Stage
from engine.tools.sink_rules import load_rules
from tests.fakes.sink_dialogue import talking


def rules_of(tmp_path, text: str, seed: int | None = None):
    path = tmp_path / "replies.toml"
    path.write_text(text)
    return load_rules(path, seed)


def find(rules, stage: Stage, subject: str, *recipients: str) -> SinkReply | None:
    who = SimpleNamespace(local="127.0.0.2:2600", recipients=list(recipients), recipient=None)
    return rules.find(stage, who, subject)


ORDER = """
[["a.example"]]
when = "rcpt"
reply = "450 own"
match = "^own"
[["*.example"]]
when = "rcpt"
match = "^(own|parent)"
reply = "451 parent"
[["127.0.0.2:2600"]]
when = "rcpt"
match = "^(own|parent|port)"
reply = "452 port"
[["127.0.0.2"]]
when = "rcpt"
match = "^(own|parent|port|address)"
reply = "550 address"
[["*"]]
when = "rcpt"
match = "^(own|parent|port|address|all)"
reply = "551 all"
[["*"]]
when = "rcpt"
match = "all"
reply = "552 never"
"""


@pytest.mark.parametrize("name", ["own", "parent", "port", "address", "all", "none"])
def test_the_nearest_rule_answers(tmp_path, name):
    reply = find(rules_of(tmp_path, ORDER), Stage.RCPT, f"{name}@A.Example")
    assert (reply.text[4:] if reply else "none") == name


def test_parents_are_tried_from_the_nearest(tmp_path):
    text = "".join(
        f'[["{key}"]]\nwhen = "rcpt"\nreply = "450 {key}"\n' for key in ("*.test", "*.b.test")
    )
    rules = rules_of(tmp_path, text)
    found = [find(rules, Stage.RCPT, f"u@{domain}") for domain in ("a.b.test", "b.test", "test")]
    assert [reply and reply.text[4:] for reply in found] == ["*.b.test", "*.test", None]


def test_a_rule_for_a_domain_answers_after_the_dot_for_any_of_the_recipients(tmp_path):
    rules = rules_of(tmp_path, '[["b.test"]]\nwhen = "dot"\nmatch = "spam"\nreply = "554 no"\n')
    assert find(rules, Stage.DOT, "spam", "u@a.test", "u@b.test") == SinkReply("554 no")
    assert find(rules, Stage.DOT, "ham", "u@b.test") is None
    assert find(rules, Stage.DOT, "spam", "u@a.test") is None


def test_a_rule_fires_so_many_times(tmp_path):
    rules = rules_of(tmp_path, '[["*"]]\nwhen = "mail"\nreply = "451 x"\ncount = 2\n')
    found = [find(rules, Stage.MAIL, "") is not None for _ in range(4)]
    assert found == [True, True, False, False]


def test_a_rule_fires_in_so_many_of_a_hundred_cases(tmp_path):
    rules = rules_of(tmp_path, '[["*"]]\nwhen = "mail"\nreply = "451 x"\npercent = 25\n', seed=3)
    found = Counter(find(rules, Stage.MAIL, "") is not None for _ in range(4000))
    assert found[True] == pytest.approx(1000, rel=0.1)


@pytest.mark.parametrize(
    ("rule", "reply"),
    [
        ('reply = "drop"', SinkReply("", close=True)),
        ('reply = "hang"', SinkReply("", hang=True)),
        ('reply = "421 4.7.0 bye"', SinkReply("421 4.7.0 bye", close=True)),
        ('delay = "2s"', SinkReply("", delay_s=2.0)),
        ('delay = 1.5\nreply = "450 a\\nb"', SinkReply("450 a\nb", delay_s=1.5)),
    ],
)
def test_a_rule_says_how_it_answers(tmp_path, rule, reply):
    assert find(rules_of(tmp_path, f'[["*"]]\nwhen = "ehlo"\n{rule}\n'), Stage.EHLO, "") == reply


def test_a_pattern_that_re2_cannot_take_is_searched_in_bounded_time(tmp_path):
    rules = rules_of(
        tmp_path, '[["*"]]\nwhen = "mail"\nmatch = "^(a+)+(?=b)$"\nreply = "450 slow"\n'
    )
    assert find(rules, Stage.MAIL, "a" * 60) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[["a"]]\nwhen = "rcpt"\nreply = "450 x"\n\n[["a"]]\nwhen = "never"\n', ":5: rule 2 of"),
        ('[["a"]]\nwhen = "rcpt"\n', ":1: rule 1 of 'a': a rule without reply and delay"),
        ('[["a"]]\nwhen = "rcpt"\nreply = "no"\n', "a reply is a code"),
        ('[["a"]]\nwhen = "rcpt"\nreply = 450\n', "reply is a text"),
        ('[["a"]]\nwhen = "rcpt"\nreply = "450 x"\npercent = 101\n', "percent is a number"),
        ('[["a"]]\nwhen = "rcpt"\nreply = "450 x"\ncount = 0\n', "count is a whole number"),
        ('[["a"]]\nwhen = "rcpt"\nreply = "450 x"\nmatch = "("\n', "no regular expression"),
        ('[["a"]]\nwhen = "rcpt"\nreply = "450 x"\nmatch = 1\n', "match is a regular expression"),
        ('[["a"]]\nwhen = "rcpt"\nreply = "450 x"\nafter = 1\n', "unknown key 'after'; known are"),
        ('[["a"]]\nwhen = "rcpt"\ndelay = "soon"\n', "soon"),
        ('[["a"]]\nwhen = ["rcpt"]\nreply = "450 x"\n', "when is one of"),
        ('["a"]\nwhen = "rcpt"\n', ":1: 'a': a list of rules is written"),
        ("a = [1]\n", ":1: rule 1 of 'a': a rule is a table"),
        ("# one\n[[", ":2: "),
        ("a = \udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "replies.toml"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(ConfigurationError) as error:
        rules_of(tmp_path, text)
    assert message in str(error.value)
    assert "replies.toml" in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.toml: No such file"):
        load_rules(tmp_path / "none.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "replies.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"replies\.toml:1: "):
        load_rules(tmp_path / "replies.toml")


STAGES = """
[["127.0.0.1"]]
when = "ehlo"
match = "^bad"
reply = "550 5.7.1 bad name"
[["*"]]
when = "mail"
match = "spammer"
reply = "550 5.7.1 bad sender"
[["*"]]
when = "data"
match = "nodata"
reply = "451 4.3.0 no data now"
[["y.test"]]
when = "dot"
match = "(?i)viagra"
reply = "554 5.7.1 no"
"""


async def test_rules_answer_in_a_dialogue(tmp_path):
    (tmp_path / "r.toml").write_text(STAGES)
    async with talking(rules=tmp_path / "r.toml") as (sink, client):
        assert await client.codes(b"EHLO bad.test", b"MAIL FROM:<spammer@x>") == [550, 550]
        assert await client.codes(b"MAIL FROM:<nodata@x>", b"RCPT TO:<b@y.test>") == [250, 250]
        assert await client.codes(b"DATA", b"RSET") == [451, 250]
        assert (await client.deliver(b"Viagra\r\n")).code == 554
        assert (await client.deliver(b"fine\r\n")).code == 250
        assert len(sink.messages) == 1
