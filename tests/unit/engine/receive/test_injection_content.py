"""Messages built from the content of an injection."""

from __future__ import annotations

import base64
import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.receive.injection_content import (
    Attachment,
    ContentError,
    ContentObject,
    Mailbox,
    compile_content,
)
from engine.receive.template_dialect import TemplateDialect, TemplateError

JINJA = TemplateDialect.JINJA
VARIABLES = {"email": "r@y.example", "name": "Röb", "to_header": "r@y.example"}


def build(content, dialect=JINJA, **variables):
    raw = compile_content(content, dialect, lambda: 1_700_000_000.0)({**VARIABLES, **variables})
    assert raw.replace(b"\r\n", b"").count(b"\n") == 0
    assert raw.replace(b"\r\n", b"").count(b"\r") == 0
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    return raw


def parse(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


def shape(part):
    if part.is_multipart():
        return (part.get_content_subtype(), [shape(child) for child in part.iter_parts()])
    return part.get_content_type()


def test_a_text_alone_is_one_part():
    message = parse(build(ContentObject(text_body="Hi {{ name }}\nbye", subject="S {{ name }}")))

    assert shape(message) == "text/plain"
    assert message.get_content() == "Hi Röb\r\nbye"
    assert message["Subject"] == "S Röb"
    assert message["To"] == "r@y.example"
    assert message["Date"] == "Tue, 14 Nov 2023 22:13:20 -0000"
    assert message["Mime-Version"] == "1.0"
    assert "Message-ID" not in message


def test_everything_together_nests_in_the_known_order():
    content = ContentObject(
        text_body="t",
        html_body="<img src='cid:logo'>",
        amp_html_body="<amp>",
        attachments=[
            Attachment(data="x", content_type="text/plain", file_name="ü.txt"),
            Attachment(
                data=base64.b64encode(bytes(range(256))).decode(),
                content_type="image/png",
                content_id="logo",
                base64=True,
            ),
        ],
    )

    message = parse(build(content))

    assert shape(message) == (
        "mixed",
        [
            (
                "related",
                [("alternative", ["text/plain", "text/x-amp-html", "text/html"]), "image/png"],
            ),
            "text/plain",
        ],
    )
    parts = list(message.walk())
    assert parts[-2].get_content() == bytes(range(256))
    assert parts[-2]["Content-ID"] == "<logo>"
    assert parts[-1].get_filename() == "ü.txt"


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=500))
def test_any_text_comes_back(text):
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufdd0", "")
    raw = build(ContentObject(text_body=text), TemplateDialect.STATIC)

    part = email.message_from_bytes(raw)
    assert part.get_payload(decode=True).decode().replace("\r\n", "\n").rstrip("\n") == text.rstrip(
        "\n"
    )


@pytest.mark.parametrize(
    "body", ["a" * 5000, "ü" * 5000, "日本語" * 2000, "x\x00y", "trailing \n.\nFrom me\n"]
)
def test_hard_texts_come_back(body):
    part = email.message_from_bytes(build(ContentObject(text_body=body)))

    assert part.get_payload(decode=True).decode().replace("\r\n", "\n").rstrip("\n") == body.rstrip(
        "\n"
    )


def test_values_are_escaped_in_html_and_not_in_text():
    message = parse(build(ContentObject(text_body="{{ v }}", html_body="{{ v }}"), v="<b>"))

    text, html = message.iter_parts()
    assert text.get_content().strip() == "<b>"
    assert html.get_content().strip() == "&lt;b&gt;"


def test_headers_come_alphabetically_and_the_fields_of_the_request_win():
    content = ContentObject(
        text_body="t",
        headers={
            "X-B": "2",
            "X-A": "{{ name }}",
            "Subject": "no",
            "From": "no@x.example",
            "To": "me",
        },
        subject="yes",
        from_=Mailbox(email="{{ user }}@x.example", name="{{ brand }}"),
        reply_to=Mailbox(email="re@x.example"),
    )

    raw = build(content, user="news", brand="Äcme, Inc")
    message = parse(raw)

    assert raw.index(b"X-A:") < raw.index(b"X-B:")
    assert message.get_all("Subject") == ["yes"]
    assert len(message.get_all("To")) == 1
    (sender,) = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Äcme, Inc", "news@x.example")
    assert message["Reply-To"] == "re@x.example"


