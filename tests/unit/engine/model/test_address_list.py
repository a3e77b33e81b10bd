"""Addresses of header fields: what people and programs write, read and written."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.address_list import (
    AddrSpec,
    Group,
    Mailbox,
    flatten,
    format_address_list,
    parse_address_list,
    parse_mailbox_list,
    strip_comments,
    to_addresses,
)
from engine.model.header_encoding import fold_field


def box(name: str, local: str, domain: str) -> Mailbox:
    return Mailbox(name, AddrSpec(local, domain))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a@b.test", [box("", "a", "b.test")]),
        ("Jo Doe <a@b.test>", [box("Jo Doe", "a", "b.test")]),
        ('"Doe, Jo" <a@b.test>, c@d.test', [box("Doe, Jo", "a", "b.test"), box("", "c", "d.test")]),
        ('"J \\"Q\\"" <a@b.test>', [box('J "Q"', "a", "b.test")]),
        ("=?utf-8?Q?J=C3=BC,_X?= <a@b.test>", [box("Jü, X", "a", "b.test")]),
        ("=?utf-8?B?SsO8?=\r\n =?utf-8?B?cmc=?= <a@b.test>", [box("Jürg", "a", "b.test")]),
        ("a@b.test (Jo)", [box("", "a", "b.test")]),
        ("(x(y)) Jo (z) <a@b.test>", [box("Jo", "a", "b.test")]),
        ('"odd one"@b.test', [box("", "odd one", "b.test")]),
        ("a@[127.0.0.1]", [box("", "a", "[127.0.0.1]")]),
        ("<@r.test,@s.test:a@b.test>", [box("", "a", "b.test")]),
        ("a . b @ c . test", [box("", "a.b", "c.test")]),
        ("John Q. Public <a@b.test>", [box("John Q. Public", "a", "b.test")]),
        ("ü@bücher.test", [box("", "ü", "bücher.test")]),
        ("Nobody <>", [box("Nobody", "", "")]),
        (", ,a@b.test,,", [box("", "a", "b.test")]),
        ("", []),
        ("undisclosed-recipients:;", [Group("undisclosed-recipients", ())]),
        (
            "Team: a@b.test, C <c@d.test>;, e@f.test",
            [
                Group("Team", (box("", "a", "b.test"), box("C", "c", "d.test"))),
                box("", "e", "f.test"),
            ],
        ),
    ],
)
def test_addresses_are_read(text, found):
    assert parse_address_list(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "nobody",
        "a@",
        "@b.test",
        "<a>",
        "a@b.test c@d.test",
        "a@b.test <c@d.test>",
        '"open <a@b.test>',
        "a@b.test (open",
        "<a@b.test",
        "<a@b.test> x",
        "T: a@b.test; x",
        "a b@c.test",
        "(" * 60,
        "a)b",
        "x" * 300_000,
        ",".join(["a@b"] * 10_001),
    ],
)
def test_what_is_no_list_of_addresses(text):
    with pytest.raises(ValueError):
        parse_address_list(text)


def test_a_group_is_no_mailbox():
    with pytest.raises(ValueError, match="group"):
        parse_mailbox_list("T: a@b.test;")
    assert flatten(parse_address_list("T: a@b.test;, c@d.test")) == parse_mailbox_list(
        "a@b.test, c@d.test"
    )


@given(st.text(st.sampled_from('ab@<>,;:"\\()[]. \r\n=?'), max_size=60) | st.text(max_size=60))
def test_nothing_but_value_error_comes_of_any_text(text):
    try:
        found = parse_address_list(text)
    except ValueError:
        return
    assert isinstance(found, list)


NAMES = st.text(
    st.characters(
        blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Cn", "Cf"], whitelist_characters=" "
    ),
    max_size=80,
)


@pytest.mark.slow
@given(st.lists(NAMES, min_size=1, max_size=4))
def test_what_is_written_is_read_again(names):
    given_ = [box(" ".join(name.split()), f"u{i}", "x.test") for i, name in enumerate(names)]

    field = fold_field("To", format_address_list(given_))

    value = field.partition(b":")[2].decode().replace("\r\n", "")
    assert parse_address_list(value) == given_
    parsed = email.message_from_bytes(field + b"\r\n", policy=email.policy.default)
    assert [a.addr_spec for a in parsed["To"].addresses] == [m.address.email for m in given_]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("A B <a@b.test>", "A B <a@b.test>"),
        ({"name": "A, B", "address": {"local_part": "a", "domain": "b.test"}}, '"A, B" <a@b.test>'),
        ({"email": "a@b.test"}, "a@b.test"),
        (["a@b.test", box("C", "c", "d.test")], "a@b.test, C <c@d.test>"),
        (Group("T", (box("", "a", "b.test"),)), "T: a@b.test;"),
        ({"name": "T", "entries": ["a@b.test"]}, "T: a@b.test;"),
        (box("", "odd one", "b.test"), '"odd one"@b.test'),
    ],
)
def test_addresses_are_given_in_many_forms(value, text):
    assert format_address_list(value) == text


@pytest.mark.parametrize("value", [7, None, [["a@b.test"]], {"name": 5}, {"name": "x"}])
def test_what_is_no_address_is_a_type_error(value):
    with pytest.raises(TypeError):
        to_addresses(value)


@pytest.mark.parametrize("value", ["nobody", {"email": ""}, box("x", "", "")])
def test_what_has_no_address_is_a_value_error(value):
    with pytest.raises(ValueError):
        format_address_list(value)


def test_texts_of_addresses():
    assert str(box("A B", "a", "b.test")) == "A B <a@b.test>"
    assert str(parse_address_list("T: a@b.test;")[0]) == "T: a@b.test;"
    assert AddrSpec("a", "not a domain").email == "a@not a domain"


def test_comments_are_taken_out_and_quotes_stay():
    assert strip_comments('a (b (c)) "d (e)" f') == 'a "d (e)" f'
    for open_one in ("a (b", '("', '("" "'):
        with pytest.raises(ValueError):
            strip_comments(open_one)
