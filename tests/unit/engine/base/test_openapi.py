"""The description of an API."""

from __future__ import annotations

import msgspec

from engine.base.http_call import Access, Route
from engine.base.openapi import build_openapi


class Wish(msgspec.Struct):
    name: str


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
