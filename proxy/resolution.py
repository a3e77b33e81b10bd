"""Addresses of destinations that clients name, where that is allowed.

Place in flow: ``proxy.listener`` asks for its sessions; the resolver is made at the first name.

Failure: a host without addresses is a ``ConnectFailedError``, whatever the reason.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.model.errors import EngineError
from engine.route.dns_resolver import DnsResolver
from proxy.errors import ConnectFailedError, ReplyCode


class Resolution:
    """The resolver of one proxy.

    Args:
        make: Makes it; not called before somebody asks for a name.
    """

    def __init__(self, make: Callable[[], DnsResolver]) -> None:
        self._make = make
        self._resolver: DnsResolver | None = None

    def forget(self) -> None:
        """Make the resolver anew at the next name: settings may be others."""
        self._resolver = None

    async def addresses(self, name: str) -> list[str]:
        """Return the IP addresses of a host, those of IPv4 first.

        Raises:
            ConnectFailedError: It has none, or they cannot be found out now.
        """
        try:
            if self._resolver is None:
                self._resolver = self._make()
            found = await self._resolver.resolve_addresses(name)
        except EngineError as error:
            raise ConnectFailedError(f"{name}: {error}", ReplyCode.HOST_UNREACHABLE) from error
        if not found:
            raise ConnectFailedError(f"{name} has no address", ReplyCode.HOST_UNREACHABLE)
        return list(found)
