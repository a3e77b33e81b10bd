"""Bodies as lines that any mail system carries."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.transfer_encoding import base64_lines, quoted_printable_lines


@given(st.binary(max_size=500))
def test_octets_come_back_from_base64(data):
    lines = base64_lines(data)

    assert base64.b64decode(lines) == data
    assert all(len(line) <= 76 for line in lines.split(b"\r\n"))


@pytest.mark.parametrize(
    "text", [b"", b"a" * 500, b"a \r\nb\t\r\n", b"\xff\x00=", b"\r\n\r\n", b"\xc3\xbc" * 100]
)
def test_text_comes_back_from_quoted_printable(text):
    lines = quoted_printable_lines(text)

    assert quopri.decodestring(lines) == text
    assert lines.replace(b"\r\n", b"").count(b"\n") == 0
    assert all(len(line) <= 76 for line in lines.split(b"\r\n"))
