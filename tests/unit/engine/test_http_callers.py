"""Credentials and access lists, as a policy says."""

from __future__ import annotations

import pytest

from engine.base.http_call import BasicCredentials, BearerCredentials, HttpRefusalError
from engine.http_callers import HttpCallers
from engine.model.access_list import AccessSubject
from tests.fakes.queue_world import queue_world

SCRIPT = """
    @on("http_auth_basic")
    def http_auth_basic(user, password):
        if user == "refused":
            mta.reject(550, "5.7.1 gone")
        if user == "broken":
            return 1 / 0
        if user == "many":
            return {"identities": [{"identity": "m"}, "n"], "groups": ["g"]}
        return password == "right"

    @on("http_auth_bearer")
    def http_auth_bearer(token):
        return token == "t"

    @on("get_acl_definition")
    def get_acl_definition(resource):
        if resource == "none":
            return None
        if resource == "refused":
            mta.reject(550, "5.7.1 gone")
        if resource == "broken":
            return {"allow": True}
        return mta.make_access_control_list(
            [{"identity": {"Group": "g"}, "allow": True, "privileges": ["GET"]}]
        )
"""


async def test_credentials_are_what_the_policy_says(tmp_path):
    async with queue_world(tmp_path, SCRIPT) as world:
        callers = HttpCallers(world.runtime)

        many = await callers.authenticate(BasicCredentials("many", ""))

        assert (await callers.authenticate(BasicCredentials("ann", "right"))).identity == "ann"
        assert await callers.authenticate(BasicCredentials("ann", None)) is None
        assert (await callers.authenticate(BearerCredentials("t"))).identity == "bearer"
        assert (many.identity, many.identities, many.groups) == ("m", ("m", "n"), ("g",))


@pytest.mark.parametrize(("user", "status"), [("refused", 401), ("broken", 503)])
async def test_a_handler_that_cannot_say_is_no_wrong_password(tmp_path, user, status):
    async with queue_world(tmp_path, SCRIPT) as world:
        with pytest.raises(HttpRefusalError) as refused:
            await HttpCallers(world.runtime).authenticate(BasicCredentials(user, "x"))

        assert refused.value.status == status


async def test_access_lists_are_what_the_policy_says(tmp_path):
    async with queue_world(tmp_path, SCRIPT) as world:
        callers = HttpCallers(world.runtime)

        found = await callers.find("http_listener/*/metrics")

        assert callers.is_in_force()
        assert found.judge(AccessSubject(("x",), ("g",)), "GET") is True
        assert await callers.find("none") is None
        callers.has_default_lists = False
        assert (await callers.find("none")).rules == ()


@pytest.mark.parametrize(("resource", "status"), [("refused", 403), ("broken", 503)])
async def test_a_list_that_cannot_be_had_admits_nobody(tmp_path, resource, status):
    async with queue_world(tmp_path, SCRIPT) as world:
        with pytest.raises(HttpRefusalError) as refused:
            await HttpCallers(world.runtime).find(resource)

        assert refused.value.status == status


async def test_without_handler_the_defaults_hold_and_nothing_is_asked(tmp_path):
    async with queue_world(tmp_path) as world:
        callers = HttpCallers(world.runtime)

        assert not callers.is_in_force()
        assert await callers.find("http_listener/*/metrics") is None
        callers.has_default_lists = False
        assert callers.is_in_force()
        assert (await callers.find("http_listener/*/metrics")).rules == ()
