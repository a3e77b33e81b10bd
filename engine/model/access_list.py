"""Access lists: who may do what to a resource, rule by rule, and who a caller is to them.

Place in flow: scripts make lists (``mta.make_access_control_list``), routes have default ones;
``engine.base.http_access`` asks them for each request.

Invariants:
    * The first rule that speaks of the caller and the privilege decides; none decides nothing.
    * A resource is judged by its own list, then by those of what it lies in, from the nearest to
      the farthest: first at the listener's address, then at any.
    * Nothing is remembered: the same question may have another answer the next time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.model.cidr import CidrSet
from engine.model.keyword_options import closest
from engine.model.option_error import OptionError

#: Groups of peers whose address a listener trusts; the second is how brought files know it.
TRUSTED_GROUPS = ("cirrus:http-listener-trusted-ip", "kumomta:http-listener-trusted-ip")
#: What of a path is looked at.
PATH_CHARS_MAX = 256
PATH_PARTS_MAX = 10
#: Criteria within criteria.
_DEPTH_MAX = 16
_PLAIN = ("Any", "Authenticated", "Unauthenticated")
_NAMED = ("Individual", "Group", "Machine", "MachineSet")
_COMBINED = ("AllOf", "AnyOf", "Not", "Identity")
_RULE_KEYS = ("access", "allow", "criteria", "identity", "privilege", "privileges")


@dataclass(frozen=True, slots=True)
class AccessSubject:
    """A caller, as access lists see one.

    Attributes:
        identities: What the caller proved to be; none for an anonymous one.
        groups: What the caller belongs to.
        address: From where.
    """

    identities: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    address: str = ""


@dataclass(frozen=True, slots=True)
class Criterion:
    """A condition on a caller.

    Attributes:
        kind: Its name, such as ``Group``.
        value: What it compares with: a name, networks, or other criteria.
    """

    kind: str
    value: Any = None

    def matches(self, who: AccessSubject) -> bool:
        """Return whether the condition holds for a caller."""
        match self.kind:
            case "Any":
                return True
            case "Authenticated":
                return bool(who.identities)
            case "Unauthenticated":
                return not who.identities
            case "Individual":
                return self.value in who.identities
            case "Group":
                return self.value in who.groups
            case "Machine" | "MachineSet":
                return who.address in self.value
            case "AllOf":
                return all(inner.matches(who) for inner in self.value)
            case "AnyOf":
                return any(inner.matches(who) for inner in self.value)
            case "Not":
                return not self.value.matches(who)
        raise AssertionError(self.kind)


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One rule: whom it speaks of, of which privileges, and what it says."""

    criterion: Criterion
    privileges: frozenset[str]
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class AccessList:
    """The rules of one resource, in order."""

    rules: tuple[AccessRule, ...] = ()

    def judge(self, who: AccessSubject, privilege: str) -> bool | None:
        """Return what the first rule says that speaks of a caller; None if none does."""
        for rule in self.rules:
            if privilege in rule.privileges and rule.criterion.matches(who):
                return rule.is_allowed
        return None


def resources_of(listen: str, path: str) -> tuple[str, ...]:
    """Return the names under which access to a path of an HTTP listener is looked up, in order.

    Args:
        listen: The listener, ``address:port``.
        path: The path of a URL.
    """
    parts = [part for part in path[:PATH_CHARS_MAX].split("/") if part][:PATH_PARTS_MAX]
    own = [
        "/".join(("http_listener", listen, *parts[:count])) for count in range(len(parts), -1, -1)
    ]
    any_address = [
        "/".join(("http_listener", "*", *parts[:count])) for count in range(len(parts), 0, -1)
    ]
    return (*own, *any_address, "http_listener")


def parse_access_list(rules: Any) -> AccessList:
    """Return an access list.

    Args:
        rules: A list of tables with ``criteria`` or ``identity``; ``privilege`` or ``privileges``;
            and ``access`` (``Allow`` or ``Deny``) or ``allow``.

    Raises:
        ValueError: A rule is none, or not all of it is understood.
    """
    if isinstance(rules, str | bytes | Mapping) or not isinstance(rules, Iterable):
        raise OptionError("a list of rules is expected")
    return AccessList(
        tuple(_rule(given, f"rule {number}") for number, given in enumerate(rules, 1))
    )


