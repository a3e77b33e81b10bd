"""Memory is handed back to the system, but not all the time."""

from __future__ import annotations

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
