"""How a record becomes a line: JSON, or a template of the operator.

Place in flow: chosen per record kind by a log directory or a log hook; run in the writer's thread.

Invariants:
    * A line ends in exactly one newline of its own.
    * A template sees the fields of the record as variables, and the whole as ``log_record``; names
      of headers are in lower case there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jinja2
import jinja2.sandbox
import msgspec

from engine.model.errors import ConfigurationError
from engine.model.log_record import LogRecord, encode_record, replace_surrogates

#: The entry of ``per_record`` for kinds without one of their own.
ANY_KIND = "Any"
#: Return the line of a record, newline included.
Render = Callable[[LogRecord], bytes]

_environment = jinja2.sandbox.ImmutableSandboxedEnvironment(autoescape=False)


def make_render(template: str | None) -> Render:
    """Return what makes lines of records: JSON without a template.

    Raises:
        ConfigurationError: The template has a mistake.
    """
    if template is None:
        return encode_record
    try:
        compiled = _environment.from_string(template)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigurationError(f"template: line {error.lineno}: {error.message}") from error

    def render(record: LogRecord) -> bytes:
        fields = record_fields(record)
        text = compiled.render(fields, log_record=fields)
        return (text if text.endswith("\n") else text + "\n").encode()

    return render


def record_fields(record: LogRecord) -> dict[str, Any]:
    """Return the fields of a record as a template sees them."""
    fields: dict[str, Any] = replace_surrogates(msgspec.to_builtins(record, enc_hook=str))
    fields["headers"] = {name.lower(): value for name, value in fields["headers"].items()}
    return fields
