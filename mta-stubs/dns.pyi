"""Where a node asks for names. Only in the ``init`` event."""

from collections.abc import Iterable

def configure_resolver(*, name_servers: Iterable[str]) -> None:
    """Ask these servers, "address" or "address:port", instead of the system's."""

def configure_test_resolver(*, zones: Iterable[str], servfail: Iterable[str] = ()) -> None:
    """Answer from the texts of these zone files only; names in ``servfail`` fail."""
