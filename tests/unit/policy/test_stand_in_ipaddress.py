"""Networks of scripts are networks, but for walking through very many."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from policy.budget import Budget
from policy.errors import BudgetSpentError, LimitExceededError
from policy.guards import Guards
from policy.stand_in_ipaddress import ipaddress_names


def _names(budget_ns: int = 10_000_000_000) -> dict[str, Any]:
    budget = Budget()
    budget.enter(budget_ns)
    return ipaddress_names(Guards(budget))


@pytest.mark.parametrize("text", ["10.0.0.0/29", "2001:db8::/125", "10.0.0.1/32"])
def test_a_network_gives_what_the_library_gives(text: str) -> None:
    ours, real = _names()["ip_network"](text), ipaddress.ip_network(text)

    assert ours == real
    assert list(ours) == list(real)
    assert list(ours.hosts()) == list(real.hosts())
    assert [str(net) for net in ours.supernet().subnets()] == [
        str(net) for net in real.supernet().subnets()
    ]
    assert real.network_address in ours


def test_host_bits_are_an_error_unless_allowed() -> None:
    names = _names()

    with pytest.raises(ValueError, match="host bits"):
        names["ip_network"]("10.0.0.1/8")
    assert str(names["ip_network"]("10.0.0.1/8", strict=False)) == "10.0.0.0/8"


@pytest.mark.parametrize(
    "walk",
    [
        lambda names: iter(names["ip_network"]("::/0")),
        lambda names: names["ip_network"]("10.0.0.0/8").hosts(),
        lambda names: names["ip_network"]("10.0.0.0/8").subnets(16),
        lambda names: names["ip_network"]("10.0.0.0/8").subnets(new_prefix=30),
        lambda names: iter(names["ip_interface"]("10.0.0.1/8").network),
        lambda names: iter(names["ip_network"]("10.0.0.0/24").supernet(new_prefix=4)),
        lambda names: iter(next(names["ip_network"]("10.0.0.0/8").subnets())),
        lambda names: names["collapse_addresses"]([ipaddress.ip_network("10.0.0.0/24")] * 5000),
    ],
)
def test_very_many_addresses_are_not_walked(walk: Any) -> None:
    with pytest.raises(LimitExceededError):
        walk(_names())


def test_walking_uses_the_budget() -> None:
    names = _names(1_000_000)

    with pytest.raises(BudgetSpentError):
        list(names["ip_network"]("10.0.0.0/16"))


def test_collapsed_networks_are_bounded_too() -> None:
    names = _names()
    halves = [names["ip_network"](text) for text in ("10.0.0.0/9", "10.128.0.0/9")]

    (whole,) = names["collapse_addresses"](halves)

    assert str(whole) == "10.0.0.0/8"
    with pytest.raises(LimitExceededError):
        iter(whole)
