"""Given messages: fit ones stay, others are encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.receive.message_repair import repair_message


def test_a_fit_message_stays_as_it_is():
    body = b"--b\r\n\r\nx\r\n--b--\r\n"

    raw = repair_message(["MIME-Version: 1.0", "Subject: s", " folded"], body)

    assert raw == b"MIME-Version: 1.0\r\nSubject: s\r\n folded\r\n\r\n" + body


def test_an_attachment_without_an_encoding_gets_one():
    head = ["MIME-Version: 1.0", "Content-Type: application/x"]

    raw = repair_message(head, "ü".encode())

    assert raw.endswith(b"Content-Transfer-Encoding: base64\r\n\r\nw7w=\r\n")


def test_a_part_within_a_message_is_left_alone():
    head = ["MIME-Version: 1.0", "Content-Type: message/rfc822"]

    assert repair_message(head, "ü".encode()).endswith("\r\n\r\nü".encode())


@pytest.mark.parametrize("head", [[], [""], ["no header"], ["Bad Name: x"], [" folded: first"]])
def test_what_has_no_headers_is_refused(head):
    with pytest.raises(ValueError, match="header"):
        repair_message(head, b"")


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_multipart_becomes_lines_that_fit(value, text):
    body = f"--b\r\n{text}\r\n--b\r\nX: {value}\r\n\r\n{text}".encode("utf-8", "replace")
    head = ["Content-Type: multipart/mixed; boundary=b", "X: " + " ".join(value.splitlines())]

    raw = repair_message(head, body)

    assert raw.partition(b"\r\n\r\n")[0].isascii()
