"""Where content ends, whatever the segments; what it may hold; what is kept of too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.receive.data_reader import (
    BAD_ENDINGS,
    LINE_TOO_LONG,
    TOO_BIG,
    DataReader,
    LineEndings,
    has_long_line,
    judge_content,
)

wire = st.lists(
    st.sampled_from([b"\r\n", b".", b"..", b"\r", b"\n", b"a", b"bc" * 5, b"\x00\xff"]), max_size=30
).map(b"".join)


def read(octets: bytes, cuts: list[int] | None = None, limit: int = 1000):
    """Return content (None while the end has not come), rest and whether it was too big."""
    reader = DataReader(limit)
    marks = [0, *sorted(cuts or []), len(octets)]
    for start, stop in zip(marks, marks[1:], strict=False):
        rest = reader.feed(bytearray(octets[start:stop]))
        if rest is not None:
            return (
                (b"" if reader.too_big else reader.content()),
                rest + octets[stop:],
                reader.too_big,
            )
    return None, b"", reader.too_big


def expected(octets: bytes) -> tuple[bytes, bytes] | None:
    """Return content and rest by the standard's own words, line by line."""
    lines = []
    rest = octets
    while True:
        head, found, tail = rest.partition(b"\r\n")
        if not found:
            return None
        if head == b".":
            return b"".join(lines), tail
        lines.append((head[1:] if head.startswith(b".") else head) + b"\r\n")
        rest = tail


@pytest.mark.parametrize(
    ("octets", "content", "rest"),
    [
        (b".\r\n", b"", b""),
        (b".\r\nQUIT\r\n", b"", b"QUIT\r\n"),
        (b"a\r\n.\r\nNOOP\r\n", b"a\r\n", b"NOOP\r\n"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b"..a\r\n...b\r\n.\r\n", b".a\r\n..b\r\n", b""),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"a\n.\n\r\n.\r\n", b"a\n.\n\r\n", b""),
    ],
)
def test_content_ends_at_crlf_dot_crlf_only(octets, content, rest):
    assert read(octets) == (content, rest, False)


@pytest.mark.parametrize(
    "octets",
    [b"", b".", b".\r", b"a\r\n.", b"a\r\n.\r", b"a\n.\n", b"a\r.\r", b"a\n.\r\n", b"\r\n.\n"],
)
def test_what_only_looks_like_the_end_is_none(octets):
    assert read(octets)[0] is None


@given(wire, st.lists(st.integers(0, 200), max_size=12))
def test_segments_do_not_matter(octets, cuts):
    octets += b"\r\n.\r\nnext"
    cuts = [cut for cut in cuts if cut <= len(octets)]

    content, rest, too_big = read(octets, cuts)

    assert (content, rest) == expected(octets)
    assert not too_big


@given(wire)
def test_octet_by_octet_is_the_same_as_at_once(octets):
    octets += b"\r\n.\r\n"
    assert read(octets, list(range(len(octets)))) == read(octets)


@given(wire, st.integers(1, 40), st.integers(1, 600))
def test_too_much_is_noticed_and_its_end_found_whatever_the_segments(octets, limit, step):
    octets = (octets or b"x") * 300 + b"\r\n.\r\nnext"
    whole = read(octets, limit=limit)
    cut = read(octets, list(range(0, len(octets), step)), limit=limit)

    def verdict(result):
        content, rest, too_big = result
        assert content is not None
        if not too_big:
            too_big = len(content) > limit
        return too_big, rest

    assert verdict(whole) == verdict(cut)
    if len(expected(octets)[0]) > limit:
        assert verdict(whole)[0]


def test_beyond_the_limit_next_to_nothing_is_kept():
    reader = DataReader(1000)

    for _ in range(100):
        assert reader.feed(bytearray(b"x" * 50_000)) is None
        assert len(reader._buffer) < 60_000

    assert reader.too_big
    assert reader.excess > 4_900_000
    assert not reader.is_hopeless
    assert reader.feed(bytearray(b"\r\n.\r\nNOOP\r\n")) == b"NOOP\r\n"


def test_a_peer_that_never_ends_is_hopeless():
    reader = DataReader(10)
    block = b"x" * (8 << 20)

    for _ in range(9):
        reader.feed(bytearray(block))

    assert reader.is_hopeless


