"""The description of an HTTP API, made from its routes.

Place in flow: asked by ``engine.base.http_service`` for ``/api-docs/openapi.json``.

Standard: OpenAPI 3.1, JSON Schema 2020-12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from engine.base.http_call import Access, Route

_PARAMETER = re.compile(r"\{([^}:]+)[^}]*\}")
_ACCESS_TEXT = {
    Access.ANY: "Anyone may call it.",
    Access.INJECT: "For trusted peers and authenticated callers.",
    Access.ADMIN: "For trusted peers.",
}


class ErrorAnswer(msgspec.Struct, omit_defaults=True):
    """What every refused call is answered.

    Attributes:
        error: What is wrong.
        field: The field of the body it is about.
    """

    error: str
    field: str | None = None


def build_openapi(routes: Iterable[Route], title: str, version: str) -> dict[str, Any]:
    """Return the OpenAPI document of the routes."""
    listed = list(routes)
    kinds = [ErrorAnswer]
    for route in listed:
        kinds.extend(kind for kind in (route.body, route.answer) if kind is not None)
    schemas, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    schema_of = dict(zip(map(id, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        path = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _describe(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version or "0"},
        "paths": paths,
        "components": {"schemas": components},
    }


def _describe(route: Route, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "done"}
    if route.answer is not None:
        answer["content"] = {"application/json": {"schema": schema_of[id(route.answer)]}}
    refused = {
        "description": "refused",
        "content": {"application/json": {"schema": schema_of[id(ErrorAnswer)]}},
    }
    operation: dict[str, Any] = {
        "description": _ACCESS_TEXT[route.access],
        "responses": {"200": answer, "default": refused},
    }
    if route.summary:
        operation["summary"] = route.summary
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[id(route.body)]}},
        }
    names = _PARAMETER.findall(route.path)
    if names:
        operation["parameters"] = [
            {"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names
        ]
    return operation
