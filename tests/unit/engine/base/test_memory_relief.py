"""Memory is handed back to the system, but not all the time."""

from __future__ import annotations

from engine.base import memory_relief
from engine.base.memory_relief import PAUSE_S, MemoryRelief


async def test_relief_is_given_once_per_pause():
    now = [100.0]
    relief = MemoryRelief(lambda: now[0])

    assert relief.relieve_nowait()
    now[0] += PAUSE_S - 0.1
    assert not relief.relieve_nowait()
    now[0] += 0.1
    assert relief.relieve_nowait()
    assert relief.count == 2


def test_large_blocks_are_mapped_where_the_c_library_can(monkeypatch):
    calls = []

    class Library:
        def mallopt(self, name, value):
            calls.append((name, value))
            return 1

    monkeypatch.setattr(memory_relief.ctypes, "CDLL", lambda _name: Library())
    assert memory_relief.map_large_blocks()
    assert calls == [(-3, memory_relief.MAPPED_OCTETS)]

    monkeypatch.setattr(memory_relief.ctypes, "CDLL", lambda _name: object())
    assert not memory_relief.map_large_blocks()
