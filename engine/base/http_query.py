"""The query of a URL as a declared type: checked like a body, described like one.

Place in flow: ``engine.base.http_service`` decodes it for routes that declare one.

Invariants:
    * A name that is not declared is refused: a mistyped filter must not show everything.
    * A value that is given twice where one is wanted is refused; lists are given value by value.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, get_args, get_origin

import msgspec

from engine.base.http_call import HttpRefusalError, split_validation_error


def decode_query(query: Mapping[str, str], kind: Any) -> Any:
    """Return a query as a struct.

    Args:
        query: Names and values; one that has ``getall`` may hold a name several times.
        kind: A msgspec struct of plain fields, and lists of text.

    Raises:
        HttpRefusalError: 422, naming what is missing, unknown or wrong.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    given: dict[str, Any] = {}
    for name in dict.fromkeys(query):
        field = fields.get(name)
        if field is None:
            close = difflib.get_close_matches(name[:100], fields, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise HttpRefusalError(422, f"there is no {name[:100]!r} here{hint}", name[:100])
        values = query.getall(name) if hasattr(query, "getall") else [query[name]]
        if is_list(field.type):
            given[name] = values
        elif len(values) > 1:
            raise HttpRefusalError(422, f"{name!r} is given more than once", name)
        else:
            given[name] = values[0]
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        what, where = split_validation_error(str(error))
        raise HttpRefusalError(422, what, where) from error


def is_list(kind: Any) -> bool:
    """Return whether a field may be given several times."""
    return get_origin(kind) is list or any(is_list(inner) for inner in get_args(kind))


def wanted_metrics(query: Any) -> tuple[str, list[str]]:
    """Return the prefix of names of metrics, and which are wanted: none for all.

    Args:
        query: Names and values; ``names`` may be there several times, and have several each.
    """
    names = [name for part in query.getall("names", []) for name in part.split(",")]
    return query.get("prefix", ""), [name for name in names if name]
