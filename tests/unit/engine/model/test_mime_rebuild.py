"""Rebuilt trees go over any wire and say the same."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.model.mime_parse import parse
from engine.model.mime_rebuild import make_settings
from engine.model.transfer_encoding import is_fit

FIT = (
    b"Subject: =?utf-8?q?=C3=BC?=\r\nContent-Type: multipart/mixed;\r\n boundary=b\r\n\r\n"
    b"--b\r\n\r\nplain\r\n--b\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"AAE=\r\n\r\n--b--\r\n"
)
PIECES = [
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: text/plain; charset=iso-8859-1\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Type: a/b; name=\xc3\xbc\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\n",
    b"Content-Transfer-Encoding: 8bit\n",
    b"To: \xfc <a@b.test>\r\n",
    b"X-Y : z\r\n",
    b"junk\r\n",
    b"\r\n",
    b"\n",
    b"--b\r\n",
    b"--b--\r\n",
    b"hello=\xfc \x00\r",
    b"y" * 1200,
]


def test_what_is_fit_stays_octet_for_octet():
    root = parse(FIT)
    made = root.rebuild()

    assert bytes(made) == FIT
    assert made is not root


@example(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 2)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join) | st.binary(max_size=200))
def test_what_is_rebuilt_is_fit_for_any_wire(content):
    root = parse(content)

    made = bytes(root.rebuild())

    again = parse(made)
    assert bytes(root) == content
    assert bytes(again.rebuild()) == made
    for part in again._walk():
        is_opaque = part._type.value.startswith(("message/", "multipart/"))
        if not is_opaque:
            assert is_fit(part._content)
        assert is_fit(bytes(part.headers))


@pytest.mark.parametrize(
    ("part", "body"),
    [
        (b"\r\n\xc3\xbc", "ü"),
        (b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n\xfc", "ü"),
        (b"Content-Type: text/plain\r\n\r\n" + b"x" * 1500, "x" * 1500),
        (b"\r\na\x00b", "a\x00b"),
        (b"\na\nb\r", "a\r\nb\r\n"),
        (b"Content-Type: a/b\r\n\r\n\xff\n\r", b"\xff\n\r"),
        (b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n/w==\n/w==", None),
        (b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=\nb\n", "ab\r\n"),
    ],
)
def test_bodies_say_the_same(part, body):
    made = parse(bytes(parse(part).rebuild()))

    assert made.body == (parse(part).body if body is None else body)


def test_an_unlabelled_text_is_guessed_when_asked_for():
    content = b"Subject: \xfc\r\n\r\n\xfc"

    lossy = parse(bytes(parse(content).rebuild()))
    guessed = parse(bytes(parse(content).rebuild({"detect_encoding": True})))
    chosen = parse(
        bytes(parse(content).rebuild({"detect_encoding": True, "include_encodings": ["cp1251"]}))
    )

    assert (lossy.body, lossy.headers.subject()) == ("\ufffd", "\ufffd")
    assert (guessed.body, guessed.headers.subject()) == ("ü", "ü")
    assert (chosen.body, chosen.headers.subject()) == ("ь", "ь")


@pytest.mark.parametrize(
    "settings",
    [
        {"detect": True},
        {"detect_encoding": "yes"},
        {"include_encodings": ["nope"]},
        {"include_encodings": "utf-8"},
    ],
)
def test_settings_are_checked(settings):
    with pytest.raises(ValueError):
        make_settings(settings)


def test_headers_are_put_right():
    content = (
        "X-A : 1\r\nX-B\r\nno field here\r\nTo: Jörg <a@b.test>\r\nX-C: c\nX-Long: ".encode()
        + b"w " * 600
        + b'\r\nContent-Disposition: attachment; filename="\xc3\xbc.txt"\r\n\r\nx'
    )

    made = parse(bytes(parse(content).rebuild()))

    assert [field.name for field in made.headers][:5] == ["X-A", "X-B", "To", "X-C", "X-Long"]
    assert made.headers.to()[0].name == "Jörg"
    assert made.headers.content_disposition().parameters == {"filename": "ü.txt"}
    assert bytes(made).startswith(b"X-A: 1\r\nX-B:\r\nTo: ")


def test_a_message_inside_is_rebuilt_and_not_encoded():
    content = (
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b"Subject: x\r\n\r\n\xc3\xbc"
    )

    made = parse(bytes(parse(content).rebuild()))

    assert made.headers.content_transfer_encoding() == "7bit"
    assert parse(made.body).body == "ü"


def test_messages_inside_messages_are_bounded():
    content = b"Content-Type: message/rfc822\r\n\r\n" * 50 + b"Subject: x\r\n\r\n\xfc"

    assert len(bytes(parse(content).rebuild())) >= len(content)


def test_a_multipart_is_closed_and_its_own_encoding_goes():
    content = (
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"\xfcpre\r\n--b\r\n\r\nopen"
    )

    made = bytes(parse(content).rebuild())

    assert made == (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nopen\r\n--b--\r\n"
    )
