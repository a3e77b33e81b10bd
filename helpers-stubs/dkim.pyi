"""Who signs what, from tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from mta import Message

def setup(files: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]) -> None:
    """Make the signers that some files define, for ``dkim.sign(msg)``."""

def sign(msg: Message) -> None:
    """Have a message signed for the domain of its From header, and by additional signatures.

    Call it last in message_received: what changes a message afterwards breaks the signature.
    """
