"""Tenants, campaigns and queues from tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from mta import Message

def setup(files: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]) -> None:
    """Answer for the queues that some files define; nobody may answer for queues after it."""

def apply(msg: Message) -> None:
    """Give a message to its tenant and campaign: call it in message_received, before signing.

    Reads and removes the headers that the tables name, sets tenant, campaign and routing_domain,
    and refuses what its tenant may not send.
    """

def resolve_config(domain: str, tenant: str | None = None, campaign: str | None = None) -> Any:
    """The configuration that the tables give a queue."""
