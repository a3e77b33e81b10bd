"""What scripts say of access by HTTP: access lists, and whether default ones hold beside them.

Place in flow: ``engine.script_api`` exposes it; handlers of ``get_acl_definition`` answer with what
it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.model.access_list import AccessList, parse_access_list, parse_access_map
from engine.model.keyword_options import flag
from engine.model.option_error import OptionError
from engine.script_declarations import Declarations
from policy.script_api import ScriptNamespace, known_to_scripts

known_to_scripts("AccessControlList")(AccessList)


@known_to_scripts("AccessControlMap")
class AccessMap:
    """Access lists by resource."""

    __slots__ = ("_lists",)

    def __init__(self, lists: Mapping[str, AccessList]) -> None:
        self._lists = dict(lists)

    def get(self, resource: str) -> AccessList | None:
        """Return the list of a resource, or None."""
        return self._lists.get(resource)


class AccessDeclarations:
    """Makers of access lists, and what ``init`` says of them.

    Args:
        open_declarations: Returns what ``init`` declares now; raises outside of it.
    """

    def __init__(self, open_declarations: Callable[[str], Declarations]) -> None:
        self._open = open_declarations

    def set_fall_back_to_acl_map(self, fall_back: bool) -> None:
        """Say whether default access lists hold where get_acl_definition has none (True)."""
        declarations = self._open("set_fall_back_to_acl_map")
        declarations.has_default_access_lists = flag(fall_back)

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make it importable by scripts."""
        namespace.expose("make_access_control_list", make_access_control_list)
        namespace.expose("load_acl_map", load_acl_map)
        namespace.expose("set_fall_back_to_acl_map", self.set_fall_back_to_acl_map)


def make_access_control_list(rules: Any) -> AccessList:
    """Return an access list; the first rule that speaks of caller and privilege decides."""
    return parse_access_list(rules)


def load_acl_map(table: Any) -> AccessMap:
    """Return the access lists of a table ``{"acl": {resource: [rules]}}``, by resource."""
    if isinstance(table, str | bytes):
        raise OptionError("a table is expected, such as mta.serde.toml_load(file) returns")
    return AccessMap(parse_access_map(table))
