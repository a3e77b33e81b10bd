"""The page of the HTTP API, made from the description that nodes give of themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from engine.admin.http_api import AdminApi
from engine.base.http_service import HttpService
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.base.openapi import build_openapi
from engine.receive.http_injection import HttpInjection
from engine.receive.transfer_intake import TransferIntake
from engine.transfers import CANCEL, CANCEL_STATUSES
from engine.transfers import ENDPOINTS as TRANSFERS

Schema = Mapping[str, Any]

HEAD = """\
What a listener of `mta.start_http_listener` answers; `GET /api-docs/openapi.json` says the same to
programs. Bodies and answers are JSON. What a call has to say goes into the body, of a `GET` into
the query of the URL; a field that an endpoint does not have is refused, so that a slip of the pen
does not do more than was meant. Instants are RFC 3339.

Who may call what is up to the event [`get_acl_definition`](hooks.md#get_acl_definition) and the
access lists that it returns; without any, `trusted_hosts` of the listener may do everything, anyone
may ask whether the node lives, and callers that the events
[`http_auth_basic`](hooks.md#http_auth_basic) or
[`http_auth_bearer`](hooks.md#http_auth_bearer) know may inject. What somebody does or tries goes
into the audit log.

A call that is refused is answered with a status and an [ErrorAnswer](#erroranswer):

| status | means |
|---|---|
| 401 | credentials are missing or wrong |
| 403 | the caller may not do this |
| 413 | the body is larger than `request_body_limit` |
| 415 | the body is no JSON |
| 422 | the request is wrong; `field` says where |
| 503 | not now: a handler failed, the spool cannot be read, or the node takes no work |

What an endpoint answers besides is said there."""

#: What is said of endpoints whose answer no schema describes.
NOTES = {
    "/metrics": """\
With `?prefix=`, such as `?prefix=cirrus_`, each name begins with that. With `?names=`, such as
`?names=total_messages_delivered,memory_usage`, there are those only, and a node with very many
queues counts them only where they are asked for. See [metrics](metrics.md).""",
    "/metrics.json": """\
As `/metrics`: families by name, each `{"help": ..., "type": ..., "value": ...}`, of which the value
is a number, or has numbers by label.""",
    "/api/admin/trace-smtp-server/v1": """\
The first text frame of the client says what is wanted, such as
`{"source_addr": ["10.0.0.0/8"], "terse": true}`; `{}` is everything. From then on each event is a
text frame `{"conn_meta": ..., "payload": {kind: ...}, "when": ...}`. Kinds are `Connected`, `Read`,
`Write`, `Diagnostic`, `Callback`, `MessageDisposition` and `Closed`. A reader that is too slow
misses events, and is told how many by a `Diagnostic`; it never holds up mail.""",
    "/api/admin/trace-smtp-client/v1": """\
As of incoming sessions. The first frame may have lists by the names `campaign`, `tenant`, `domain`,
`routing_domain`, `egress_pool`, `egress_source`, `mail_from`, `rcpt_to`, `mx_host`, `ready_queue`,
and lists of networks by `source_addr` and `mx_addr`; a session is shown that fits all of them.
Kinds are `BeginSession`, `Connected`, `MessageObtained`, `Read`, `Write`, `Diagnostic` and
`Closed`.""",
    "/api/admin/records/v1": """\
The first text frame of the client says which [log records](log-record.md) are wanted, such as
`{"type": ["Bounce"], "domain": ["example.com"]}`; `{}` is everything. It may have lists by the
names `type`, `id`, `sender`, `recipient`, `domain`, `tenant`, `campaign`, `queue`, `site`, `source`
and `code`, and a text by `since`, `until` and `grep`; what they mean is said of [cirrus
tail](../tools.md). From then on each record is a text frame, with the metadata that log files
have, but without headers. A reader that is too slow misses records, and is told how many by a frame
`{"missed": 150}`; it never holds up mail.""",
}


def make_api_page(note: str) -> str:
    """Return the page; the note goes below its title."""
    document = describe_node()
    lines = ["# HTTP API of a node", "", note, "", HEAD, ""]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            lines += _describe_endpoint(f"{method.upper()} {path}", operation, NOTES.get(path))
    lines += ["# Types", ""]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += _describe_component(name, schema)
    return "\n".join(lines)


def describe_node() -> dict[str, Any]:
    """Return the OpenAPI document of a node that has everything."""
    nobody: Any = SimpleNamespace(tracing=SimpleNamespace(server=None, client=None), clock=None)
    service = HttpService(("127.0.0.1", 0), "node", metrics=Metrics(ENGINE_METRICS))
    # Only the routes are wanted: what stands behind them is never asked.
    HttpInjection(nobody, nobody, nobody, nobody).add_to(service)
    admin = AdminApi(nobody)
    admin.add_to(service)
    admin.tracing.add_to(service)
    TransferIntake(nobody, nobody, nobody).add_to(service)
    admin.add_to(service, TRANSFERS)
    admin.add_to(service, [CANCEL], CANCEL_STATUSES)
    return build_openapi(service.routes, "Cirrus", "")


def _describe_endpoint(title: str, operation: Schema, note: str | None) -> list[str]:
    lines = [f"## {title}", "", f"{operation['summary'].removesuffix('.')}.", ""]
    if note is not None:
        lines += [note, ""]
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        lines += [f"Takes: {_kind(schema)}.", ""]
    if "parameters" in operation:
        rows = [(one, one["required"]) for one in operation["parameters"]]
        named = ((one["name"], one["schema"] | one, must) for one, must in rows)
        lines += _table("parameter", named)
    if answer := _answer(operation["responses"]["200"]):
        lines += [f"Answers: {answer}.", ""]
    own = [
        f"* {status}: {one['description']}."
        for status, one in sorted(operation["responses"].items())
        if status not in ("200", "401", "403", "422", "default")
    ]
    return [*lines, *own, ""] if own else lines


def _answer(done: Schema) -> str:
    """Return what an endpoint answers; nothing where it is said elsewhere."""
    for content in done.get("content", {}).values():
        return _kind(content["schema"]) if content["schema"] else ""
    return ""


def _describe_component(name: str, schema: Schema) -> list[str]:
    lines = [f"## {name}", "", *([schema["description"], ""] if "description" in schema else [])]
    if "enum" in schema:
        return [*lines, f"One of {', '.join(f'`{one}`' for one in schema['enum'])}.", ""]
    required = schema.get("required", ())
    fields = ((key, one, key in required) for key, one in schema.get("properties", {}).items())
    return lines + _table("field", fields)


def _table(title: str, fields: Iterable[tuple[str, Schema, bool]]) -> list[str]:
    rows = list(_rows(fields))
    return [f"| {title} | is | default | |", "|---|---|---|---|", *rows, ""] if rows else []


def _rows(fields: Iterable[tuple[str, Schema, bool]]) -> Iterator[str]:
    for name, schema, is_required in fields:
        given = schema.get("default")
        default = "" if is_required or given in (None, [], {}) else f"`{json.dumps(given)}`"
        need = "**required**" if is_required else default
        yield f"| `{name}` | {_kind(schema)} | {need} | {schema.get('description', '')} |"


def _kind(schema: Schema) -> str:
    """Return what a schema takes, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"list of {_kind(schema['items'])}" if schema.get("items") else "list"
        case "object":
            inner = schema.get("additionalProperties")
            return f"object of {_kind(inner)} by name" if isinstance(inner, dict) else "object"
        case "integer" | "number" as kind:
            return ("whole number" if kind == "integer" else "number") + _range(schema)
        case None:
            return "any value"
        case kind:
            return {"string": "text", "boolean": "true or false"}.get(kind, kind)


def _range(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None:
        return "" if most is None else f" up to {most}"
    return f" from {least}" if most is None else f" from {least} to {most}"
