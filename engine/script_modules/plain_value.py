"""Plain values: what may be kept beyond the call and the epoch that made it.

Place in flow: ``memoized`` keeps copies; ``template`` and the maps take their values through here.

Invariants:
    * A copy shares nothing that can change with the value it was made from, and holds no object of
      a script's class: those would keep an old epoch alive.
    * Copying is counted in the caller's budget, and bounded in depth and parts.
"""

from __future__ import annotations

import datetime
import ipaddress
import uuid
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from engine.base.dkim_signer import DkimSigner
from engine.model.address import EnvelopeAddress
from engine.model.egress import EgressPath, EgressPool, EgressSource
from policy.budget import Budget
from policy.errors import LimitExceededError

DEPTH_MAX = 32
PARTS_MAX = 100_000
#: About what an object costs beside its content, octets.
_OBJECT_BYTES = 56
_CONSTANTS = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        datetime.datetime,
        datetime.date,
        datetime.time,
        datetime.timedelta,
        ipaddress.IPv4Address,
        ipaddress.IPv6Address,
        ipaddress.IPv4Network,
        ipaddress.IPv6Network,
        uuid.UUID,
        # Values of the engine that never change.
        DkimSigner,
        EgressPath,
        EgressPool,
        EgressSource,
        EnvelopeAddress,
    }
)


@runtime_checkable
class Keepable(Protocol):
    """An object of ours that can make itself fit to be kept."""

    def _kept(self, budget: Budget) -> tuple[Any, int]:
        """Return what stands for it for ever, which never changes, and its size in octets."""


class PlainCopy(NamedTuple):
    """A value to keep.

    Attributes:
        value: The copy.
        parts: How many objects it is made of.
        size_bytes: About how much memory it takes.
        is_constant: Whether it can be handed out as it is.
    """

    value: Any
    parts: int
    size_bytes: int
    is_constant: bool


class _Copying:
    """One copy being made."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.parts = 0
        self.size_bytes = 0
        self.is_constant = True

    def copy(self, value: Any, depth: int = 0) -> Any:
        kind = type(value)
        self.budget.tick()
        self.parts += 1
        self.size_bytes += _OBJECT_BYTES
        if self.parts > PARTS_MAX or depth > DEPTH_MAX:
            raise LimitExceededError("this value is too large, or too deep, to be kept")
        if kind is str or kind is bytes:
            self.size_bytes += len(value)
            return value
        if kind in _CONSTANTS:
            return value
        if kind is tuple:
            return tuple([self.copy(item, depth + 1) for item in value])
        if kind is frozenset:
            return frozenset([self.copy(item, depth + 1) for item in value])
        if isinstance(value, Keepable):
            kept, size_bytes = value._kept(self.budget)
            self.size_bytes += size_bytes
            return kept
        return self._copy_changeable(value, kind, depth)

    def _copy_changeable(self, value: Any, kind: type, depth: int) -> Any:
        self.is_constant = False
        if kind is list:
            return [self.copy(item, depth + 1) for item in value]
        if kind is set:
            return {self.copy(item, depth + 1) for item in value}
        if isinstance(value, dict | MappingProxyType):
            # What is special about a dict of ``collections`` stays behind.
            return {
                self.copy(key, depth + 1): self.copy(item, depth + 1) for key, item in value.items()
            }
        raise TypeError(
            "only plain values can be kept (text, bytes, numbers, times, lists, dicts), not"
            f" {kind.__name__[:100]}"
        )


def copy_plain(value: Any, budget: Budget) -> PlainCopy:
    """Return a copy of a value that is fit to be kept.

    Raises:
        TypeError: It holds something that is not plain.
        LimitExceededError: It is too large.
    """
    copying = _Copying(budget)
    made = copying.copy(value)
    return PlainCopy(made, copying.parts, copying.size_bytes, copying.is_constant)


def thaw(kept: PlainCopy, budget: Budget) -> Any:
    """Return a value made of a kept one, which its receiver may change."""
    if kept.is_constant:
        return kept.value
    budget.account_items(kept.parts)
    return _thaw(kept.value)


def _thaw(value: Any) -> Any:
    kind = type(value)
    if kind is list:
        return [_thaw(item) for item in value]
    if kind is dict:
        return {key: _thaw(item) for key, item in value.items()}
    if kind is tuple:
        return tuple([_thaw(item) for item in value])
    if kind is set:
        return set(value)
    return value