def parse_access_map(document: Any) -> dict[str, AccessList]:
    """Return the lists of a file, by resource: its tables ``[[acl."<resource>"]]``.

    Raises:
        ValueError: The document holds something else, or a rule is none.
    """
    if not isinstance(document, Mapping) or document.keys() - {"acl"}:
        raise ValueError('only tables [[acl."<resource>"]] are expected')
    found: dict[str, AccessList] = {}
    tables = document.get("acl", {})
    if not isinstance(tables, Mapping):
        raise OptionError('only tables [[acl."<resource>"]] are expected')
    for resource, rules in tables.items():
        try:
            found[resource] = parse_access_list(rules)
        except ValueError as error:
            raise ValueError(f"{resource}: {error}") from None
    return found


def _rule(given: Any, where: str) -> AccessRule:
    if not isinstance(given, Mapping):
        raise OptionError(f"{where}: a table is expected")
    for key in given:
        if key not in _RULE_KEYS:
            hint = closest(str(key), _RULE_KEYS)
            raise ValueError(f"{where}: unknown key {str(key)[:100]!r}{hint}")
    who = [given[key] for key in ("criteria", "identity") if given.get(key) is not None]
    if len(who) != 1:
        raise ValueError(f"{where}: exactly one of criteria and identity is expected")
    return AccessRule(_criterion(who[0], where), _privileges(given, where), _allows(given, where))


def _privileges(given: Mapping[str, Any], where: str) -> frozenset[str]:
    one, several = given.get("privilege"), given.get("privileges")
    names = [one] if several is None else several
    is_list = isinstance(names, list | tuple | set | frozenset)
    if (one is None) == (several is None) or not is_list or not names:
        raise ValueError(f"{where}: privileges: a list of HTTP methods is expected")
    if not all(isinstance(name, str) and name.isalpha() and name.isupper() for name in names):
        raise ValueError(f"{where}: privileges are HTTP methods, such as GET")
    return frozenset(names)


def _allows(given: Mapping[str, Any], where: str) -> bool:
    access, allow = given.get("access"), given.get("allow")
    if (access is None) == (allow is None):
        raise ValueError(f"{where}: exactly one of access and allow is expected")
    if isinstance(allow, bool):
        return allow
    if access not in ("Allow", "Deny"):
        raise ValueError(f"{where}: access is Allow or Deny; allow is True or False")
    return bool(access == "Allow")


def _criterion(given: Any, where: str, depth: int = 0) -> Criterion:
    if depth > _DEPTH_MAX:
        raise ValueError(f"{where}: criteria lie too deep in each other")
    if isinstance(given, str) and given in _PLAIN:
        return Criterion(given)
    if not isinstance(given, Mapping) or len(given) != 1:
        raise ValueError(f"{where}: a criterion is a table of one key, such as {{Group = ...}}")
    ((kind, value),) = given.items()
    if kind in _PLAIN:
        return Criterion(kind)
    if kind == "Identity":
        return _criterion(value, where, depth + 1)
    if kind in ("AllOf", "AnyOf"):
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where}: {kind}: a list of criteria is expected")
        return Criterion(kind, tuple(_criterion(one, where, depth + 1) for one in value))
    if kind == "Not":
        return Criterion(kind, _criterion(value, where, depth + 1))
    if kind in ("Individual", "Group"):
        if not isinstance(value, str) or not value:
            raise ValueError(f"{where}: {kind}: a name is expected")
        return Criterion(kind, value)
    if kind in ("Machine", "MachineSet"):
        try:
            return Criterion(kind, CidrSet.parse([value] if kind == "Machine" else value))
        except ValueError as error:
            raise ValueError(f"{where}: {kind}: {error}") from None
    hint = closest(str(kind), (*_PLAIN, *_NAMED, *_COMBINED))
    raise ValueError(f"{where}: unknown criterion {str(kind)[:100]!r}{hint}")
