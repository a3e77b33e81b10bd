"""Each store has what the interface names, with the same parameters."""

from __future__ import annotations

import inspect

import pytest

from engine.spool.disk_store import DiskStore
from engine.spool.memory_store import MemoryStore
from engine.spool.spool_store import SpoolStore

_PROMISED = [name for name in vars(SpoolStore) if not name.startswith("_")]


@pytest.mark.parametrize("kind", [DiskStore, MemoryStore])
@pytest.mark.parametrize("name", _PROMISED)
def test_a_store_offers_what_the_interface_promises(kind, name):
    promised = inspect.signature(getattr(SpoolStore, name))
    assert inspect.signature(getattr(kind, name)) == promised
    is_async = inspect.iscoroutinefunction(getattr(SpoolStore, name))
    assert inspect.iscoroutinefunction(getattr(kind, name)) == is_async
