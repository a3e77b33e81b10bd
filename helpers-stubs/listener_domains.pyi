"""What is relayed to and from domains, from tables."""

from collections.abc import Mapping, Sequence
from typing import Any

def setup(files: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]) -> None:
    """Answer for the domains that some files define."""
