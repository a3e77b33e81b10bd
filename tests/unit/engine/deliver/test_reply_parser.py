"""Replies out of whatever a host sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.deliver.reply_parser import LINE_MAX, ReplyParser
from engine.model.errors import PeerProtocolError


def replies_of(*pieces):
    parser, found = ReplyParser(), []
    for piece in pieces:
        parser.feed(piece)
        while (reply := parser.next()) is not None:
            found.append(reply.one_line())
    return found


def test_reads_one_reply():
    assert replies_of(b"250 2.1.0 ok\r\n") == ["250 2.1.0 ok"]


def test_joins_the_lines_of_a_reply():
    parser = ReplyParser()
    parser.feed(b"250-mx.test\r\n250-SIZE 10\r\n250 HELP\r\n")

    assert parser.next().text == "mx.test\nSIZE 10\nHELP"
    assert parser.is_empty


def test_takes_many_replies_of_one_segment_in_order():
    assert replies_of(b"250 a\r\n550 b\r\n354 c\r\n") == ["250 a", "550 b", "354 c"]


def test_takes_a_reply_that_comes_octet_by_octet():
    octets = [bytes([one]) for one in b"250-a\r\n250 b\r\n"]

    assert replies_of(*octets) == ["250 a b"]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"250\r\n", "250"),
        (b"250 ok\n", "250 ok"),
        (b"250ok\r\n", "250 ok"),
        (b"250 \r\n", "250"),
        (b"250-\r\n250 \r\n", "250"),
    ],
)
def test_tolerates_small_sins(raw, text):
    assert replies_of(raw) == [text]


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n",
        b"ok\r\n",
        b"25\r\n",
        b"150 early\r\n",
        b"600 late\r\n",
        b"99999\r\n",
        b"250-a\r\n251 b\r\n",
        b"\xb2\xb5\xb0 x\r\n",
        b"250 " + b"x" * LINE_MAX + b"\r\n",
        b"x" * (LINE_MAX + 1),
        b"250-a\r\n" * 300,
        (b"250-" + b"y" * 4000 + b"\r\n") * 20,
    ],
)
def test_refuses_what_is_no_reply(raw):
    with pytest.raises(PeerProtocolError):
        replies_of(raw)


@pytest.mark.parametrize("octet", [0, 7, 8, 0x0B, 0x0D, 0x1B, 0x7F])
def test_controls_do_not_reach_the_text(octet):
    (line,) = replies_of(b"550 a" + bytes([octet]) + b"b\r\n")

    assert line == f"550 a\\x{octet:02x}b" or line == "550 a\\rb"
    assert line.isprintable()


def test_separators_of_unicode_start_no_line():
    (line,) = replies_of("550 a\u2028b\x85c\r\n".encode())

    assert line == "550 a\\u2028b\\x85c"


def test_octets_that_are_no_utf8_are_shown():
    assert replies_of(b"550 caf\xe9\r\n") == ["550 caf\\xe9"]


def test_knows_whether_anything_waits():
    parser = ReplyParser()
    assert parser.is_empty

    parser.feed(b"2")
    assert not parser.is_empty
    assert parser.size_bytes == 1

    parser.feed(b"50-a\r\n")
    assert parser.next() is None
    assert not parser.is_empty


@given(st.binary(max_size=300), st.integers(1, 40))
def test_nothing_raises_anything_but_ours(octets, step):
    parser = ReplyParser()
    try:
        for start in range(0, len(octets), step):
            parser.feed(octets[start : start + step])
            while (reply := parser.next()) is not None:
                assert 200 <= reply.code <= 599
    except PeerProtocolError:
        pass


@given(st.lists(st.sampled_from([b"250 a\r\n", b"250-b\r\n250 c\r\n", b"421 d\n"]), max_size=20))
def test_how_replies_are_cut_does_not_matter(replies):
    whole = b"".join(replies)

    assert replies_of(whole) == replies_of(*(whole[i : i + 1] for i in range(len(whole))))
