"""The description of an HTTP API, made from its routes.

Place in flow: asked by ``engine.base.http_service`` for ``/api-docs/openapi.json``.

Invariants:
    * What is described is what is checked: bodies, queries and answers come from the types that
      the routes decode and encode.

Standard: OpenAPI 3.1, JSON Schema 2020-12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from engine.base.field_docs import split_docstring
from engine.base.http_call import Access, Route

_PARAMETER = re.compile(r"\{([^}:]+)[^}]*\}")
_ACCESS_TEXT = {
    Access.ALWAYS: "Anyone may call it.",
    Access.ANY: "Anyone may call it, unless an access list says otherwise.",
    Access.INJECT: "For trusted peers and authenticated callers, or as an access list says.",
    Access.ADMIN: "For trusted peers, or as an access list says.",
}
_TEMPLATE = "#/components/schemas/{name}"


class ErrorAnswer(msgspec.Struct, omit_defaults=True):
    """What every refused call is answered.

    Attributes:
        error: What is wrong.
        field: The field of the body, or the part of the query, that it is about.
    """

    error: str
    field: str | None = None


class _Schemas:
    """The schemas of all types of an API, each made once."""

    def __init__(self, routes: Iterable[Route]) -> None:
        kinds: list[Any] = [ErrorAnswer]
        for route in routes:
            kinds.extend(one for one in (route.body, route.answer) if one not in (None, str))
        schemas, self.components = msgspec.json.schema_components(kinds, ref_template=_TEMPLATE)
        self._of = {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
        for schema in self.components.values():
            _explain(schema)

    def of(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a type that a route names."""
        return self._of[id(kind)]


def build_openapi(routes: Iterable[Route], title: str, version: str) -> dict[str, Any]:
    """Return the OpenAPI document of the routes."""
    listed = [route for route in routes if not route.is_page]
    schemas = _Schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        path = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _describe(route, schemas)
    security = {
        "basic": {"type": "http", "scheme": "basic"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version or "0"},
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": security},
    }


def _describe(route: Route, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "description": _ACCESS_TEXT[route.access],
        "operationId": _operation_id(route),
        "responses": _responses(route, schemas),
    }
    if route.summary:
        operation["summary"] = route.summary
    if route.access is not Access.ANY:
        # Nothing, for those whose address is enough.
        operation["security"] = [{}, {"basic": []}, {"bearer": []}]
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas.of(route.body)}},
        }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    parameters += _query_parameters(route.query)
    if parameters:
        operation["parameters"] = parameters
    return operation


def _operation_id(route: Route) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", route.path) if word]
    return "_".join((route.method.lower(), *words))


def _responses(route: Route, schemas: _Schemas) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "done"}
    if route.answer is str:
        done["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif route.answer is not None:
        done["content"] = {"application/json": {"schema": schemas.of(route.answer)}}
    elif route.content_type:
        is_text = route.content_type.startswith("text/")
        done["content"] = {route.content_type: {"schema": {"type": "string"} if is_text else {}}}
    meanings: dict[int, str] = {}
    if route.access is not Access.ANY:
        meanings |= {
            401: "wrong or missing credentials",
            403: "the caller may not do this",
            429: "too many wrong credentials came from there; Retry-After says how long to wait",
        }
    if route.body is not None or route.query is not None:
        meanings[422] = "the request is wrong; field says where"
    meanings |= route.refusals
    responses = {"200": done, "default": _refused("refused", schemas)}
    return responses | {str(code): _refused(text, schemas) for code, text in meanings.items()}


def _explain(schema: dict[str, Any]) -> None:
    """Put what a docstring says of each field where the field is described."""
    if "description" not in schema:
        return
    head, fields = split_docstring(schema["description"])
    schema["description"] = head
    for name, text in fields.items():
        if name in schema.get("properties", {}):
            schema["properties"][name]["description"] = text


def _refused(text: str, schemas: _Schemas) -> dict[str, Any]:
    content = {"application/json": {"schema": schemas.of(ErrorAnswer)}}
    return {"description": text, "content": content}


def _query_parameters(kind: Any) -> list[dict[str, Any]]:
    """Return the parameters of a query; its type has plain fields, described one by one."""
    if kind is None:
        return []
    schema = msgspec.json.schema(kind)
    definition = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    _explain(definition)
    return [
        _query_parameter(name, found, schema["$defs"], name in definition.get("required", ()))
        for name, found in definition["properties"].items()
    ]


def _query_parameter(
    name: str, found: dict[str, Any], definitions: dict[str, Any], is_required: bool
) -> dict[str, Any]:
    text = found.pop("description", "")
    schema = _without_null(found)
    if "$ref" in schema:
        # What it refers to is not among the components: these are of bodies and answers.
        choices = definitions[schema.pop("$ref").rpartition("/")[2]]["enum"]
        schema |= {"type": "string", "enum": choices}
    parameter = {"name": name, "in": "query", "required": is_required, "schema": schema}
    return parameter | ({"description": text} if text else {})


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value that is left out and not null where there is none."""
    choices: list[dict[str, Any]] = [
        one for one in schema.get("anyOf", ()) if one != {"type": "null"}
    ]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if len(choices) == 1:
        return rest | choices[0]
    if choices:
        return rest | {"anyOf": choices}
    return rest if schema.get("default") is None else schema
