"""JSON, TOML and YAML, as texts and as files of the policy's folder.

A file that was loaded is watched: an edit of it is a reload. Load large files at the top of a
script; a handler has too little time for them.
"""

from typing import Any

def json_encode(value: Any) -> str:
    """A value as JSON in one line.

    >>> mta.serde.json_encode({"a": [1, None]})
    '{"a":[1,null]}'
    """

def json_encode_pretty(value: Any) -> str:
    """A value as JSON for people.

    >>> mta.serde.json_encode_pretty([1]).splitlines()
    ['[', '  1', ']']
    """

def json_parse(text: str | bytes) -> Any:
    """The value of a JSON text. ValueError: it is none.

    >>> mta.serde.json_parse('{"a": [1, null]}')
    {'a': [1, None]}
    """

def json_load(path: str) -> Any:
    """The value of a JSON file.

    OSError: it cannot be read; ValueError: it is no JSON, with its line.

    >>> mta.serde.json_load("tenants.json")["acme"]
    'pool-a'
    """

def toml_encode(value: dict[str, Any]) -> str:
    r"""A table as TOML, which has no None.

    >>> mta.serde.toml_encode({"a": [1, 2]})
    'a = [1, 2]\n'
    """

def toml_encode_pretty(value: dict[str, Any]) -> str:
    r"""A table as TOML, lists over several lines.

    >>> mta.serde.toml_encode_pretty({"a": [1, 2]}).splitlines()
    ['a = [', '    1,', '    2,', ']']
    """

def toml_parse(text: str | bytes) -> dict[str, Any]:
    """The table of a TOML text. ValueError: it is none.

    >>> mta.serde.toml_parse("a = [1, 2]")
    {'a': [1, 2]}
    """

def toml_load(path: str) -> dict[str, Any]:
    """The table of a TOML file.

    OSError: it cannot be read; ValueError: it is no TOML, with its line.

    >>> mta.serde.toml_load("tenants.toml")["acme"]["pool"]
    'pool-a'
    """

def yaml_encode(value: Any) -> str:
    r"""A value as YAML.

    >>> mta.serde.yaml_encode({"a": ["no", None]})
    "a:\n- 'no'\n- null\n"
    """

def yaml_parse(text: str | bytes) -> Any:
    """The value of a YAML 1.2 text: ``no``, ``12:30`` and dates are text. ValueError: it is none.

    >>> mta.serde.yaml_parse("country: no")
    {'country': 'no'}
    """

def yaml_load(path: str) -> Any:
    """The value of a YAML file.

    OSError: it cannot be read; ValueError: it is no YAML, with its line.

    >>> mta.serde.yaml_load("tenants.yaml")["acme"]
    'pool-a'
    """