EVIL = "x\r\nBcc: victim@x.example\r\n\r\nnew body"


@pytest.mark.parametrize(
    "content",
    [
        ContentObject(text_body="t", subject="{{ v }}"),
        ContentObject(text_body="t", headers={"X-A": "{{ v }}"}),
        ContentObject(text_body="t", from_=Mailbox(email="a@x.example", name="{{ v }}")),
        "Subject: {{ v }}\nFrom: a@x.example\n\nbody",
        "Subject: {{ v ~ '' }}\n\nbody",
        "{% set s %}{{ v }}{% endset %}Subject: {{ s }}\n\nbody",
    ],
)
def test_a_value_makes_no_header_and_no_body(content):
    message = parse(build(content, v=EVIL))

    assert "Bcc" not in message
    assert message.get_content().strip() in ("t", "body")


def test_a_value_in_an_address_cannot_bring_its_own():
    content = ContentObject(text_body="t", from_=Mailbox(email="{{ v }}"))

    with pytest.raises(ValueError):
        build(content, v="a@b.example>, <c@d.example")


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (ContentObject(), "content"),
        (ContentObject(amp_html_body="x"), "content"),
        (ContentObject(text_body="{{ x"), "content.text_body"),
        (ContentObject(html_body="{% if %}"), "content.html_body"),
        (ContentObject(text_body="t", subject="{{"), "content.subject"),
        (ContentObject(text_body="t", headers={"X-A": "{{"}), "content.headers.X-A"),
        (ContentObject(text_body="t", headers={"X A": "v"}), "content.headers"),
        (ContentObject(text_body="t", headers={"Content-Type": "v"}), "content.headers"),
        (ContentObject(text_body="t", from_=Mailbox(email="a@b", name="{{")), "content.from.name"),
        (
            ContentObject(
                text_body="t", attachments=[Attachment(data="?", content_type="a/b", base64=True)]
            ),
            "content.attachments[0].data",
        ),
        (
            ContentObject(text_body="t", attachments=[Attachment(data="", content_type="x")]),
            "content.attachments[0].content_type",
        ),
        (
            ContentObject(
                text_body="t", attachments=[Attachment(data="", content_type="a/b\r\nX: y")]
            ),
            "content.attachments[0].content_type",
        ),
        ("{{ x", "content"),
    ],
)
def test_wrong_content_names_its_field(content, field):
    with pytest.raises(ContentError) as caught:
        compile_content(content, JINJA, lambda: 0.0)

    assert caught.value.field == field


def test_a_whole_message_gets_what_it_lacks_and_keeps_the_rest():
    raw = build("Subject: Grüße {{ name }}\nX-Long: a\n b\n\nHello\nthere\n")

    message = parse(raw)
    assert message["Subject"] == "Grüße Röb"
    assert b"X-Long: a\r\n b\r\n" in raw
    assert message["MIME-Version"] == "1.0"
    assert raw.endswith(b"\r\n\r\nHello\r\nthere\r\n")


def test_a_whole_message_beyond_ascii_is_encoded_part_by_part():
    binary = base64.encodebytes(bytes(range(256))).decode()
    raw = build(
        "Subject: s\nContent-Type: multipart/mixed; boundary=b\n\npreamble\n"
        "--b\n\nplain ü {{ v }}\n"
        "--b\nContent-Type: text/html; charset=iso-8859-1\n\n<p>ü</p>\n"
        f"--b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n{binary}\n"
        "--b--\nepilogue\n",
        v="two\nlines",
    )

    assert raw.isascii()
    plain, html, image = parse(raw).iter_parts()
    assert plain.get_content().rstrip() == "plain ü two\r\nlines"
    assert html.get_content().rstrip() == "<p>ü</p>"
    assert image.get_content() == bytes(range(256))


def test_long_lines_of_a_whole_message_are_encoded():
    raw = build("Subject: s\n\n" + "x" * 5000)

    assert parse(raw).get_content().strip() == "x" * 5000


@pytest.mark.parametrize("content", ["", "\n\n", "no header here\n\nbody", "Bad Name: x\n\nbody"])
def test_what_has_no_headers_is_no_message(content):
    with pytest.raises(ValueError):
        build(content)


def test_a_template_that_fails_for_one_recipient_says_so():
    with pytest.raises(TemplateError, match="Undefined"):
        build("Subject: {{ a.b.c }}\n\nx")
