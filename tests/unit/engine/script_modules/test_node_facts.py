"""What scripts ask about the node and the policy."""

from __future__ import annotations

import os


def test_processors_are_those_of_the_process(host):
    assert host.value("mta.available_parallelism()") == str(len(os.sched_getaffinity(0)))


async def test_handlers_of_an_event_are_told_in_order(host):
    host.load(
        "@on('get_queue_config')\ndef one(*args):\n"
        "    return repr([(each['function'], each['line']) for each in"
        " mta.get_event_registrars('get_queue_config')])\n"
        "@on('get_queue_config')\ndef two(*args):\n    return None"
    )

    assert await host.fire("a") == "[('one', 3), ('two', 6)]"


def test_an_event_without_handlers_has_none(host):
    assert host.value("mta.get_event_registrars('nothing')") == "[]"


def test_the_size_of_caches_is_known_and_warned_of(host):
    host.load("mta.set_lruttl_cache_capacity('dns', 100)")

    assert host.warned == ["set_lruttl_cache_capacity('dns') is known but not in force"]
