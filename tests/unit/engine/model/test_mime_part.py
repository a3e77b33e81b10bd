"""One part is changed, all others keep their octets."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.mime_builder import new_binary, new_multipart, new_text_plain
from engine.model.mime_parse import parse

MESSAGE = (
    b"Subject: x\r\nX-Odd :  folded\r\n\tvalue\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\npreamble\r\n'
    b"--b\r\nContent-type: TEXT/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe\r\n"
    b"--b  \r\nContent-Type: text/html; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>=C3=BC</p>\r\n"
    b"--b\r\nContent-Type: image/png; name=p.png\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-ID: <i@x>\r\n\r\nAAEC\r\n"
    b"--b\r\nContent-Type: text/plain\r\n"
    b'Content-Disposition: attachment; filename="a.txt"\r\n\r\nfile\r\n'
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nhi\r\n"
    b"--b--\r\nepilogue\r\n"
)


def texts(content: bytes) -> list[str]:
    message = email.message_from_bytes(content, policy=email.policy.default)
    return [p.get_content() for p in message.walk() if p.get_content_maintype() == "text"]


def test_bodies_are_decoded():
    bodies = [part.body for part in parse(MESSAGE).parts]

    assert bodies == ["Grüße", "<p>ü</p>", b"\x00\x01\x02", "file", b"Subject: inner\r\n\r\nhi"]


@pytest.mark.parametrize(
    ("head", "body", "decoded"),
    [
        (b"Content-Type: text/plain; charset=nope\r\n", "ü".encode(), "ü"),
        (b"", b"\xff", "\ufffd"),
        (b"Content-Transfer-Encoding: BASE64 (x)\r\n", b"YQ\r\n=", "a"),
        (b"Content-Transfer-Encoding: base64\r\n", b"YWJjZ", "abc"),
        (b"Content-Transfer-Encoding: base64\r\n", b"!!", ""),
        (b"Content-Transfer-Encoding: quoted-printable\r\n", b"a=\r\nb=ZZ", "ab=ZZ"),
        (b"Content-Transfer-Encoding: x-unknown\r\n", b"a", "a"),
        (b"Content-Transfer-Encoding: (open\r\n", b"a", "a"),
        (b"Content-Type: nonsense\r\n", b"a", b"a"),
        (b"Content-Type: application/x\r\n", b"a", b"a"),
    ],
)
def test_odd_bodies_are_decoded_as_well_as_can_be(head, body, decoded):
    assert parse(head + b"\r\n" + body).body == decoded


@given(st.integers(0, 2), st.text(st.characters(blacklist_categories=["Cs"]), max_size=200))
def test_a_body_that_is_set_is_read_and_the_others_keep_their_octets(index, text):
    root = parse(MESSAGE)
    before = [bytes(part) for part in root.parts]
    part = root.parts[index]

    part.body = text if index < 2 else text.encode()

    again = parse(bytes(root))
    after = [bytes(part) for part in again.parts]
    assert [b for i, b in enumerate(after) if i != index] == [
        b for i, b in enumerate(before) if i != index
    ]
    got = again.parts[index].body
    if index == 2:
        assert got == text.encode()
    else:
        assert got.replace("\r\n", "\n") == text.replace("\r\n", "\n").replace("\r", "\n")
    head, tail = MESSAGE.split(b"--b\r\n")[0], b"--b--\r\nepilogue\r\n"
    assert bytes(again).startswith(head) and bytes(again).endswith(tail)


@given(st.text(st.sampled_from("-b \r\n=xü"), max_size=40))
def test_no_text_ends_the_part_it_stands_in(text):
    root = parse(MESSAGE)

    root.parts[0].body = f"--b\n{text}\n--b--"
    root.parts[1].body = f"--b\n{text}\n--b--"

    assert len(parse(bytes(root)).parts) == 5


def test_setting_keeps_charset_and_encoding_where_they_do():
    root = parse(MESSAGE)
    plain, html, image = root.parts[:3]

    plain.body = "so süß ist das"
    html.body = "<p>plain</p>"
    image.body = b"\xff"

    assert plain.headers.content_type().parameters == {"charset": "iso-8859-1"}
    assert plain.headers.content_transfer_encoding() == "quoted-printable"
    assert b"so s=FC=DF ist" in bytes(plain)
    assert html.headers.content_transfer_encoding() == "quoted-printable"
    assert bytes(image).endswith(b"\r\n\r\n/w==\r\n")
    plain.body = "\u20ac"
    assert plain.headers.content_type().parameters == {"charset": "utf-8"}


def test_a_body_wants_its_own_type():
    root = parse(MESSAGE)

    for part, value in ((root.parts[0], b"x"), (root.parts[2], "x"), (root.parts[0], 5)):
        with pytest.raises(TypeError):
            part.body = value
    with pytest.raises(ValueError, match="multipart"):
        root.body = "x"


def test_a_body_is_replaced_together_with_its_type():
    root = parse(MESSAGE)

    root.parts[0].replace_body(b"\x00", "application/x")
    root.parts[2].replace_body("text", "text/x")
    root.parts[3].replace_body("other")

    again = parse(bytes(root))
    assert [part.body for part in again.parts[:4]] == [b"\x00", "<p>ü</p>", "text", "other"]
    root.replace_body("all", "text/plain")
    assert parse(bytes(root)).body == "all"
    assert root.parts == []


@pytest.mark.parametrize(
    ("content", "media", "error"),
    [
        ("x", None, ValueError),
        (b"x", "text/plain", TypeError),
        ("x", "image/png", TypeError),
        ("x", "multipart/mixed", ValueError),
        ("x", "", ValueError),
    ],
)
def test_a_body_and_a_type_that_do_not_fit_are_refused(content, media, error):
    root = parse(MESSAGE)

    with pytest.raises(error):
        root.replace_body(content, media)
    assert bytes(root) == MESSAGE


def test_a_part_is_appended_as_a_copy():
    root = parse(MESSAGE)
    part = new_text_plain("seven")

    root.append_part(part)
    part.body = "changed"

    again = parse(bytes(root))
    assert [p.body for p in again.parts][-1] == "seven"
    assert root.parts[-1].id == "0.6"
    assert bytes(again).startswith(MESSAGE.partition(b"\r\n--b--")[0])
    assert bytes(again).endswith(b"\r\n--b--\r\nepilogue\r\n")


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nopen",
    ],
)
def test_appending_works_whatever_the_multipart_is_like(content):
    root = parse(content)
    count = len(root.parts)

    root.append_part(new_text_plain("a"))
    root.append_part(new_text_plain("b"))

    assert [p.body for p in parse(bytes(root)).parts][count:] == ["a", "b"]


@pytest.mark.slow
def test_a_tree_grows_within_bounds():
    root = new_multipart("multipart/mixed", [new_binary("a/b", b"x" * (1 << 20))], "b0")
    with pytest.raises(ValueError, match="boundary"):
        root.append_part(root)
    deep = new_text_plain("x")
    with pytest.raises(ValueError, match="deeper"):
        for number in range(102):
            deep = new_multipart("multipart/mixed", [deep], f"x{number}")
    with pytest.raises(ValueError, match="MiB"):
        for _ in range(200):
            root.append_part(root.parts[0])
    many = new_multipart("multipart/mixed", [])
    with pytest.raises(ValueError, match="parts"):
        for _ in range(10_001):
            many.append_part(new_text_plain(""))


def test_only_a_multipart_takes_parts():
    with pytest.raises(ValueError, match="no multipart"):
        new_text_plain("x").append_part(new_text_plain("y"))
    with pytest.raises(TypeError):
        parse(MESSAGE).append_part("x")


def test_the_simple_structure_tells_texts_from_attachments():
    found = parse(MESSAGE).get_simple_structure()

    assert found.text_part.body == "Grüße"
    assert found.html_part.body == "<p>ü</p>"
    assert (found.amp_html_part, found.header_part) == (None, None)
    assert [
        (a.file_name, a.inline, a.content_id, a.content_type, a.part.id) for a in found.attachments
    ] == [
        ("p.png", True, "i@x", "image/png", "0.3"),
        ("a.txt", False, None, "text/plain", "0.4"),
        (None, False, None, "message/rfc822", "0.5"),
    ]
    found.text_part.body = "new"
    assert texts(bytes(found.text_part)) == ["new"]


def test_a_header_set_on_a_part_without_any_leaves_its_body():
    root = parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nhello\r\n--b--")

    root.parts[0].headers.append("X-A", "1")

    assert parse(bytes(root)).parts[0].body == "hello"
    assert b"--b\r\nX-A: 1\r\n\r\nhello\r\n--b--" in bytes(root)


def test_shown_as_text():
    root = parse(MESSAGE)
    assert repr(root) == "<MimePart 0 multipart/mixed>"
    assert str(root).encode("utf-8", "surrogateescape") == MESSAGE
