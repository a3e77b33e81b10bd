"""Replies on the wire: one value in, lines that no text can break out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.reply import EnhancedStatus, SmtpReply, make_reply

LINE = re.compile(rb"(\d{3})[ -][^\r\n]*\r\n")


@pytest.mark.parametrize("code", [0, 199, 600, -250])
def test_a_code_out_of_range_is_refused(code):
    with pytest.raises(ValueError, match="reply code"):
        SmtpReply(code)


def test_the_status_has_the_class_of_the_code():
    with pytest.raises(ValueError, match="does not fit"):
        SmtpReply(250, EnhancedStatus(5, 0, 0))


@pytest.mark.parametrize(
    ("code", "text", "enhanced", "rest"),
    [
        (550, "5.7.1 no", (5, 7, 1), "no"),
        (550, "5.7.1", (5, 7, 1), ""),
        (550, "5.7.1\nno", (5, 7, 1), "no"),
        (550, "5.1.1 a\n5.1.1 b", (5, 1, 1), "a\nb"),
        (550, "4.7.1 no", None, "4.7.1 no"),
        (550, "5.7.1.2 no", None, "5.7.1.2 no"),
        (550, "no", None, "no"),
        (250, "2.0.0 OK", (2, 0, 0), "OK"),
        (550, "5.7.1000 no", None, "5.7.1000 no"),
    ],
)
def test_a_status_in_front_of_the_text_is_read(code, text, enhanced, rest):
    reply = make_reply(code, text)

    assert (reply.enhanced, reply.text) == (enhanced, rest)


@pytest.mark.parametrize(
    ("reply", "wire"),
    [
        (make_reply(250, "OK"), b"250 OK\r\n"),
        (make_reply(250, ""), b"250 \r\n"),
        (make_reply(550, "5.7.1 a\nb"), b"550-5.7.1 a\r\n550 5.7.1 b\r\n"),
        (make_reply(550, "a\r\nb\rc"), b"550-a\r\n550-b\r\n550 c\r\n"),
        (make_reply(550, "a\x00b\x1bc"), b"550 a b c\r\n"),
        (make_reply(550, "\n\n"), b"550-\r\n550-\r\n550 \r\n"),
        (make_reply(550, "5.0.0 gr\u00fc\u00df"), "550 5.0.0 gr\u00fc\u00df\r\n".encode()),
    ],
)
def test_a_reply_on_the_wire(reply, wire):
    assert reply.encode() == wire


def test_long_texts_are_broken_at_blanks():
    text = "5.0.0 " + " ".join(["word" * 8] * 60)

    rows = make_reply(550, text).encode().split(b"\r\n")[:-1]

    assert len(rows) > 3
    assert all(len(row) <= 510 for row in rows)
    assert b" ".join(row[10:] for row in rows).decode() == text[6:]


@given(
    st.integers(200, 599),
    st.text(max_size=1500)
    | st.text(alphabet="\u00e9\U0001f600 a\r\n", min_size=400, max_size=1500),
)
def test_any_text_gives_whole_lines_of_the_same_code(code, text):
    wire = make_reply(code, text).encode()

    rows = wire.split(b"\r\n")
    assert rows.pop() == b""
    assert b"".join(row + b"\r\n" for row in rows) == wire
    for row in rows[:-1]:
        assert row.startswith(b"%d-" % code)
    assert rows[-1].startswith(b"%d " % code)
    assert all(LINE.fullmatch(row + b"\r\n") and len(row) <= 510 for row in rows)


def test_judgements_and_the_line_for_logs():
    assert make_reply(250, "2.0.0 a").is_positive and not make_reply(354, "x").is_positive
    assert make_reply(550, "x").is_permanent and not make_reply(450, "x").is_permanent
    assert make_reply(550, "5.7.1 a\nb").one_line() == "550 5.7.1 a b"
    assert make_reply(550, "5.7.1").full_text == "5.7.1"
    assert make_reply(250, "").one_line() == "250"


@pytest.mark.parametrize(
    ("said", "code", "status", "text"),
    [
        ((555, "5.5.5 no"), 450, "4.5.5", "no (status rewritten from 555 to 450)"),
        ((450, "4.2.1 later"), 451, "4.2.1", "later (status rewritten from 450 to 451)"),
        ((550, "5.1.1 who"), 354, "None", "who (status rewritten from 550 to 354)"),
        ((550, ""), 450, "None", "(status rewritten from 550 to 450)"),
    ],
)
def test_another_code_keeps_the_status_apart_and_tells_the_first(said, code, status, text):
    reply = make_reply(*said).with_code(code)

    assert (reply.code, str(reply.enhanced), reply.text) == (code, status, text)
