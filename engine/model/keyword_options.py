"""Options as operators write them in keyword arguments, checked one by one.

Place in flow: ``egress``, ``queue_config`` and ``listener_domain`` declare a table of options each;
the functions that scripts call pass their keywords through here.

Invariants:
    * An unknown option is a ``TypeError`` that names the closest known one.
    * A wrong value is a ``ValueError`` that names the option.
    * None means "not given": the default applies.
"""

from __future__ import annotations

import difflib
import inspect
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from engine.model.option_error import OptionError

E = TypeVar("E", bound=Enum)


class Option(NamedTuple):
    """How one option is read.

    Attributes:
        convert: Returns the value to hold, or raises ``ValueError``.
        field: Name of the attribute that holds it; the option's own name if empty.
        is_secret: Whether it is hidden from people who look at the configuration.
    """

    convert: Callable[[Any], Any]
    field: str = ""
    is_secret: bool = False


OptionTable = Mapping[str, Option]


def read_options(owner: str, given: Mapping[str, Any], table: OptionTable) -> dict[str, Any]:
    """Return the attribute values for the options that were given.

    Args:
        owner: What the operator called, for the message of an error.
        given: The keyword arguments.
        table: The known options.

    Raises:
        TypeError: An option is unknown.
        ValueError: A value does not fit its option.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        option = table.get(name)
        if option is None:
            raise TypeError(f"{owner}: unknown option {name!r}{closest(name, table)}")
        if value is None:
            continue
        try:
            values[option.field or name] = option.convert(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{owner}: {name}: {error}") from error
    return values


def closest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is most like the given one, or nothing."""
    names = list(known)
    found = difflib.get_close_matches(str(name)[:100], names, n=1)
    found = found or [each for each in names if each.startswith(str(name))]
    return f" (did you mean {found[0]!r}?)" if found else ""


def show_options(value: object, table: OptionTable) -> dict[str, Any]:
    """Return the options an object holds, in plain values that JSON can carry, without secrets."""
    return {
        name: "(hidden)" if option.is_secret and held else _plain(held)
        for name, option in table.items()
        if (held := getattr(value, option.field or name, None)) is not None
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [_plain(inner) for inner in value]
    if callable(value):
        return f"(function {getattr(value, '__name__', 'without a name')})"
    return str(value)


def text(value: Any) -> str:
    """Return a text that is not empty and holds no control characters."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"text is expected, not {value!r}")
    if not value.isprintable():
        raise ValueError(f"text without control characters is expected, not {value!r}")
    return value


def function_of(count: int) -> Callable[[Any], Callable[..., Any]]:
    """Return a reader of functions that can be called with this many arguments."""

    def convert(value: Any) -> Callable[..., Any]:
        if not callable(value):
            raise OptionError(f"a function is expected, not {value!r:.80}")
        try:
            inspect.signature(value).bind(*[None] * count)
        except (TypeError, ValueError) as error:
            wanted = "one argument" if count == 1 else f"{count} arguments"
            raise OptionError(f"a function that takes {wanted} is expected: {error}") from None
        return value  # type: ignore[no-any-return]

    return convert


def flag(value: Any) -> bool:
    """Return a truth value; nothing else counts as one."""
    if not isinstance(value, bool):
        raise OptionError(f"True or False is expected, not {value!r}")
    return value


def whole(least: int, most: int = 10**12) -> Callable[[Any], int]:
    """Return a converter for whole numbers within bounds."""

    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise OptionError(f"a whole number is expected, not {value!r}")
        if not least <= value <= most:
            raise ValueError(f"a number from {least} to {most} is expected, not {value}")
        return value

    return convert


def choice(kind: type[E]) -> Callable[[Any], E]:
    """Return a converter for the values of an enumeration."""

    def convert(value: Any) -> E:
        if isinstance(value, kind):
            return value
        names = [str(member.value) for member in kind]
        if isinstance(value, str) and value in names:
            return kind(value)
        raise ValueError(f"one of {', '.join(names)} is expected, not {value!r}")

    return convert


def table_of(convert: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """Return a converter for a table from names to values of one kind."""

    def convert_all(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise OptionError(f"a table from names to values is expected, not {value!r}")
        return {text(name): convert(inner) for name, inner in value.items()}

    return convert_all


def list_of(convert: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a converter for a list of values of one kind."""

    def convert_all(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            raise OptionError(f"a list is expected, not {value!r}")
        return tuple(convert(inner) for inner in value)

    return convert_all


def ip_address(value: Any) -> str:
    """Return an IP address in its canonical spelling."""
    if not isinstance(value, str):
        raise OptionError(f"an IP address is expected, not {value!r}")
    return str(ipaddress.ip_address(value.strip("[]")))


def host_name(value: Any) -> str:
    """Return a name that a host may go by in a dialogue: a domain, or an address in brackets."""
    name = text(value)
    if not all(char.isascii() and (char.isalnum() or char in "-._[]:") for char in name):
        raise ValueError(f"a host name is expected, not {value!r}")
    return name


def key_source(value: Any) -> Any:
    """Return a key source: a path, or inline data. Others cannot be had here yet: an error."""
    if isinstance(value, str | bytes) and value:
        return value
    if isinstance(value, Mapping) and value.keys() == {"key_data"}:
        return {"key_data": text_or_bytes(value["key_data"])}
    if isinstance(value, Mapping) or callable(value):
        raise OptionError('a key source is a path or {"key_data": text}; no other is available yet')
    raise ValueError('a key source is expected: a path or {"key_data": text}')


def text_or_bytes(value: Any) -> str | bytes:
    """Return a secret that is given as it is."""
    if not isinstance(value, str | bytes) or not value:
        # Not the value: it may be a secret.
        raise OptionError("key_data: text is expected")
    return value
