"""Networks and the values of addresses."""

from __future__ import annotations

import pytest

from engine.script_modules.cidr_map import NetworkMap
from policy.errors import PolicyLoadError

MAP = NetworkMap(
    {"0.0.0.0/0": "any", "10.0.0.0/8": "lan", "10.1.2.3": "host", "2001:db8::/32": "six"}
)


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("10.9.9.9", "lan"),
        ("10.1.2.3", "host"),
        ("10.1.2.3:25", "host"),
        ("[10.1.2.3]", "host"),
        ("::ffff:10.1.2.3", "host"),
        ("192.0.2.1", "any"),
        ("2001:db8::1", "six"),
        ("[2001:db8::1]:25", "six"),
    ],
)
def test_the_longest_prefix_wins(address, value):
    assert MAP[address] == value


@pytest.mark.parametrize("address", ["", "x", "2001:db9::1", "1" * 100, "10.1.2.3.4"])
def test_what_is_in_no_network_has_no_value(address):
    assert MAP.get(address, "none") == "none"
    assert address not in MAP


def test_a_network_set_later_counts():
    found = NetworkMap({"10.0.0.0/8": 1})
    assert found["10.1.1.1"] == 1

    found["10.1.0.0/16"] = 2

    assert found["10.1.1.1"] == 2 and len(found) == 2


def test_two_spellings_are_one_network():
    found = NetworkMap({"2001:DB8:0::/32": 1, "2001:db8::/32": 2})

    assert len(found) == 1 and found["2001:db8::1"] == 2


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("mta.cidr.make_map({'10.1.0.0/8': 1})", "has host bits set"),
        ("mta.cidr.make_map({'x': 1})", "not a network"),
        ("mta.cidr.make_map({1: 1})", "a network is text"),
        ("mta.cidr.make_map()['10.0.0.1']", "KeyError"),
        ("mta.cidr.make_map()[1]", "an address is text"),
    ],
)
def test_a_mistake_is_an_error_with_its_line(host, script, reason):
    with pytest.raises(PolicyLoadError, match=reason) as caught:
        host.load(script)

    assert caught.value.line == 3


async def test_a_large_table_is_not_built_in_a_handler_that_lacks_the_time(host):
    host.load(
        "NETS = {f'10.{a}.{b}.0/24': a for a in range(100) for b in range(150)}\n"
        "MAP = mta.cidr.make_map(NETS)\n"
        "@on('get_queue_config')\ndef ask(*args):\n    return str(MAP.get('10.1.1.1'))"
    )

    with pytest.raises(Exception, match="would use more than its 50 ms"):
        await host.fire("a")


def test_what_is_no_dict_is_refused_in_words():
    with pytest.raises(TypeError, match="a dict from networks"):
        NetworkMap(["10.0.0.0/8"])
