"""New messages, as the library's own parser and any wire see them."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import mime_builder
from engine.model.mime_builder import (
    MessageBuilder,
    new_binary,
    new_html,
    new_multipart,
    new_text,
    new_text_plain,
)
from engine.model.mime_parse import parse
from engine.model.transfer_encoding import is_fit

TEXT = st.text(
    st.characters(
        blacklist_categories=["Cs"], blacklist_characters="\r\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e"
    ),
    max_size=150,
)
NAME = st.text(
    st.characters(whitelist_categories=["L", "N"], whitelist_characters='._-;"'),
    min_size=1,
    max_size=90,
)


def builder() -> MessageBuilder:
    return MessageBuilder(lambda: 1_700_000_000.0)


def read(octets: bytes):
    return email.message_from_bytes(octets, policy=email.policy.default)


def shape(message) -> object:
    if message.is_multipart() and message.get_content_maintype() == "multipart":
        return {message.get_content_subtype(): [shape(part) for part in message.iter_parts()]}
    return message.get_content_type()


@pytest.mark.slow
@given(
    TEXT,
    st.none() | TEXT,
    st.lists(st.tuples(NAME, st.binary(max_size=80), st.booleans()), max_size=3),
)
def test_what_is_built_reads_back_with_the_library(plain, html, files):
    made = builder()
    made.text_plain(plain)
    if html is not None:
        made.text_html(html)
    for name, data, inline in files:
        made.attach("application/x", data, file_name=name, inline=inline, content_id="c@x")

    octets = bytes(made.build())

    assert is_fit(octets)
    message = read(octets)
    found = [part for part in message.walk() if not part.is_multipart()]
    texts = [
        part.get_content().replace("\r\n", "\n")
        for part in found
        if part.get_content_maintype() == "text"
    ]
    assert texts == [plain, *([] if html is None else [html])]
    others = [part for part in found if part.get_content_maintype() == "application"]
    wanted = sorted(files, key=lambda file: not file[2])
    assert [part.get_content() for part in others] == [data for _, data, _ in wanted]
    assert [part.get_filename() for part in others] == [name for name, _, _ in wanted]
    assert [part["Content-ID"] for part in others] == ["<c@x>"] * len(files)
    again = parse(octets).get_simple_structure()
    assert [a.file_name for a in again.attachments] == [name for name, _, _ in wanted]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ("p", "text/plain"),
        ("h", "text/html"),
        ("ph", {"alternative": ["text/plain", "text/html"]}),
        ("pah", {"alternative": ["text/plain", "text/x-amp-html", "text/html"]}),
        ("pf", {"mixed": ["text/plain", "a/b"]}),
        ("hi", {"related": ["text/html", "a/b"]}),
        ("f", "a/b"),
        (
            "phif",
            {"mixed": [{"related": [{"alternative": ["text/plain", "text/html"]}, "a/b"]}, "a/b"]},
        ),
    ],
)
def test_levels_of_one_are_left_out(calls, expected):
    made = builder()
    for call in calls:
        {
            "p": lambda: made.text_plain("p"),
            "h": lambda: made.text_html("h"),
            "a": lambda: made.text_amp_html("a"),
            "f": lambda: made.attach("a/b", b"f"),
            "i": lambda: made.attach("a/b", b"i", inline=True),
        }[call]()

    message = read(bytes(made.build()))

    assert shape(message) == expected
    assert message["MIME-Version"] == "1.0"
    assert str(message["Date"]) == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert message["Message-ID"] is None


def test_amp_alone_and_nothing_are_refused():
    made = builder()
    with pytest.raises(ValueError, match="text or an attachment"):
        made.build()
    made.text_amp_html("a")
    with pytest.raises(ValueError, match="AMP"):
        made.build()


def test_stable_content_is_the_same_each_time_and_other_content_is_not():
    made = builder()
    made.text_plain("mixed-boundary-1")
    made.attach("a/b", b"x")
    made.set_stable_content(True)

    stable = bytes(made.build())
    assert bytes(made.build()) == stable
    assert len(parse(stable).parts) == 2
    made.set_stable_content(False)
    assert bytes(made.build()) != bytes(made.build())


def test_a_part_and_a_text_are_attached():
    made = builder()
    made.text_plain("x")
    made.attach_part(new_binary("message/rfc822", b"Subject: in\r\n\r\n\xfc"))
    made.attach("text/csv", "ü,1\n", file_name="a.csv")

    root = parse(bytes(made.build()))

    assert root.parts[1].body == b"Subject: in\r\n\r\n\xfc"
    assert root.parts[1].headers.content_transfer_encoding() == "8bit"
    assert root.parts[2].body == "ü,1\r\n"
    with pytest.raises(TypeError):
        made.attach_part("x")


def test_a_charset_that_is_asked_for_is_kept():
    part = new_text("text/plain; charset=iso-8859-1; format=flowed", "ü")

    assert part.headers.content_type().parameters == {"charset": "iso-8859-1", "format": "flowed"}
    assert parse(bytes(part)).body == "ü"
    assert parse(bytes(new_html("<p>"))).headers.content_transfer_encoding() == "7bit"


def test_octets_of_a_text_file_are_kept():
    part = parse(bytes(new_binary("text/plain; charset=utf-8", b"a\nb\r", file_name="x")))

    assert part.body == "a\nb\r"


def test_a_multipart_is_made_of_parts():
    made = new_multipart("multipart/mixed; x=y", [new_text_plain("a"), new_text_plain("b")], "b1")

    assert made.headers.content_type().parameters == {"x": "y", "boundary": "b1"}
    assert [part.body for part in parse(bytes(made)).parts] == ["a", "b"]
    assert [part.id for part in made.parts] == ["0.1", "0.2"]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: new_text("image/png", "x"), ValueError),
        (lambda: new_text("nonsense/", "x"), ValueError),
        (lambda: new_text("text/plain", b"x"), TypeError),
        (lambda: new_binary("a/b", "x"), TypeError),
        (lambda: new_binary("multipart/mixed", b"x"), ValueError),
        (lambda: new_binary("a/b", b"x", content_id="a b"), ValueError),
        (lambda: new_multipart("text/plain", []), ValueError),
        (lambda: new_multipart("multipart/mixed", [], "ü"), ValueError),
        (lambda: new_multipart("multipart/mixed", [], "b" * 71), ValueError),
        (lambda: new_multipart("multipart/mixed", ["x"]), TypeError),
    ],
)
def test_what_makes_no_part_is_refused(make, error):
    with pytest.raises(error):
        make()


def test_scripts_get_these_functions():
    names = mime_builder.make_namespace(lambda: 0.0)
    assert set(names) == {
        "builder",
        "new_binary",
        "new_html",
        "new_multipart",
        "new_text",
        "new_text_plain",
        "parse",
    }
    assert isinstance(names["builder"](), MessageBuilder)
