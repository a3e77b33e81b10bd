"""Messages into trees: every octet kept, hostile ones refused with ValueError only."""

from __future__ import annotations

import email

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.mime_parse import parse

PIECES = [
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: multipart/alternative; boundary=c\n",
    b'Content-Type: multipart/digest; boundary="b"\r\n',
    b"Content-Type: text/plain; charset=utf-8\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"\r\n",
    b"\n",
    b"--b\r\n",
    b"--b\n",
    b"--b--\r\n",
    b"--b--",
    b"--b  \t\r\n",
    b"--c\r\n",
    b"--c--\r\n",
    b"--bc\r\n",
    b"hello\r\n",
    b"w\xf6rld",
    b" folded: x\r\n",
    b"\x00\r",
]


@given(st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join))
def test_octets_are_kept(content):
    root = parse(content)

    assert bytes(root) == content
    assert str(root).encode("utf-8", "surrogateescape") == content
    for part in root._walk():
        assert isinstance(part.body, str | bytes)
        assert bytes(parse(bytes(part))) == bytes(part)


NESTED = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n"
    b"--b\r\nContent-Type: multipart/alternative; boundary=b1\r\n\r\n"
    b"--b1\r\n\r\none\r\n--b1 \r\nContent-Type: text/html\r\n\r\ntwo\r\n--b1--\r\n"
    b"\r\n--b\r\nno header\r\n\r\nthree\r\n--b--\r\nepilogue"
)


def test_parts_are_found_and_named_by_place():
    root = parse(NESTED)

    assert [(part.id, part._type.value) for part in root._walk()] == [
        ("0", "multipart/mixed"),
        ("0.1", "multipart/alternative"),
        ("0.1.1", "text/plain"),
        ("0.1.2", "text/html"),
        ("0.2", "text/plain"),
    ]
    assert [part.body for part in root.parts[0].parts] == ["one", "two"]
    assert root.parts[1].body == "no header\r\n\r\nthree"


def test_leaves_are_those_of_the_library():
    theirs = [part.get_payload() for part in email.message_from_bytes(NESTED).walk()]
    ours = [part.body for part in parse(NESTED)._walk()]

    assert ours[2:] == [text for text in theirs if isinstance(text, str)]


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (b"--b\r\n\r\nopen", ["open"]),
        (b"--b\r\n\r\na\r\n--b\r\n\r\nb", ["a", "b"]),
        (b"--b--\r\n", []),
        (b"none", []),
        (b"--b\r\n--b\r\n--b--", ["", ""]),
        (b"x --b\r\n--b\r\n\r\n--bx\r\n--b --\r\n--b--", ["--bx\r\n--b --"]),
        (b"--b\n\none\n--b--\n", ["one"]),
    ],
)
def test_odd_multiparts(body, texts):
    content = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body

    root = parse(content)

    assert [part.body for part in root.parts] == texts
    assert bytes(root) == content


def test_a_multipart_without_a_boundary_has_no_parts():
    root = parse(b"Content-Type: multipart/mixed\r\n\r\n--\r\n\r\nx\r\n----\r\n")

    assert root.parts == []


def test_parts_of_a_digest_are_messages():
    root = parse(
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\n--b--"
    )

    assert root.parts[0].body == b"Subject: x\r\n"


def nested(depth: int) -> bytes:
    head = [
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i)
        for i in range(depth)
    ]
    return b"".join(head) + b"\r\nx"


def test_depth_is_bounded():
    assert len(list(parse(nested(100))._walk())) == 101
    with pytest.raises(ValueError, match="deeper"):
        parse(nested(101))


def test_the_number_of_parts_is_bounded():
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    assert len(parse(head + b"--b\r\n" * 9_999).parts) == 9_999
    with pytest.raises(ValueError, match="parts"):
        parse(head + b"--b\r\n" * 10_000)


def test_lines_that_are_nearly_boundaries_are_bounded():
    with pytest.raises(ValueError, match="boundary"):
        parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--bx\n" * 200_001)


@pytest.mark.slow
def test_work_is_bounded():
    with pytest.raises(ValueError, match="size"):
        parse(nested(90) + b"y" * (4 << 20))


def test_text_is_parsed_too_and_nothing_else():
    assert bytes(parse("a: b\r\n\r\n\u00fc")) == "a: b\r\n\r\n\u00fc".encode()
    with pytest.raises(TypeError):
        parse(7)
