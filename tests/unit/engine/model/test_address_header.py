"""Addresses of a field, asked for as one or as a list."""

from __future__ import annotations

import pytest

from engine.model.address_header import AddressEntry, parse_address_header


def test_the_only_address_is_asked_for_as_one():
    found = parse_address_header("From", '=?utf-8?q?J=C3=BC?= <"odd one"@B.Test>')

    assert (found.user, found.domain, found.email, found.name) == (
        "odd one",
        "b.test",
        '"odd one"@B.Test',
        "Jü",
    )
    assert str(found) == '"odd one"@B.Test'


def test_several_are_a_list_and_groups_are_opened():
    found = parse_address_header("To", "a@b.test, T: C <c@d.test>;")

    assert found.list == [
        AddressEntry("a", "b.test", "a@b.test", None),
        AddressEntry("c", "d.test", "c@d.test", "C"),
    ]
    assert str(found.list[0]) == "a@b.test"


@pytest.mark.parametrize("value", ["", "a@b.test, c@d.test", "none:;"])
@pytest.mark.parametrize("member", ["user", "domain", "email", "name"])
def test_one_of_none_or_several_is_an_error(value, member):
    with pytest.raises(ValueError, match="From holds"):
        getattr(parse_address_header("From", value), member)


def test_what_is_no_list_names_its_field():
    with pytest.raises(ValueError, match="From: no address"):
        parse_address_header("From", "nobody")
