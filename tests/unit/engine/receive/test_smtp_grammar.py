"""Command lines as values; whatever the octets, an error is ours and carries a reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.receive.smtp_grammar import (
    CommandSyntaxError,
    check_mail_parameters,
    check_rcpt_parameters,
    decode_line,
    parse_bdat_argument,
    parse_path_argument,
    split_verb,
)

smtp_text = st.text(alphabet=st.sampled_from('<>@:"\\ =.abFROMTO[]postmaster\t1é'), max_size=60)


def parse(argument: str, keyword: str = "FROM"):
    return parse_path_argument(argument, keyword, status="5.1.7")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("EHLO a", ("EHLO", "a")),
        ("ehlo", ("EHLO", "")),
        ("  Mail   FROM:<a@b>  ", ("MAIL", "FROM:<a@b>")),
        ("", ("", "")),
        ("MAIL\tFROM:<a@b>", ("MAIL\tFROM:<A@B>", "")),
    ],
)
def test_a_line_splits_into_verb_and_argument(line, parts):
    assert split_verb(line) == parts


@pytest.mark.parametrize("line", [b"a\rb", b"a\x00", b"\xff", b"\xc3"])
def test_octets_that_no_command_may_hold_are_500(line):
    with pytest.raises(CommandSyntaxError) as caught:
        decode_line(line)
    assert caught.value.reply.code == 500


@pytest.mark.parametrize(
    ("argument", "email"),
    [
        ("FROM:<a@x.test>", "a@x.test"),
        ("from: <a@x.test>", "a@x.test"),
        ("FROM:<>", ""),
        ("FROM:<@r.test:a@x.test>", "a@x.test"),
        ("FROM:<@r.test,@q.test:a@x.test>", "a@x.test"),
        ('FROM:<"a@b>c"@x.test>', '"a@b>c"@x.test'),
        ('FROM:<"a\\"b"@x.test>', '"a\\"b"@x.test'),
        ("FROM:<a@[127.0.0.1]>", "a@[127.0.0.1]"),
    ],
)
def test_a_path_gives_its_address(argument, email):
    assert parse(argument).address.email == email


def test_parameters_come_in_upper_case():
    parsed = parse("FROM:<a@x.test> size=12  Body=8BITMIME smtputf8")

    assert parsed.parameters == {"SIZE": "12", "BODY": "8BITMIME", "SMTPUTF8": ""}


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "FROM",
        "FROM:",
        "FROM <a@b>",
        "TO:<a@b>",
        "FROM:a@b",
        "FROM:<a@b",
        "FROM:<a@b>x",
        "FROM:<a>",
        "FROM:<a@b> =x",
        "FROM:<a@b> a=b=c",
        "FROM:<a@b> A=1 a=2",
        'FROM:<"a@b>',
    ],
)
def test_a_path_that_is_none_is_501(argument):
    with pytest.raises(CommandSyntaxError) as caught:
        parse(argument)
    assert caught.value.reply.code == 501


def test_only_postmaster_is_a_recipient_without_domain():
    assert parse("TO:<postmaster>", "TO").address.user == "postmaster"
    for text in ("TO:<>", "TO:<root>", "TO:<@r.test:>"):
        with pytest.raises(CommandSyntaxError):
            parse(text, "TO")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, None),
        ({"SIZE": "100"}, None),
        ({"SIZE": "101"}, 552),
        ({"SIZE": ""}, 501),
        ({"SIZE": "٣"}, 501),
        ({"SIZE": "9" * 21}, 501),
        ({"BODY": "7bit"}, None),
        ({"BODY": "X"}, 501),
        ({"SMTPUTF8": ""}, None),
        ({"SMTPUTF8": "1"}, 501),
        ({"AUTH": "<>", "RET": "FULL", "ENVID": "x"}, None),
        ({"FUTURE": "1"}, 555),
    ],
)
def test_parameters_of_mail_are_judged(parameters, code):
    reply = check_mail_parameters(parameters, max_message_size_bytes=100)

    assert (reply.code if reply else None) == code


def test_parameters_of_rcpt_are_judged():
    assert check_rcpt_parameters({"NOTIFY": "NEVER", "ORCPT": "rfc822;a@b"}) is None
    assert check_rcpt_parameters({"SIZE": "1"}).code == 555


@pytest.mark.parametrize(
    ("argument", "result"), [("0 LAST", (0, True)), ("12", (12, False)), ("12 last", (12, True))]
)
def test_bdat_tells_octets_and_end(argument, result):
    assert parse_bdat_argument(argument) == result


@pytest.mark.parametrize("argument", ["", "x", "-1", "1 2", "1 LAST x", "٣", "9" * 16, "+1"])
def test_bdat_that_is_none_is_501(argument):
    with pytest.raises(CommandSyntaxError) as caught:
        parse_bdat_argument(argument)
    assert caught.value.reply.code == 501


@given(st.binary(max_size=80))
def test_any_octets_are_a_line_or_our_error(line):
    try:
        text = decode_line(line)
    except CommandSyntaxError as error:
        assert error.reply.code == 500
    else:
        verb, argument = split_verb(text)
        assert " " not in verb and argument == argument.strip(" \t")


@given(smtp_text | st.text(max_size=60), st.sampled_from(["FROM", "TO"]))
def test_any_argument_is_a_path_or_our_error(argument, keyword):
    for text in (argument, f"{keyword}:<{argument}", f"{keyword}:<{argument}>"):
        try:
            parsed = parse_path_argument(text, keyword, status="5.1.3")
        except CommandSyntaxError as error:
            assert 500 <= error.reply.code < 600
            error.reply.encode()
        else:
            assert "\n" not in parsed.address.email
            check_mail_parameters(parsed.parameters, max_message_size_bytes=10)


@given(st.text(max_size=30))
def test_any_bdat_argument_is_read_or_our_error(argument):
    try:
        size, _ = parse_bdat_argument(argument)
    except CommandSyntaxError:
        return
    assert size >= 0
