"""What is wrong with a message is found by name, and put right when asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.conformance import LABELS, Origin, find_issues, fix_content, parse_labels
from engine.model.mime_parse import parse
from engine.model.mime_rebuild import RebuildSettings

GOOD = b"Date: x\r\nMessage-ID: <1@x>\r\nMIME-Version: 1.0 (x)\r\n\r\nbody\r\n"
ORIGIN = Origin(1_700_000_000.0, "id@x.test")


@pytest.mark.parametrize(
    ("content", "issues"),
    [
        (GOOD, []),
        (b"junk\r\n" + GOOD, ["MISSING_COLON_VALUE"]),
        (GOOD + b"a\nb", ["NON_CANONICAL_LINE_ENDINGS"]),
        (GOOD + b"a\rb", ["NON_CANONICAL_LINE_ENDINGS"]),
        (b"X : y\r\n" + GOOD, ["NAME_ENDS_WITH_SPACE"]),
        (GOOD + b"x" * 998, []),
        (GOOD + b"x" * 999, ["LINE_TOO_LONG"]),
        (GOOD + b"\xfc", ["NEEDS_TRANSFER_ENCODING"]),
        (b"Content-Transfer-Encoding: 8bit\r\n" + GOOD + b"\xfc", []),
        (b"Content-Transfer-Encoding: base64\r\n" + GOOD + b"\xfc", ["NEEDS_TRANSFER_ENCODING"]),
        (b"Subject: \xfc\r\n" + GOOD, ["NEEDS_TRANSFER_ENCODING"]),
        (GOOD.replace(b"1.0 (x)", b"2.0"), ["MISSING_MIME_VERSION"]),
        (
            b"\r\n",
            ["MISSING_DATE_HEADER", "MISSING_MESSAGE_ID_HEADER", "MISSING_MIME_VERSION"],
        ),
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n"
            + GOOD
            + b"--b\r\nX : \xfc\r\n\r\n\r\n",
            ["NAME_ENDS_WITH_SPACE", "NEEDS_TRANSFER_ENCODING"],
        ),
    ],
)
def test_issues_are_found_and_fixed(content, issues):
    assert find_issues(content) == issues

    fixed = fix_content(content, issues, ORIGIN, RebuildSettings())

    assert find_issues(fixed) == []
    if not issues:
        assert fixed == content


@given(st.binary(max_size=200))
def test_all_issues_of_any_octets_can_be_fixed(content):
    fixed = fix_content(content, LABELS, ORIGIN, RebuildSettings())

    assert find_issues(fixed) == []


def test_missing_fields_are_made_from_the_message_itself():
    fixed = parse(fix_content(b"MIME-Version: 2\r\n\r\nx", LABELS, ORIGIN, RebuildSettings()))

    assert [(field.name, field.unstructured) for field in fixed.headers] == [
        ("Date", "Tue, 14 Nov 2023 22:13:20 +0000"),
        ("Message-ID", "<id@x.test>"),
        ("MIME-Version", "1.0"),
    ]


def test_only_what_is_asked_for_is_fixed():
    fixed = fix_content(
        b"Subject: \xfc\r\n\r\nx", ["MISSING_DATE_HEADER"], ORIGIN, RebuildSettings()
    )

    assert fixed.startswith(b"Subject: \xfc\r\nDate: ")


def test_labels_are_joined_by_bars():
    assert parse_labels("") == frozenset()
    assert parse_labels("line_too_long | MISSING_DATE_HEADER|") == {
        "LINE_TOO_LONG",
        "MISSING_DATE_HEADER",
    }
    with pytest.raises(ValueError, match="did you mean MISSING_DATE_HEADER"):
        parse_labels("MISSING_DATE")
    with pytest.raises(TypeError):
        parse_labels(None)
