"""The way out of a domain, as the policy says now."""

from __future__ import annotations

import pytest

from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.paths import RESOLVE_PATH
from tests.fakes.admin_world import admin_world

SCRIPT = """
    @on("get_queue_config")
    def get_queue_config(domain, tenant, campaign, routing_domain):
        if domain == "dropped.test":
            return mta.make_queue_config(protocol="null")
        if domain == "broken.test":
            return 1 / 0
        if tenant == "dev":
            return mta.make_queue_config(protocol={"smtp": {"mx_list": ["dev.test:2525"]}})
        return mta.make_queue_config(retry_interval="7m")

    @on("get_egress_source")
    def get_egress_source(name):
        return mta.make_egress_source(name=name) if name == "ip-1" else None

    @on("get_egress_path")
    def get_egress_path(routing_domain, egress_source, site_name):
        return mta.make_egress_path(ehlo_domain=f"{egress_source}.{site_name}", connection_limit=3)
"""


async def test_a_way_shows_site_configuration_and_ceilings_and_makes_no_queue(tmp_path):
    async with admin_world(tmp_path, SCRIPT) as world:
        shown = await world.act(RESOLVE_PATH, domain="a.test", source="ip-1")

        assert shown.queue_name == "ip-1->mx.a.test@smtp_client"
        assert (shown.mx.site_name, shown.mx.by_pref) == ("mx.a.test", {"10": ["mx.a.test"]})
        assert shown.path_config["ehlo_domain"] == "ip-1.mx.a.test"
        assert shown.queue_config["retry_interval"] == 420
        assert shown.constraints.connections[0].value == "3"
        assert len(world.ready) == len(world.queues) == 0


async def test_a_queue_name_is_asked_for_by_its_parts(tmp_path):
    async with admin_world(tmp_path, SCRIPT) as world:
        listed = await world.act(RESOLVE_PATH, domain="dev@a.test")
        routed = await world.act(RESOLVE_PATH, domain="a.test!b.test")

        assert listed.queue_name.startswith("unspecified->mx_list:")
        assert routed.mx.site_name == "mx.b.test"


async def test_where_the_dns_cannot_say_the_domain_stands_for_its_site(tmp_path):
    async with admin_world(tmp_path, SCRIPT, servfail=("bad.test",)) as world:
        shown = await world.act(RESOLVE_PATH, domain="bad.test")

        assert (shown.mx, shown.queue_name) == (None, "unspecified->bad.test@smtp_client")


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({"domain": "a.test", "source": "ip-9"}, Refusal.NOT_FOUND),
        ({"domain": "dropped.test"}, Refusal.NOT_FOUND),
        ({"domain": "broken.test"}, Refusal.UNAVAILABLE),
        ({"domain": "tenant@"}, Refusal.WRONG),
        ({"domain": ""}, Refusal.WRONG),
    ],
)
async def test_where_there_is_no_way_the_answer_says_why(tmp_path, arguments, refusal):
    async with admin_world(tmp_path, SCRIPT) as world:
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(RESOLVE_PATH, **arguments)

        assert refused.value.refusal is refusal
