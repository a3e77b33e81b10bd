"""Content as it goes over the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.deliver.dot_stuffing import ready_content, stuff_dots


def unstuffed(wire: bytes) -> bytes:
    """Return what a naive receiver makes of it; fail if the end is not where it should be."""
    lines = wire.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    body = lines[:-2]
    assert b"." not in body
    for line in body:
        assert b"\r" not in line
        assert b"\n" not in line
    return b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in body)


LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b".", b"..", b". ", b"a ", b"\t", b".x", b"x." * 499, b"\xff\x00"]),
        st.binary(max_size=20).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
    ),
    max_size=12,
)


@given(LINES)
def test_a_receiver_gets_the_same_octets(lines):
    content = b"".join(line + b"\r\n" for line in lines)

    assert unstuffed(stuff_dots(content)) == content


@given(LINES, st.binary(min_size=1, max_size=5).map(lambda raw: raw.translate(None, b"\r\n")))
def test_only_a_missing_last_line_end_is_added(lines, last):
    content = b"".join(line + b"\r\n" for line in lines) + last
    end = b"\r\n" if last else b""

    assert unstuffed(stuff_dots(content)) == content + end


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a"]), max_size=12).map(b"".join))
def test_no_bare_cr_or_lf_leaves(content):
    unstuffed(stuff_dots(content))


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"a\n.\nb\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n.\r\n", b"a\r\n..\r\n.\r\n"),
        (b"x" * 998 + b"\r\n", b"x" * 998 + b"\r\n.\r\n"),
    ],
)
def test_examples(content, wire):
    assert stuff_dots(content) == wire


@given(LINES)
def test_a_body_known_to_be_ready_gives_the_same_octets(lines):
    body = b"".join(line.lstrip(b".") + b"\r\n" for line in lines) or b"x\r\n"
    prefix = b"Received: from x\r\n\tby y\r\n"

    assert ready_content(prefix, body, is_wire_ready=True) == stuff_dots(prefix + body)
    assert ready_content(b"", body, is_wire_ready=True) == stuff_dots(body)
    assert ready_content(prefix, body, is_wire_ready=False) == stuff_dots(prefix + body)
