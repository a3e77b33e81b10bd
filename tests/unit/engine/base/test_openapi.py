"""The description of an API."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from engine.base.http_call import Access, Route
from engine.base.openapi import build_openapi


class Wish(msgspec.Struct):
    """A wish.

    Attributes:
        name: What is wished.
        gone: No field any more.
    """

    name: str


class Order(enum.StrEnum):
    NAME = "name"
    SIZE = "size"


class Search(msgspec.Struct):
    """A search.

    Attributes:
        limit: How many.
    """

    name: str
    limit: Annotated[int, msgspec.Meta(ge=0, le=9)] | None = None
    tags: list[str] = []
    is_exact: bool = False
    order: Order = Order.NAME


async def nothing(_call):
    return None


def test_every_route_is_described_with_its_schemas():
    routes = [
        Route("POST", "/a/{id}", nothing, Access.ADMIN, Wish, list[Wish], "Do a."),
        Route("GET", "/a/{id}", nothing, Access.ANY),
    ]

    document = build_openapi(routes, "T", "1")

    path = document["paths"]["/a/{id}"]
    assert set(path) == {"post", "get"}
    assert path["post"]["summary"] == "Do a."
    assert path["post"]["parameters"][0]["name"] == "id"
    assert set(document["components"]["schemas"]) == {"ErrorAnswer", "Wish"}
    wish = document["components"]["schemas"]["Wish"]
    assert wish["description"] == "A wish."
    assert wish["properties"] == {"name": {"type": "string", "description": "What is wished."}}


def test_a_query_is_described_parameter_by_parameter():
    routes = [Route("GET", "/s", nothing, Access.ADMIN, None, str, "Search.", Search)]

    described = build_openapi(routes, "T", "1")["paths"]["/s"]["get"]

    assert described["parameters"] == [
        {"name": "name", "in": "query", "required": True, "schema": {"type": "string"}},
        {
            "name": "limit",
            "in": "query",
            "required": False,
            "schema": {"type": "integer", "minimum": 0, "maximum": 9},
            "description": "How many.",
        },
        {
            "name": "tags",
            "in": "query",
            "required": False,
            "schema": {"type": "array", "items": {"type": "string"}, "default": []},
        },
        {
            "name": "is_exact",
            "in": "query",
            "required": False,
            "schema": {"type": "boolean", "default": False},
        },
        {
            "name": "order",
            "in": "query",
            "required": False,
            "schema": {"type": "string", "enum": ["name", "size"], "default": "name"},
        },
    ]
    assert described["responses"]["200"]["content"] == {
        "text/plain": {"schema": {"type": "string"}}
    }


def test_refusals_are_described_with_what_they_mean():
    routes = [
        Route("POST", "/a", nothing, Access.ADMIN, Wish, refusals={404: "there is none"}),
        Route("GET", "/b", nothing, Access.ANY),
    ]

    paths = build_openapi(routes, "T", "1")["paths"]

    closed, opened = paths["/a"]["post"], paths["/b"]["get"]
    assert set(closed["responses"]) == {"200", "401", "403", "404", "422", "429", "default"}
    assert closed["responses"]["404"]["description"] == "there is none"
    assert closed["security"] == [{}, {"basic": []}, {"bearer": []}]
    assert set(opened["responses"]) == {"200", "default"}
    assert "security" not in opened
    assert closed["operationId"] == "post_a"
