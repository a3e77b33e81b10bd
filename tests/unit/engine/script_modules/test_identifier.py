"""Identifiers grow, say their kind, and tell nothing of the machine."""

from __future__ import annotations

import uuid

import pytest

from engine.script_modules.identifier import Uuid, UuidMaker, new_v4, parse
from policy.errors import PolicyLoadError

AT = 1_700_000_000.25


@pytest.fixture
def maker():
    return UuidMaker(lambda: AT)


def made(value) -> uuid.UUID:
    return uuid.UUID(value.hyphenated)


@pytest.mark.parametrize(("name", "kind"), [("new_v1", 1), ("new_v6", 6), ("new_v7", 7)])
def test_an_identifier_says_its_kind(maker, name, kind):
    value = made(getattr(maker, name)())

    assert (value.version, value.variant) == (kind, uuid.RFC_4122)


@pytest.mark.parametrize("name", ["new_v6", "new_v7"])
def test_identifiers_sort_by_time_also_within_an_instant(maker, name):
    values = [getattr(maker, name)() for _ in range(5000)]

    assert values == sorted(values) and len(set(values)) == 5000


def test_identifiers_grow_when_the_clock_steps_back():
    now = [AT]
    maker = UuidMaker(lambda: now[0])
    before = (maker.new_v6(), maker.new_v7())
    now[0] -= 3600

    assert before[0] < maker.new_v6() and before[1] < maker.new_v7()


def test_the_time_of_the_first_kind_is_the_present(maker):
    ticks = made(maker.new_v1()).time

    assert (ticks - 0x01B21DD213814000) / 1e7 == pytest.approx(AT, abs=1e-5)


def test_the_time_of_the_seventh_kind_is_the_present(maker):
    assert made(maker.new_v7()).int >> 80 == int(AT * 1000)


def test_the_node_part_is_random_and_says_so(maker):
    node = made(maker.new_v1()).node

    assert node >> 40 & 1 == 1
    assert node != uuid.getnode() and node != UuidMaker(lambda: AT)._node


def test_spellings():
    text = "0199e1f0-0000-7000-8000-000000000001"
    value = parse(f"{{{text}}}")

    assert value.hyphenated == str(value) == text
    assert (value.braced, value.urn) == (f"{{{text}}}", f"urn:uuid:{text}")
    assert value.simple == text.replace("-", "") == value.bytes.hex()
    assert value == parse(value.bytes) == parse(text.upper()) and hash(value) == hash(parse(text))
    assert value.version == 7 and value != new_v4() and isinstance(value, Uuid)


@pytest.mark.parametrize("text", ["''", "'x'", "'0' * 100", "b'x'", "None"])
def test_what_is_none_is_an_error(host, text):
    with pytest.raises(PolicyLoadError, match="not a UUID"):
        host.load(f"mta.uuid.parse({text})")


def test_a_script_cannot_reach_the_maker(host):
    with pytest.raises(PolicyLoadError, match="__self__"):
        host.load("mta.uuid.new_v7.__self__")
