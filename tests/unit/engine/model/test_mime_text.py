"""Text is added where a reader sees it, and nowhere else."""

from __future__ import annotations

import pytest

from engine.model.mime_parse import parse
from engine.model.mime_text import append_text_html, append_text_plain

BOTH = (
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n"
    b"--b\r\n\r\nplain\r\n--b\r\nContent-Type: text/html\r\n\r\n%s\r\n--b--\r\n"
)


def test_plain_text_goes_behind_the_first():
    root = parse(BOTH % b"<p>")

    assert append_text_plain(root, "\nmore")

    assert bytes(root) == (BOTH % b"<p>").replace(b"plain", b"plain\r\nmore")


@pytest.mark.parametrize(
    ("html", "changed"),
    [
        (b"<body>a</body></html>", b"<body>a<b></body></html>"),
        (b"<BODY>a</BODY>", b"<BODY>a<b></BODY>"),
        (b"</body>a</body >b", b"</body>a<b></body >b"),
        (b"<p>a", b"<p>a<b>"),
    ],
)
def test_html_goes_before_the_last_end_of_the_body(html, changed):
    root = parse(BOTH % html)

    assert append_text_html(root, "<b>")

    assert bytes(root) == BOTH % changed


def test_there_may_be_no_such_part():
    content = b"Content-Type: text/x\r\n\r\nx"
    root = parse(content)

    assert not append_text_plain(root, "a")
    assert not append_text_html(root, "a")
    assert bytes(root) == content
