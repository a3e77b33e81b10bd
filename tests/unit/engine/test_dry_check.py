"""A new epoch is tried before it takes over."""

from __future__ import annotations

import pytest

from engine.model.queue_name import parse_queue_name
from policy.errors import PolicyLoadError
from tests.unit.engine.test_script_api import Loader

POOL = """
@on("get_queue_config")
def queue(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(egress_pool="p")

@on("get_egress_pool")
def pool(name):
    return mta.make_egress_pool(name=name, entries=[{"name": "s"}]) if name == "p" else None
"""
SOURCE = """
@on("get_egress_source")
def source(name):
    return mta.make_egress_source(name=name) if name == "s" else None
"""


@pytest.fixture
def loader(tmp_path):
    return Loader(tmp_path)


def warnings(loader) -> str:
    return "\n".join(str(finding) for finding in loader.runtime.epoch.warnings)


def test_a_whole_script_has_nothing_to_say(loader):
    loader.load(POOL + SOURCE)

    assert loader.runtime.epoch.warnings == []


def test_init_that_fails_rejects_with_its_place(loader):
    with pytest.raises(PolicyLoadError) as caught:
        loader.init("x = 1", "return 1 // 0")

    assert (caught.value.line, "ZeroDivisionError" in caught.value.message) == (6, True)


def test_a_zone_that_cannot_be_read_rejects(loader):
    with pytest.raises(PolicyLoadError, match="line 1: unknown rdatatype 'ex'") as caught:
        loader.init('mta.dns.configure_test_resolver(zones=["x.test. ex 10 mx\\n"])')

    assert caught.value.line is not None


def test_the_limits_that_init_sets_hold_for_the_dry_calls_too(loader):
    loader.load("""
@on("init")
def init():
    mta.set_handler_limits(event="get_queue_config", cpu="7ms")

@on("get_queue_config")
def queue(domain, tenant, campaign, routing_domain):
    while True:
        pass
""")

    assert "used more than its 7 ms of CPU" in warnings(loader)


def test_a_log_hook_whose_records_have_no_queue_is_a_warning(loader):
    handler = """
@on("should_enqueue_log_record")
def should_enqueue(msg, hook_name):
    msg.set_meta("queue", "records.test")
"""
    loader.init("mta.configure_log_hook(name='h')")
    without = warnings(loader)
    loader.load(f"@on('init')\ndef init():\n    mta.configure_log_hook(name='h')\n{handler}")

    assert "records of a log hook go nowhere" in without
    assert warnings(loader) == ""


def test_init_cannot_refuse_mail(loader):
    with pytest.raises(PolicyLoadError, match="init refuses with 550 no"):
        loader.init("mta.reject(550, 'no')")


def test_a_pool_that_does_not_exist_rejects(loader):
    with pytest.raises(PolicyLoadError, match="names the pool 'q', which does not exist"):
        loader.load(POOL.replace('egress_pool="p"', 'egress_pool="q"'))


def test_a_source_that_does_not_exist_rejects(loader):
    with pytest.raises(PolicyLoadError, match="names the source 's', which does not exist"):
        loader.load(POOL)


def test_what_is_unspecified_needs_no_answer(loader):
    loader.load(
        POOL.replace('egress_pool="p"', 'egress_pool="unspecified"').replace(
            'if name == "p" else None', "if name else name[7]"
        )
        + SOURCE
    )

    assert warnings(loader) == ""


def test_an_answer_of_the_wrong_type_rejects(loader):
    with pytest.raises(PolicyLoadError, match="answers an object QueueConfig"):
        loader.load(
            "@on('get_queue_config')\n"
            "def q(domain, tenant, campaign, routing_domain):\n"
            "    return {}\n"
        )


def test_an_error_for_a_made_up_name_is_a_warning(loader):
    loader.load(
        "@on('get_queue_config')\n"
        "def q(domain, tenant, campaign, routing_domain):\n"
        "    return {}[domain]\n"
    )

    assert "get_queue_config" in warnings(loader)


def test_an_error_for_a_name_in_use_rejects(loader):
    loader.check.queues_in_use = lambda: [parse_queue_name("c:t@known.test")]

    with pytest.raises(PolicyLoadError, match="KeyError"):
        loader.load(
            "@on('get_queue_config')\n"
            "def q(domain, tenant, campaign, routing_domain):\n"
            "    return {}[tenant]\n"
        )


async def test_an_async_handler_that_does_not_wait_is_tried(loader):
    loader.load(
        "@on('get_egress_path')\n"
        "async def p(routing_domain, egress_source, site_name):\n"
        "    return mta.make_egress_path()\n"
    )

    assert loader.runtime.epoch.warnings == []


async def test_init_may_be_async_as_long_as_it_does_not_wait(loader):
    declared = loader.load("@on('init')\nasync def init():\n    mta.define_spool(path='x')\n")

    assert declared.spool is not None


ASYNC = """
@on("get_queue_config")
async def queue(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(egress_pool="p")

@on("get_egress_pool")
async def pool(name):
    return mta.make_egress_pool(name=name, entries=[{"name": "unspecified"}])
"""


def test_async_handlers_are_tried_without_an_event_loop(loader):
    loader.load(ASYNC)

    assert loader.runtime.epoch.warnings == []


async def test_async_handlers_are_tried_inside_an_event_loop(loader):
    loader.load(ASYNC)

    assert loader.runtime.epoch.warnings == []


def test_an_async_handler_with_a_wrong_option_rejects(loader):
    with pytest.raises(PolicyLoadError, match="unknown option 'colour'"):
        loader.load(ASYNC.replace('egress_pool="p"', 'colour="red"'))


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("get_egress_path", "routing_domain, egress_source, site_name"),
        ("get_egress_source", "name"),
        ("get_egress_pool", "name"),
        ("get_listener_domain", "domain, listener, conn"),
    ],
)
def test_a_wrong_option_rejects_whatever_name_was_asked_for(loader, event, arguments):
    make = event.replace("get_", "make_")
    body = f"return mta.{make}(**{{'bogus': 1}})"

    with pytest.raises(PolicyLoadError, match="unknown option 'bogus'") as caught:
        loader.load(f"@on('{event}')\ndef f({arguments}):\n    {body}\n")

    assert caught.value.line == 5


def test_a_handler_that_knows_only_its_own_names_is_fine(loader):
    loader.load("@on('get_egress_source')\ndef f(n):\n    return {}[n]")

    assert loader.runtime.epoch.warnings == []
