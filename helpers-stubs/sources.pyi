"""Egress sources and pools from tables."""

from collections.abc import Mapping, Sequence
from typing import Any

def setup(files: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]) -> None:
    """Answer for the egress sources and pools that some files define."""
