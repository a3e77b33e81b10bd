"""Small things that policies of the field are written with."""

from collections.abc import Iterable, Mapping
from typing import Any

def load_json_or_toml_file(path: str | Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file below the policy's folder, at the top of the script; watched."""

def merge_into(src: Mapping[str, Any], dst: dict[str, Any]) -> dict[str, Any]:
    """Copy the keys of one table into another, and return that."""

def recursive_merge_into(src: Mapping[str, Any], dst: dict[str, Any]) -> dict[str, Any]:
    """Copy the keys of one table into another, tables in tables too, and return that."""

def split_ip_port(text: str) -> tuple[str, int]:
    """Address and port of "ip:port" or "[ipv6]:port"."""

def starts_with(text: str, prefix: str) -> bool: ...
def ends_with(text: str, suffix: str) -> bool: ...
def table_contains(table: Iterable[Any] | Mapping[Any, Any], value: Any) -> bool:
    """Whether a value is among those of a list or table."""

def table_keys(table: Mapping[str, Any]) -> list[Any]: ...
def table_is_empty(table: Any) -> bool: ...
def equals(left: Any, right: Any) -> bool:
    """Whether two plain values are equal, inside too."""

def assert_eq(left: Any, right: Any, message: str = "") -> None: ...
def assert_ne(left: Any, right: Any, message: str = "") -> None: ...
def assert_matches(text: str, pattern: str, message: str = "") -> None:
    """Fail unless a pattern (of RE2) is found in a text."""

def dumps(value: Any) -> str:
    """A plain value as JSON."""
