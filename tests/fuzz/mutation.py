"""Damage to octets, repeatable: one seed, one run.

Place in flow: ``tests.fuzz.__main__`` asks for sequences, ``tests.fuzz.targets`` judges what the
parsers make of them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

#: Octets that mean something in one of the protocols: versions, kinds, lengths, ends of lines.
TELLING = bytes([0, 1, 2, 3, 4, 5, 6, 9, 10, 12, 13, 16, 32, 33, 37, 43, 48, 58, 127, 128, 255])
#: The most octets of a sequence; larger than anything that a parser holds.
SIZE_MAX = 20_000


class Mutator:
    """Makes sequences of octets out of valid ones."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)
        self._ways = (
            self._set_octet,
            self._set_octet,
            self._flip_bit,
            self._flip_bit,
            self._delete,
            self._insert,
            self._duplicate,
            self._swap,
            self._truncate,
            self._count_up,
        )

    def sequence(self, corpus: Sequence[bytes]) -> bytes:
        """Return a sequence: nearly always a damaged one, seldom a sound or a random one."""
        chance = self.chance
        kind = chance.random()
        if kind < 0.05:
            return chance.randbytes(chance.randrange(80))
        data = bytearray(chance.choice(corpus))
        if kind < 0.08:
            return bytes(data)
        if kind < 0.25:
            self._splice(data, chance.choice(corpus))
        for _ in range(chance.choice((1, 1, 1, 1, 2, 2, 3, 5)) - (kind < 0.15)):
            chance.choice(self._ways)(data)
        if kind > 0.995:
            data *= chance.randrange(2, 200)
        return bytes(data[:SIZE_MAX])

    def cuts(self, size: int) -> list[int]:
        """Return where to cut a sequence: into single octets, or at a few places."""
        chance = self.chance
        if size <= 120 and chance.random() < 0.2:
            return list(range(1, size))
        return sorted(chance.randrange(size + 1) for _ in range(chance.randrange(1, 5)))

    def _place(self, data: bytearray) -> int:
        return self.chance.randrange(len(data) or 1)

    def _set_octet(self, data: bytearray) -> None:
        if data:
            data[self._place(data)] = self.chance.choice(TELLING)

    def _flip_bit(self, data: bytearray) -> None:
        if data:
            data[self._place(data)] ^= 1 << self.chance.randrange(8)

    def _count_up(self, data: bytearray) -> None:
        """Make a length, a port or a digit one more or less than it is."""
        if data:
            place = self._place(data)
            data[place] = (data[place] + self.chance.choice((-1, 1))) % 256

    def _delete(self, data: bytearray) -> None:
        place = self._place(data)
        del data[place : place + self.chance.randrange(1, 5)]

    def _insert(self, data: bytearray) -> None:
        place = self._place(data)
        data[place:place] = self.chance.randbytes(self.chance.randrange(1, 6))

    def _duplicate(self, data: bytearray) -> None:
        start, place = self._place(data), self._place(data)
        part = data[start : start + self.chance.randrange(1, 24)]
        data[place:place] = part * self.chance.choice((1, 1, 1, 2, 8))

    def _swap(self, data: bytearray) -> None:
        size = self.chance.randrange(1, 9)
        first, second = self._place(data), self._place(data)
        held = data[first : first + size]
        data[first : first + size] = data[second : second + size]
        data[second : second + size] = held

    def _truncate(self, data: bytearray) -> None:
        del data[self._place(data) :]

    def _splice(self, data: bytearray, other: bytes) -> None:
        """Go on with another sequence from some place on."""
        del data[self.chance.randrange(len(data) + 1) :]
        data += other[self.chance.randrange(len(other) + 1) :]
