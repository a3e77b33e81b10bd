"""What ``init`` says of how names are looked up: the declaring half of ``mta.dns``.

Place in flow: ``engine.script_api`` exposes it; ``engine.declared`` makes the resolver from it. The
look-ups themselves are in ``engine.script_modules.name_lookup``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.model.duration import parse_duration
from engine.model.keyword_options import list_of, text, whole
from engine.model.option_error import OptionError
from engine.route.resolver_options import (
    CONCURRENCY_MAX,
    read_name_servers,
    read_resolver_options,
)
from engine.script_declarations import Declarations
from policy.script_api import ScriptNamespace

MODULE = "mta.dns"


def _zone(value: Any) -> str:
    if not isinstance(value, str):
        raise OptionError(f"zones: the text of a zone file is expected, not {value!r:.80}")
    return value


class ResolverDeclarations:
    """Functions of ``init`` about DNS, and about folders for ``mta.sqlite``.

    Args:
        open_declarations: Returns what ``init`` declares now; raises outside of it.
        warn: Notes a warning.
    """

    def __init__(
        self, open_declarations: Callable[[str], Declarations], warn: Callable[[str], None]
    ) -> None:
        self._open = open_declarations
        self._warn = warn

    def configure_test_resolver(self, *, zones: Any, servfail: Any = ()) -> None:
        """Answer DNS from these zone file texts only; names in servfail fail."""
        declarations = self._open("dns.configure_test_resolver")
        declarations.test_resolver = (list_of(_zone)(zones), list_of(text)(servfail))

    def configure_resolver(
        self, *, name_servers: Any, domain: Any = None, search: Any = (), options: Any = None
    ) -> None:
        """Ask these name servers, "address" or "address:port", instead of the system's."""
        declarations = self._open("dns.configure_resolver")
        try:
            servers, idle = read_name_servers(name_servers)
        except ValueError as error:
            raise ValueError(f"name_servers: {error}") from error
        declarations.nameservers = servers
        if domain is not None or list_of(text)(search):
            idle += ("domain, search: names are looked up as they are written",)
        if options is not None:
            read, more = read_resolver_options(declarations.resolver_options, options)
            declarations.resolver_options, idle = read, idle + more
        for note in idle:
            self._warn(f"configure_resolver: {note}")

    def set_mx_timeout(self, duration: Any) -> None:
        """Set the longest that a look-up may take (5 s)."""
        seconds = parse_duration(duration)
        if not seconds:
            raise ValueError("a duration above zero is expected")
        self._limit("set_mx_timeout", timeout_s=seconds)

    def set_mx_concurrency_limit(self, limit: int) -> None:
        """Set how many look-ups may be under way (128)."""
        self._limit("set_mx_concurrency_limit", concurrency=whole(1, CONCURRENCY_MAX)(limit))

    def set_mx_negative_cache_ttl(self, duration: Any) -> None:
        """Set how long absence is remembered (5 minutes)."""
        self._limit("set_mx_negative_cache_ttl", negative_ttl_s=parse_duration(duration))

    def _limit(self, name: str, **limits: Any) -> None:
        declarations = self._open(f"dns.{name}")
        declarations.resolver_options = replace(declarations.resolver_options, **limits)

    def allow_folder(self, path: str) -> None:
        """Let mta.sqlite keep files in a folder beside that of the policy."""
        folder = Path(text(path))
        if not folder.is_absolute():
            raise ValueError(f"an absolute name of a folder is expected, not {path!r}")
        self._open("sqlite.allow_folder").data_folders += (folder,)

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make everything here importable by scripts."""
        for function in (
            self.configure_test_resolver,
            self.configure_resolver,
            self.set_mx_timeout,
            self.set_mx_concurrency_limit,
            self.set_mx_negative_cache_ttl,
        ):
            namespace.expose(function.__name__, function, module=MODULE)
        namespace.expose("allow_folder", self.allow_folder, module="mta.sqlite")
