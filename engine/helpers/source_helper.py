"""``helpers.sources``: egress sources and pools from tables.

Place in flow: ``sources.setup([...])`` answers ``get_egress_source`` and ``get_egress_pool``;
``queue_helper`` holds the pools that queues name against it.

    [source."ip-1"]
    source_address = "10.0.0.1"
    ehlo_domain = "mta1.example.com"

    [pool."pool-1"."ip-1"]
    weight = 2

Invariants:
    * Every source and pool has been made before the policy counts as loaded.
    * A pool names sources that are defined, or ``unspecified``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.helpers.helper_file import HelperData
from engine.helpers.helper_setup import setting_up
from engine.model.egress import (
    SOURCE_OPTIONS,
    UNSPECIFIED,
    EgressPool,
    EgressSource,
    PoolEntry,
    make_egress_pool,
    make_egress_source,
)
from engine.model.keyword_options import Option, closest, whole
from policy.script_api import ScriptNamespace

NAME = "sources"
_SOURCE_OPTIONS = {name: option for name, option in SOURCE_OPTIONS.items() if name != "name"}
_ENTRY_OPTIONS = {"weight": Option(whole(0, 10**6))}
_TABLES = ("source", "pool")


class SourceTables:
    """The sources and pools of one epoch.

    Attributes:
        is_complete: Whether all files could be read.
    """

    def __init__(self, data: HelperData) -> None:
        self.is_complete = data.is_complete
        for name in data.values.keys() - set(_TABLES):
            data.error(f"unknown table {name!r}{closest(name, _TABLES)}", name)
        self._known_sources = data.table("source").keys() | {UNSPECIFIED}
        self._sources = dict(self._make_sources(data))
        self._pools = dict(self._make_pools(data))
        self._known_pools = data.table("pool").keys() | {UNSPECIFIED}

    def _make_sources(self, data: HelperData) -> Iterable[tuple[str, EgressSource]]:
        for name, table in data.tables("source"):
            path = ("source", name)
            options = data.read(path, table, _SOURCE_OPTIONS)
            try:
                yield name, make_egress_source(name=name, **options)
            except (ValueError, TypeError) as error:
                data.error(f"source {name!r}: {_without_owner(error)}", *path, _culprit(error))
            data.note(EgressSource.unsupported(options), *path)

    def _make_pools(self, data: HelperData) -> Iterable[tuple[str, EgressPool]]:
        for name, table in data.tables("pool"):
            entries: list[PoolEntry] = []
            for source, entry in data.tables("pool", name):
                path = ("pool", name, source)
                self._check_source(data, name, source)
                entries.append(PoolEntry(source, **data.read(path, entry, _ENTRY_OPTIONS)))
            try:
                pool = make_egress_pool(name=name, entries=entries)
            except (ValueError, TypeError) as error:
                data.error(f"pool {name!r}: {_without_owner(error)}", "pool", name)
                continue
            if table and not any(entry.weight for entry in entries):
                data.warn(f"pool {name!r}: no source has a weight: no mail leaves", "pool", name)
            elif not table:
                data.error(f"pool {name!r} has no source", "pool", name)
            yield name, pool

    def _check_source(self, data: HelperData, pool: str, source: str) -> None:
        if source not in self._known_sources and data.is_complete:
            hint = closest(source, self._known_sources)
            text = f"pool {pool!r} names the source {source!r}, which is not defined{hint}"
            data.error(text, "pool", pool, source)

    def misses_pool(self, pool: str) -> str | None:
        """Return a complaint about a pool that is not defined, or None."""
        if pool in self._known_pools or not self.is_complete:
            return None
        hint = closest(pool, self._known_pools)
        return f"the egress pool {pool!r} is not among those of helpers.sources{hint}"

    def find_source(self, name: str) -> EgressSource | None:
        """Return the source of this name, or None."""
        return self._sources.get(name)

    def find_pool(self, name: str) -> EgressPool | None:
        """Return the pool of this name, or None."""
        return self._pools.get(name)


def _without_owner(error: Exception) -> str:
    """Return the text of an option's error without the function that scripts would have called."""
    return str(error).partition(": ")[2] or str(error)


def _culprit(error: Exception) -> str:
    """Return the option that an error is about."""
    return _without_owner(error).partition(":")[0]


def setup(files: Any) -> None:
    """Answer for the egress sources and pools that some files define.

    Args:
        files: Names of TOML or JSON files, or tables; later ones override.
    """
    with setting_up(NAME) as call:
        if call is None:
            return
        tables = SourceTables(call.read(files))
        call.keep(NAME, tables)
        native = call.epoch.native
        native.on("get_egress_source", tables.find_source, call.place)
        native.on("get_egress_pool", tables.find_pool, call.place)


def expose_sources(namespace: ScriptNamespace) -> None:
    """Make ``helpers.sources`` importable by scripts."""
    namespace.expose("setup", setup, module=f"helpers.{NAME}")
