"""``int`` and ``bytes`` of scripts pass for the real types, and make nothing outsized."""

from __future__ import annotations

from typing import Any

import pytest

from policy.budget import Budget
from policy.errors import LimitExceededError
from policy.guarded_types import MAX_INT_BYTES, MAX_INT_DIGITS, int_from_bytes
from policy.guards import Guards


@pytest.fixture
def types() -> dict[type, Any]:
    budget = Budget()
    budget.enter(10_000_000_000)
    return Guards(budget).types


def test_they_make_values_of_the_real_type(types: dict[type, Any]) -> None:
    assert type(types[int]("12", 8)) is int
    assert type(types[bytes](b"a")) is bytes
    assert (types[int](), types[int](1.9), types[bytes](2)) == (0, 1, b"\0\0")


def test_they_answer_for_the_real_type(types: dict[type, Any]) -> None:
    assert isinstance(1, types[int])
    assert not isinstance("1", types[int])
    assert issubclass(bool, types[int])
    assert types[bytes] == bytes  # noqa: E721 - equality is what is tested
    assert {types[int]: "a"}[int] == "a"
    assert isinstance(None, types[int] | None)
    assert isinstance(None, None | types[int])
    assert repr(types[int]) == "<class 'int'>"


def test_class_patterns_capture_with_them(types: dict[type, Any]) -> None:
    int_, bytes_ = types[int], types[bytes]

    match [5, b"x"]:
        case [int_(number), bytes_(data)]:
            found = number, data

    assert found == (5, b"x")


@pytest.mark.parametrize("base", [10, 16, 2])
def test_a_text_of_too_many_digits_is_refused(types: dict[type, Any], base: int) -> None:
    with pytest.raises(LimitExceededError, match="digits"):
        types[int]("1" * (MAX_INT_DIGITS + 1), base)


def test_bytes_of_a_text_want_a_codec(types: dict[type, Any]) -> None:
    with pytest.raises(TypeError):
        types[bytes]("")


def test_too_many_bytes_are_refused(types: dict[type, Any]) -> None:
    with pytest.raises(LimitExceededError):
        types[bytes](10**10)


def test_a_slow_codec_is_refused_for_a_long_text(types: dict[type, Any]) -> None:
    assert types[bytes]("é", "punycode") == b"9ca"
    with pytest.raises(LimitExceededError, match="codec"):
        types[bytes]("é" * 100_000, "punycode")


def test_from_bytes_is_bounded() -> None:
    assert int_from_bytes(b"\1\0") == 256
    assert int_from_bytes([1, 0], "little", signed=True) == 1
    with pytest.raises(LimitExceededError):
        int_from_bytes(b"x" * (MAX_INT_BYTES + 1))
