"""Networks."""

import pytest

from engine.model.cidr import CidrMap, CidrSet


def test_finds_addresses_of_both_families():
    networks = CidrSet.parse(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])

    assert "10.255.0.1" in networks
    assert "192.0.2.7" in networks
    assert "192.0.2.8" not in networks
    assert "2001:db8:1::1" in networks
    assert "2001:db9::1" not in networks


def test_a_mapped_spelling_bypasses_nothing():
    networks = CidrSet.parse(["127.0.0.0/8"])

    assert "::ffff:127.0.0.1" in networks
    assert "127.0.0.1" in CidrSet.parse(["::ffff:127.0.0.1"])


def test_what_is_no_address_is_in_no_set():
    everything = CidrSet.parse(["0.0.0.0/0", "::/0"])

    assert "" not in everything
    assert "/run/socket" not in everything
    assert None not in everything


def test_an_empty_set_is_false_and_holds_nothing():
    assert not CidrSet.parse([])
    assert "127.0.0.1" not in CidrSet.parse([])


def test_answers_alike_when_asked_again():
    networks = CidrSet.parse(["127.0.0.1"])

    assert ["127.0.0.1" in networks, "127.0.0.1" in networks] == [True, True]
    assert ["127.0.0.2" in networks, "127.0.0.2" in networks] == [False, False]


@pytest.mark.parametrize(
    "value", [["10.0.0.1/8"], ["10.0.0.0/33"], ["host"], [1], "10.0.0.0/8", 5, [None]]
)
def test_refuses_what_is_no_list_of_networks(value):
    with pytest.raises(ValueError):
        CidrSet.parse(value)


def test_the_longest_prefix_wins():
    found = CidrMap.parse({"0.0.0.0/0": "any", "10.0.0.0/8": "ten", "10.1.2.3": "one"})

    assert found.lookup("10.1.2.3") == "one"
    assert found.lookup("10.1.2.4") == "ten"
    assert found.lookup("8.8.8.8") == "any"
    assert found.lookup("::1") is None
    assert found.lookup("::1", "none") == "none"


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "127.0.0.1:25", "[127.0.0.1]:25", "[::ffff:127.0.0.1]:25"]
)
def test_takes_addresses_with_ports(text):
    assert CidrMap.parse({"127.0.0.0/8": 1}).lookup(text) == 1


def test_takes_v6_addresses_with_and_without_ports():
    found = CidrMap.parse({"::1": 1})

    assert [found.lookup(text) for text in ("::1", "[::1]", "[::1]:25", "x:25")] == [1, 1, 1, None]
    assert "::1" in found
    assert "::2" not in found


def test_refuses_what_is_no_map():
    with pytest.raises(ValueError):
        CidrMap.parse(["10.0.0.0/8"])
