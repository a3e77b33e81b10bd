"""Queries of URLs as declared types."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from multidict import MultiDict

from engine.base.http_call import HttpRefusalError
from engine.base.http_query import decode_query, is_list, wanted_metrics


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    limit: Annotated[int, msgspec.Meta(ge=0, le=100)] = 5
    want_body: bool = False
    tags: list[str] = []
    since: str | None = None


def test_values_get_their_types():
    given = MultiDict(
        [("name", "x"), ("limit", "7"), ("want_body", "1"), ("tags", "a"), ("tags", "b")]
    )

    assert decode_query(given, Wanted) == Wanted("x", 7, True, ["a", "b"])
    assert decode_query({"name": "y"}, Wanted) == Wanted("y")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ([], "name"),
        ([("name", "x"), ("name", "y")], "name"),
        ([("name", "x"), ("limit", "many")], "limit"),
        ([("name", "x"), ("limit", "101")], "limit"),
        ([("name", "x"), ("limit", "-1")], "limit"),
        ([("name", "x"), ("limit", "")], "limit"),
        ([("name", "x"), ("want_body", "maybe")], "want_body"),
        ([("name", "x"), ("nme", "x")], "nme"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_name(given, field):
    with pytest.raises(HttpRefusalError) as refused:
        decode_query(MultiDict(given), Wanted)

    assert (refused.value.status, refused.value.field) == (422, field)


def test_an_unknown_name_is_answered_with_the_closest():
    with pytest.raises(HttpRefusalError, match="did you mean 'limit'"):
        decode_query({"name": "x", "limits": "5"}, Wanted)


def test_lists_are_told_from_single_values():
    assert is_list(list[str]) and is_list(list[str] | None)
    assert not is_list(str | None) and not is_list(Annotated[int, msgspec.Meta(ge=0)])


def test_metrics_are_wanted_by_name_or_all_of_them():
    query = MultiDict([("names", "a,b,"), ("names", "c"), ("prefix", "p_")])

    assert wanted_metrics(query) == ("p_", ["a", "b", "c"])
    assert wanted_metrics(MultiDict()) == ("", [])