def test_transparent_dots_do_not_count_against_the_limit():
    octets = b"..\r\n" * 1000
    content, _, too_big = read(octets + b".\r\n", limit=3000)

    assert not too_big
    assert content == b".\r\n" * 1000


def judge(
    content: bytes, endings: LineEndings = LineEndings.DENY, size: int = 10_000, line: int = 10
):
    judged = judge_content(content, max_message_size_bytes=size, line_limit=line, endings=endings)
    return judged.content, judged.refusal


@pytest.mark.parametrize("content", [b"", b"a\r\n", b"0123456789\r\n", b"\r\n\r\n", b"no end"])
def test_good_content_is_left_alone(content):
    assert judge(content) == (content, None)


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"\r\r\n", b"\n", b"\r", b"a\n\r\n"])
def test_bare_line_ends_are_denied_fixed_or_kept(content):
    assert judge(content) == (b"", BAD_ENDINGS)
    assert judge(content, LineEndings.ALLOW) == (content, None)
    fixed, refusal = judge(content, LineEndings.FIX)
    assert refusal is None
    stripped = fixed.replace(b"\r\n", b"")
    assert b"\r" not in stripped and b"\n" not in stripped


@pytest.mark.parametrize(
    ("content", "endings", "only_crlf"),
    [
        (b"a\r\nb\r\n", LineEndings.DENY, True),
        (b"a\nb\r\n", LineEndings.FIX, True),
        (b"a\nb\r\n", LineEndings.ALLOW, False),
        (b"a\rb\r\n", LineEndings.ALLOW, False),
    ],
)
def test_content_with_bare_line_ends_is_known(content, endings, only_crlf):
    judged = judge_content(content, max_message_size_bytes=99, line_limit=9, endings=endings)

    assert judged.has_only_crlf is only_crlf


@given(wire)
def test_a_reader_knows_whether_a_line_began_with_a_dot(octets):
    octets += b"\r\n.\r\n"
    reader = DataReader(1000)
    reader.feed(bytearray(octets))
    content = reader.content()

    if reader.is_dotless:
        assert not content.startswith(b".")
        assert b"\r\n." not in content


@given(wire, st.lists(st.integers(0, 40), max_size=6), st.integers(0, 6))
def test_a_reader_that_drops_the_content_still_sees_the_end(octets, cuts, dropped_at):
    octets += b"\r\n.\r\nNOOP\r\n"
    reader, whole = DataReader(1000), DataReader(1000)
    marks = [0, *sorted(cuts), len(octets)]

    for index, (start, stop) in enumerate(zip(marks, marks[1:], strict=False)):
        rest = reader.feed(bytearray(octets[start:stop]))
        if rest is not None:
            rest += octets[stop:]
            break
        if index == dropped_at:
            reader.drop()

    assert rest == whole.feed(bytearray(octets))
    assert not reader.too_big


def test_a_reader_says_what_dropping_the_content_frees():
    reader = DataReader(100_000)
    reader.feed(bytearray(b"x" * 50_000))

    assert reader.drop() == 49_996
    reader.feed(bytearray(b"x" * 50_000))
    assert reader.drop() == 0
    assert reader.feed(bytearray(b"\r\n.\r\n")) == b""


def test_size_and_line_length_are_judged():
    assert judge(b"x" * 11) == (b"", LINE_TOO_LONG)
    assert judge(b"x" * 10, size=9) == (b"", TOO_BIG)
    assert judge(b"a\r\n" + b"x" * 11 + b"\r\n") == (b"", LINE_TOO_LONG)


@given(st.lists(st.integers(0, 25), max_size=20), st.integers(1, 20), st.booleans())
def test_a_long_line_is_found_wherever_it_stands(lengths, limit, ended):
    content = b"\r\n".join(b"x" * length for length in lengths) + (b"\r\n" if ended else b"")

    assert has_long_line(content, limit) == any(length > limit for length in lengths)


@given(wire, st.sampled_from(LineEndings))
def test_judging_any_octets_raises_nothing(octets, endings):
    content, refusal = judge(octets, endings)
    assert refusal is None or content == b""
