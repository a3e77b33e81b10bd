"""Access to routes: default lists, lists of scripts in their place, deny by default."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.base.http_access import RouteAccess, default_lists, scope_of, subject_of
from engine.base.http_call import Access, AuthInfo, Route
from engine.model.access_list import AccessList, parse_access_list

LISTEN = "127.0.0.1:8000"


async def nothing(_call):
    return None


def route(path, access=Access.ADMIN, method="GET"):
    return Route(method, path, nothing, access)


ROUTES = [
    route("/api/check-liveness/v1", Access.ANY),
    route("/api/inject/v1", Access.INJECT, "POST"),
    route("/api/admin/bounce/v1", method="POST"),
    route("/api/admin/bounce/v1"),
    route("/api/admin/suspend/v1", method="DELETE"),
    route("/metrics"),
]


def call_of(made, *, trusted=False, auth=None, method=None):
    request = SimpleNamespace(method=method or made.method, path=made.path)
    return SimpleNamespace(
        request=request, route=made, is_trusted=trusted, auth=auth, peer_ip="192.0.2.1"
    )


class Lists:
    def __init__(self, **lists):
        self.lists = lists
        self.asked = []

    def is_in_force(self):
        return True

    async def find(self, resource):
        self.asked.append(resource)
        return self.lists.get(resource)


def test_all_of_administration_has_one_default_list():
    lists = default_lists(ROUTES)

    assert set(lists) == {
        "http_listener/*/api/check-liveness",
        "http_listener/*/api/inject",
        "http_listener/*/api/admin",
        "http_listener/*/metrics",
    }
    (rule,) = lists["http_listener/*/api/admin"].rules
    assert rule.privileges == {"GET", "POST", "DELETE"}


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/api/admin/bounce/v1", "api/admin"),
        ("/api/machine-info", "api/machine-info"),
        ("/api-docs/openapi.json", "api-docs/openapi.json"),
        ("/tsa/status", "tsa/status"),
        ("/ui/{file}", "ui"),
    ],
)
def test_a_default_list_belongs_to_a_path(path, scope):
    assert scope_of(path) == scope


def test_neighbours_for_other_callers_are_a_mistake():
    with pytest.raises(ValueError, match="/api/admin/open"):
        default_lists([*ROUTES, route("/api/admin/open", Access.ANY)])


@pytest.mark.parametrize(
    ("number", "caller", "is_allowed"),
    [
        (0, {}, True),
        (1, {}, False),
        (1, {"trusted": True}, True),
        (1, {"auth": AuthInfo("ann")}, True),
        (2, {"auth": AuthInfo("ann")}, False),
        (2, {"trusted": True}, True),
        (3, {"trusted": True, "method": "HEAD"}, True),
        (3, {"trusted": True, "method": "PUT"}, False),
        (5, {}, False),
    ],
)
async def test_by_default_administration_is_for_trusted_peers(number, caller, is_allowed):
    access = RouteAccess(ROUTES)

    verdict = await access.judge(call_of(ROUTES[number], **caller), LISTEN)

    assert verdict.is_allowed is is_allowed
    assert not access.is_custom


async def test_a_list_of_the_script_stands_in_the_place_of_the_default_one():
    operators = parse_access_list(
        [{"criteria": {"Group": "operators"}, "privilege": "POST", "access": "Allow"}]
    )
    lists = Lists(**{"http_listener/*/api/admin": operators})
    access = RouteAccess(ROUTES, lists)
    ann = AuthInfo("ann", ("operators",))

    assert (await access.judge(call_of(ROUTES[2], auth=ann), LISTEN)).is_allowed
    assert not (await access.judge(call_of(ROUTES[2], trusted=True), LISTEN)).is_allowed
    assert (await access.judge(call_of(ROUTES[5], trusted=True), LISTEN)).is_allowed


async def test_the_nearest_list_is_asked_first_and_what_it_leaves_open_goes_further_out():
    lists = Lists(
        **{
            f"http_listener/{LISTEN}/api": parse_access_list(
                [{"criteria": {"Individual": "bob"}, "privilege": "POST", "access": "Deny"}]
            )
        }
    )
    access = RouteAccess(ROUTES, lists)

    denied = await access.judge(call_of(ROUTES[1], auth=AuthInfo("bob"), trusted=True), LISTEN)
    allowed = await access.judge(call_of(ROUTES[1], auth=AuthInfo("ann")), LISTEN)

    assert (denied.is_allowed, denied.resource) == (False, f"http_listener/{LISTEN}/api")
    assert (allowed.is_allowed, allowed.resource) == (True, "http_listener/*/api/inject")


async def test_the_script_is_asked_for_each_request():
    lists = Lists()
    access = RouteAccess(ROUTES, lists)
    call = call_of(ROUTES[5], trusted=True)

    await access.judge(call, LISTEN)
    first, lists.asked = lists.asked, []
    lists.lists["http_listener/*/metrics"] = AccessList()
    second = await access.judge(call, LISTEN)

    assert first[0] == f"http_listener/{LISTEN}/metrics"
    assert lists.asked[0] == first[0]
    assert not second.is_allowed and second.resource == ""


def test_a_caller_is_all_that_it_proved_to_be():
    auth = AuthInfo("ann", ("g",), ("ann", "ann@example.com"))

    who = subject_of(call_of(ROUTES[0], auth=auth, trusted=True))

    assert who.identities == ("ann", "ann@example.com")
    assert {"g", "cirrus:http-listener-trusted-ip"} <= set(who.groups)
    assert who.address == "192.0.2.1"
