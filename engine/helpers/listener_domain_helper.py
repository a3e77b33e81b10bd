"""``helpers.listener_domains``: what is relayed to and from domains, from tables.

Place in flow: ``listener_domains.setup([...])`` answers ``get_listener_domain``.

    ["example.com"]
    relay_to = true
    log_oob = true

    ["*.example.com"]
    relay_from_authz = ["customer-1"]

    [listener."10.0.0.1:25"."example.com"]
    relay_to = false

Invariants:
    * The table of the very listener is asked first, then the one of all; in each the domain itself
      comes before wildcards, the longest first, then ``*``.
    * Somebody named by ``relay_from_authz`` may relay from where he is, and from nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.helpers.helper_file import HelperData
from engine.helpers.helper_setup import setting_up
from engine.model.cidr import CidrSet
from engine.model.keyword_options import Option, list_of, text
from engine.model.listener_domain import OPTIONS, ListenerDomain, make_listener_domain
from engine.model.listener_options import format_listen, parse_listen
from engine.script_metadata import ConnectionView
from engine.script_modules.domain_map import DomainMap, normal_key
from policy.script_api import ScriptNamespace

NAME = "listener_domains"
_LISTENER = "listener"
_AUTHZ = "relay_from_authz"
_OPTIONS: Mapping[str, Option] = {**OPTIONS, _AUTHZ: Option(list_of(text))}


@dataclass(frozen=True, slots=True)
class _Rule:
    domain: ListenerDomain
    authz: frozenset[str]


class ListenerDomainTables:
    """The rules of one epoch."""

    def __init__(self, data: HelperData) -> None:
        self._taken: set[tuple[str, str]] = set()
        self._general = DomainMap()
        self._by_listener: dict[str, DomainMap] = {}
        for name, table in data.tables():
            if name != _LISTENER:
                self._add(data, self._general, (name,), table)
        for name, table in data.tables(_LISTENER):
            try:
                listener = format_listen(parse_listen(name))
            except ValueError as error:
                data.error(f"{_LISTENER}: {error}", _LISTENER, name)
                continue
            domains = self._by_listener.setdefault(listener, DomainMap())
            for domain, _ in data.tables(_LISTENER, name):
                self._add(data, domains, (_LISTENER, name, domain), table[domain])

    def _add(
        self, data: HelperData, domains: DomainMap, path: tuple[str, ...], table: dict[str, Any]
    ) -> None:
        options = data.read(path, table, _OPTIONS)
        data.note(ListenerDomain.unsupported(options), *path)
        authz = frozenset(options.pop(_AUTHZ, ()))
        try:
            key = (path[-2] if len(path) > 1 else "", normal_key(path[-1]))
            if key in self._taken:
                data.error(f"the domain {path[-1]!r} stands here a second time", *path)
            self._taken.add(key)
            domains[path[-1]] = _Rule(make_listener_domain(**options), authz)
        except (ValueError, TypeError) as error:
            data.error(str(error), *path)

    def find(self, domain: str, listener: str, conn: ConnectionView) -> ListenerDomain | None:
        """Return what the listener does for a domain, or None where nothing is said of it."""
        special = self._by_listener.get(listener)
        rule: _Rule | None = special.get(domain) if special is not None else None
        if rule is None:
            rule = self._general.get(domain)
        if rule is None:
            return None
        identity = conn.get_meta("authz_id") if rule.authz else None
        if isinstance(identity, str) and identity in rule.authz:
            return _from_here(rule.domain, conn)
        return rule.domain


def _from_here(domain: ListenerDomain, conn: ConnectionView) -> ListenerDomain:
    peer = conn.get_meta("received_from")
    if not isinstance(peer, str):
        return domain
    address = parse_listen(peer)[0].partition("%")[0]
    return replace(domain, relay_from=CidrSet.parse([address]))


def setup(files: Any) -> None:
    """Answer for the domains that some files define.

    Args:
        files: Names of TOML or JSON files, or tables; later ones override.
    """
    with setting_up(NAME) as call:
        if call is None:
            return
        tables = ListenerDomainTables(call.read(files))
        call.keep(NAME, tables)
        call.epoch.native.on("get_listener_domain", tables.find, call.place)


def expose_listener_domains(namespace: ScriptNamespace) -> None:
    """Make ``helpers.listener_domains`` importable by scripts."""
    namespace.expose("setup", setup, module=f"helpers.{NAME}")
