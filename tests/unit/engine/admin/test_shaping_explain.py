"""Why the path of a domain is as it is, as operators ask."""

from __future__ import annotations

import pytest

from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.shaping_explain import EXPLAIN_SHAPING, heaviest
from engine.base.shaping_source import parse_shaping
from engine.model.egress import make_egress_pool
from tests.fakes.admin_world import admin_world

SOURCES = """
    @on("get_queue_config")
    def get_queue_config(domain, tenant, campaign, routing_domain):
        if domain == "dropped.test":
            return mta.make_queue_config(protocol="null")
        return mta.make_queue_config(egress_pool="p")

    @on("get_egress_pool")
    def get_egress_pool(name):
        entries = [{"name": "ip-1", "weight": 2}, {"name": "ip-2", "weight": 5}]
        return mta.make_egress_pool(name=name, entries=entries) if name == "p" else None

    @on("get_egress_source")
    def get_egress_source(name):
        return mta.make_egress_source(name=name) if name in ("ip-1", "ip-2") else None
"""
SHAPING = """
    from helpers import shaping
    shaping.setup(["base.toml"])
"""
CHANGING = """
    from helpers import shaping

    @on("get_egress_path")
    def get_egress_path(routing_domain, egress_source, site_name):
        options = shaping.resolve(routing_domain, egress_source, site_name)
        options["max_ready"] = 77
        return mta.make_egress_path(**options)
"""
OWN = """
    @on("get_egress_path")
    def get_egress_path(routing_domain, egress_source, site_name):
        return mta.make_egress_path(max_ready=77)
"""
BASE = """\
[default]
connection_limit = 10
[provider.big]
match = [{ MXSuffix = ".a.test" }]
max_message_rate = "7/s"
["a.test"]
connection_limit = 4
"""


async def explain(folder, script, base=BASE, overlay=None, **asked):
    (folder / "base.toml").write_text(base)
    async with admin_world(folder, script) as world:
        if overlay is not None:
            layer = parse_shaping(overlay, "overlay", is_remote=True)
            world.overrides.replace("http://tsa.test", overlay, layer)
        await world.helpers.shaping.load_now()
        return await world.act(EXPLAIN_SHAPING, **({"domain": "a.test"} | asked))


def options(shown):
    return {one.name: (one.value, str(one.origin)) for one in shown.options}


async def test_a_domain_alone_is_explained_for_the_source_that_gets_most_mail(tmp_path):
    shown = await explain(tmp_path, SOURCES + SHAPING)

    assert (shown.source, shown.queue_name) == ("ip-2", "ip-2->mx.a.test@smtp_client")
    assert shown.pool.name == "p"
    assert [(one.name, one.weight) for one in shown.pool.sources] == [("ip-1", 2), ("ip-2", 5)]
    assert (shown.mx.site_name, shown.providers) == ("mx.a.test", ["big"])
    assert (shown.answered_by, shown.note) == ("shaping", None)
    assert shown.shaping.files == [str(tmp_path / "base.toml")]
    assert [one.kind for one in shown.sections] == ["default", "provider", "site"]
    assert options(shown)["connection_limit"] == ("4", "shaping")
    assert options(shown)["max_message_rate"] == ("7/s", "shaping")
    assert shown.constraints.connections[0].value == "4"


async def test_a_source_is_asked_for_without_its_pool(tmp_path):
    shown = await explain(tmp_path, SOURCES + SHAPING, source="ip-1")

    assert (shown.source, shown.pool) == ("ip-1", None)


async def test_what_the_automation_overrode_is_shown(tmp_path):
    overlay = b'["a.test".sources."ip-2"]\n# too many\n# expires soon\nconnection_limit = 1\n'
    shown = await explain(tmp_path, SOURCES + SHAPING, overlay=overlay)
    one = next(each for each in shown.options if each.name == "connection_limit")

    assert (one.value, str(one.origin), one.decision.reason) == ("1", "automation", "too many")
    assert [before.value for before in one.overrode] == [4, 10]
    assert shown.shaping.files[-1] == "overlay"
    assert shown.shaping.overlay_of == "http://tsa.test"


async def test_a_script_that_changes_what_shaping_gives_is_named_for_that_alone(tmp_path):
    shown = await explain(tmp_path, SOURCES + CHANGING + SHAPING)
    found = options(shown)

    assert shown.answered_by == "script"
    assert (found["max_ready"], found["connection_limit"]) == ((77, "script"), ("4", "shaping"))
    assert [one.function for one in shown.handlers] == ["get_egress_path", ""]


async def test_a_script_without_shaping_says_so(tmp_path):
    shown = await explain(tmp_path, SOURCES + OWN)
    one = next(each for each in shown.options if each.name == "max_ready")

    assert (shown.answered_by, shown.shaping, shown.sections) == ("script", None, [])
    assert "does not use helpers.shaping" in shown.note
    assert (one.value, str(one.origin), one.file) == (77, "script", shown.handlers[0].file)


async def test_where_nobody_answers_all_is_default(tmp_path):
    shown = await explain(tmp_path, SOURCES)

    assert (shown.answered_by, shown.handlers) == ("default", [])
    assert {origin for _, origin in options(shown).values()} == {"default"}


async def test_nothing_is_made_for_the_question(tmp_path):
    (tmp_path / "base.toml").write_text(BASE)
    async with admin_world(tmp_path, SOURCES + SHAPING) as world:
        await world.helpers.shaping.load_now()
        await world.act(EXPLAIN_SHAPING, domain="a.test")

        assert len(world.ready) == len(world.queues) == 0
        assert world.audited() == []


@pytest.mark.parametrize(
    ("asked", "refusal", "field"),
    [
        ({"domain": ""}, Refusal.WRONG, "domain"),
        ({"domain": "dropped.test"}, Refusal.NOT_FOUND, None),
        ({"source": "ip-9"}, Refusal.NOT_FOUND, "source"),
        ({"pool": "q"}, Refusal.NOT_FOUND, "pool"),
    ],
)
async def test_what_does_not_exist_is_refused_by_name(tmp_path, asked, refusal, field):
    with pytest.raises(OperationRefusedError) as refused:
        await explain(tmp_path, SOURCES + SHAPING, **asked)

    assert (refused.value.refusal, refused.value.field) == (refusal, field)


@pytest.mark.parametrize(
    ("entries", "chosen"),
    [
        ([("a", 1), ("b", 3), ("c", 3)], "b"),
        ([("a", 0)], "unspecified"),
        ([], "unspecified"),
    ],
)
def test_the_source_with_the_greatest_weight_is_chosen(entries, chosen):
    pool = make_egress_pool(
        name="p", entries=[{"name": name, "weight": weight} for name, weight in entries]
    )
    assert heaviest(pool) == chosen
