"""The bounds of the caches of memoize."""

from __future__ import annotations

import pytest

from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.model.address import parse_address
from engine.script_modules import memo_cache
from engine.script_modules.memo_cache import CACHES_MAX, MemoOptions, MemoRegistry, key_of
from engine.script_modules.script_call import caller_budget
from policy.errors import LimitExceededError

OPTIONS = MemoOptions(ttl_s=60.0, capacity=3)
BIG = "x" * 1_000_000


@pytest.fixture
def registry():
    return MemoRegistry(lambda: 0.0, Metrics(ENGINE_METRICS))


def place(serial, line=1):
    return serial, "init.py", line


def put(cache, key, value):
    cache.put(key, value, caller_budget())


def test_a_cache_keeps_as_many_as_it_may(registry):
    cache = registry.find("n", OPTIONS, place(1))
    for number in range(10):
        put(cache, number, number)

    assert len(cache) == 3
    assert cache.look_up(9)[1] and cache.look_up(6) == (None, False)


def test_size_is_a_bound_too(registry, monkeypatch):
    monkeypatch.setattr(memo_cache, "CACHE_BYTES", 2_500_000)
    cache = registry.find("n", MemoOptions(ttl_s=60.0, capacity=100), place(1))
    for number in range(10):
        put(cache, number, BIG)

    assert len(cache) == 2


def test_all_caches_together_have_a_bound(registry, monkeypatch):
    monkeypatch.setattr(memo_cache, "TOTAL_BYTES", 2_500_000)
    first, second = (registry.find(name, OPTIONS, place(1)) for name in "ab")
    put(first, 1, BIG)
    put(first, 2, BIG)
    put(second, 1, BIG)

    assert (len(first), len(second)) == (2, 0)
    assert registry.size_bytes == first.size_bytes


def test_replacing_and_forgetting_give_the_space_back(registry):
    cache = registry.find("n", OPTIONS, place(1))
    for _ in range(5):
        put(cache, "key", BIG)

    assert registry.size_bytes == cache.size_bytes < 1_100_000
    cache.clear()
    assert registry.size_bytes == 0


def test_what_is_larger_than_a_cache_is_not_kept(registry, monkeypatch):
    monkeypatch.setattr(memo_cache, "CACHE_BYTES", 1000)
    cache = registry.find("n", OPTIONS, place(1))

    put(cache, 1, BIG)

    assert len(cache) == 0 and registry.size_bytes == 0


def test_the_cache_of_other_options_is_another(registry):
    one = registry.find("n", OPTIONS, place(1))
    other = registry.find("n", MemoOptions(ttl_s=1.0, capacity=3), place(2))

    assert one is not other
    assert registry.find("n", OPTIONS, place(3)) is one


def test_names_without_end_do_not_fill_memory_nor_metrics(registry):
    for number in range(CACHES_MAX * 2):
        put(registry.find(f"n{number}", OPTIONS, place(1, number)), 1, "x")
        registry.find(f"n{number}", OPTIONS, place(1, number)).look_up(1)

    assert registry.size_bytes < CACHES_MAX * 1000
    assert len(registry._metrics.counter("lruttl_hit_count")) == CACHES_MAX + 1


def test_a_name_cannot_serve_two_functions_of_an_epoch(registry):
    registry.find("n", OPTIONS, place(1, line=3))

    with pytest.raises(ValueError, match=r"taken by the function at init.py:3"):
        registry.find("n", OPTIONS, place(1, line=9))
    registry.find("n", OPTIONS, place(2, line=9))


def test_keyword_arguments_are_part_of_the_key_in_any_order():
    assert key_of((), {"a": 1, "b": 2}) == key_of((), {"b": 2, "a": 1})
    assert key_of((), {"a": 1}) != key_of((1,), {})


def test_an_address_is_looked_up_by_its_text():
    one, other = parse_address("a@b.test"), parse_address("a@b.test")

    assert key_of((one,), {}) == key_of((other,), {})


@pytest.mark.parametrize("value", [["x" * 9000] * 2, {"x" * 17000: 1}, [[[[[[[[[[1]]]]]]]]]]])
def test_a_key_has_a_bound(value):
    with pytest.raises(LimitExceededError, match="too large"):
        key_of((value,), {})


def test_a_list_that_holds_itself_is_no_key():
    ring = []
    ring.append(ring)

    with pytest.raises(LimitExceededError):
        key_of((ring,), {})
