"""Who may call a route: the access lists of its listener, asked anew for each request.

Place in flow: ``engine.base.http_service`` asks before a body is read; lists of scripts come
through a port, those that routes bring along hold where there is none.

Invariants:
    * Deny by default: a caller of whom no rule speaks is turned away.
    * A list of the script for a resource stands in the place of the default one, not beside it.
    * Nothing is remembered from one request to the next.

Failure: a list that cannot be had is an error of the request, 503, never a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from engine.base.http_call import Access, HttpCall, Route
from engine.model.access_list import (
    TRUSTED_GROUPS,
    AccessList,
    AccessRule,
    AccessSubject,
    Criterion,
    resources_of,
)

_TRUSTED = Criterion("Group", TRUSTED_GROUPS[0])
_CRITERIA = {
    Access.ALWAYS: Criterion("Any"),
    Access.ANY: Criterion("Any"),
    Access.INJECT: Criterion("AnyOf", (_TRUSTED, Criterion("Authenticated"))),
    Access.ADMIN: _TRUSTED,
}
_VARIABLE = re.compile(r"/?\{.*")


class AccessLists(Protocol):
    """The access lists of a script."""

    def is_in_force(self) -> bool:
        """Return whether there may be any; if not, nothing is asked."""

    async def find(self, resource: str) -> AccessList | None:
        """Return the list of a resource, None where the default one holds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a caller may, and which resource's list said so; empty when none did."""

    is_allowed: bool
    resource: str


class RouteAccess:
    """Access to the routes of one listener.

    Args:
        routes: They bring the default lists.
        lists: Port to the lists of the script.
    """

    def __init__(self, routes: Iterable[Route], lists: AccessLists | None = None) -> None:
        self._defaults = default_lists(routes)
        self._lists = lists
        self._resources: dict[str, tuple[str, ...]] = {}

    @property
    def is_custom(self) -> bool:
        """Return whether a script may say something else than the defaults."""
        return self._lists is not None and self._lists.is_in_force()

    async def judge(self, call: HttpCall, listen: str) -> Verdict:
        """Return whether a caller may use a route.

        Args:
            call: The call, its caller known.
            listen: The listener, ``address:port``.
        """
        find = self._find if self.is_custom else self._default
        method = call.request.method
        privilege = "GET" if method == "HEAD" else method
        resources = self._resources_of(call, listen)
        return await judge_access(resources, subject_of(call), privilege, find)

    def _resources_of(self, call: HttpCall, listen: str) -> tuple[str, ...]:
        path = call.route.path
        if "{" in path:
            return resources_of(listen, call.request.path)
        known = self._resources.get(path)
        if known is None:
            known = self._resources[path] = resources_of(listen, path)
        return known

    async def _default(self, resource: str) -> AccessList | None:
        return self._defaults.get(resource)

    async def _find(self, resource: str) -> AccessList | None:
        assert self._lists is not None
        found = await self._lists.find(resource)
        return self._defaults.get(resource) if found is None else found


async def judge_access(
    resources: Iterable[str],
    who: AccessSubject,
    privilege: str,
    find: Callable[[str], Awaitable[AccessList | None]],
) -> Verdict:
    """Return what the first rule says, over all resources in order, that speaks of a caller."""
    for resource in resources:
        found = await find(resource)
        says = None if found is None else found.judge(who, privilege)
        if says is not None:
            return Verdict(says, resource)
    return Verdict(False, "")


def subject_of(call: HttpCall) -> AccessSubject:
    """Return the caller of a route, as access lists see it."""
    auth = call.auth
    groups = TRUSTED_GROUPS if call.is_trusted else ()
    if auth is None:
        return AccessSubject((), groups, call.peer_ip)
    return AccessSubject(auth.identities or (auth.identity,), (*groups, *auth.groups), call.peer_ip)


def default_lists(routes: Iterable[Route]) -> dict[str, AccessList]:
    """Return the lists that routes bring along, by the resource they lie in.

    Raises:
        ValueError: Two routes of one resource want other callers for the same method.
    """
    scopes: dict[str, dict[str, Access]] = {}
    for route in routes:
        scope = scopes.setdefault(scope_of(route.path), {})
        if scope.setdefault(route.method, route.access) is not route.access:
            raise ValueError(f"{route.method} {route.path} is for others than its neighbours")
    lists = {}
    for path, scope in scopes.items():
        rules = [
            AccessRule(
                criterion, frozenset(name for name, one in scope.items() if one is access), True
            )
            for access, criterion in _CRITERIA.items()
            if access in scope.values()
        ]
        lists[f"http_listener/*/{path}"] = AccessList(tuple(rules))
    return lists


def scope_of(path: str) -> str:
    """Return the path that the default list of a route belongs to.

    Under ``/api`` it is the second part: all of administration has one list.
    """
    parts = _VARIABLE.sub("", path).strip("/").split("/")
    return "/".join(parts[:2] if parts[0] == "api" else parts)
