"""Why a message entered a queue: the enumerated causes.

Place in flow: each stage that puts a message into a queue adds its cause to ``message.context``;
records, hooks and the console show the names.

Invariants:
    * Each reason is one bit, so a context is one small number and adding a reason is one ``|``.
    * Bits are not stored: they may change between releases; the names may not.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache


class InsertReason(IntEnum):
    """One cause of entering a queue."""

    RECEIVED = 1 << 0
    ENUMERATED = 1 << 1
    SCHEDULED_FOR_LATER = 1 << 2
    READY_QUEUE_WAS_SUSPENDED = 1 << 3
    MESSAGE_RATE_THROTTLE = 1 << 4
    THROTTLED_BY_THROTTLE_INSERT_READY_QUEUE = 1 << 5
    READY_QUEUE_WAS_FULL = 1 << 6
    FAILED_TO_INSERT_INTO_READY_QUEUE = 1 << 7
    MESSAGE_GET_QUEUE_NAME_FAILED = 1 << 8
    ADMIN_REBIND = 1 << 9
    DUE_TIME_WAS_REACHED = 1 << 10
    MAX_READY_WAS_REDUCED_BY_CONFIG_UPDATE = 1 << 11
    READY_QUEUE_WAS_DELAYED_DUE_TO_LOW_MEMORY = 1 << 12
    FAILED_DUE_TO_NULL_MX = 1 << 13
    MX_RESOLVED_TO_ZERO_HOSTS = 1 << 14
    MX_WAS_PROHIBITED = 1 << 15
    MX_WAS_SKIPPED = 1 << 16
    TOO_MANY_CONNECTION_FAILURES = 1 << 17
    TOO_MANY_RECIPIENTS = 1 << 18
    CONNECTION_RATE_THROTTLE = 1 << 19
    LOGGED_TRANSIENT_FAILURE = 1 << 20
    READY_QUEUE_WAS_REAPED = 1 << 21
    DISPATCHER_DROP = 1 << 22
    PEER_CLOSED_CONNECTION = 1 << 23
    PROTOCOL_CHANGED = 1 << 24
    SPOOL_UNHEALTHY = 1 << 25
    SOURCE_IS_UNHEALTHY_AND_SUSPENDED = 1 << 26
    #: Every source was at its selection rate: the message waits for the soonest, uncounted.
    SOURCE_SELECTION_THROTTLE = 1 << 27
    #: The handler of ``throttle_insert_ready_queue`` failed, which delays the message as well.
    THROTTLE_HANDLER_FAILED = 1 << 28

    @property
    def label(self) -> str:
        """Return the name that records and hooks show, such as ``ReadyQueueWasFull``."""
        return self.name.title().replace("_", "")

    def __str__(self) -> str:
        return self.label


@lru_cache(maxsize=4096)
def reason_names(mask: int) -> tuple[str, ...]:
    """Return the names of the reasons in a context, in the order of their declaration."""
    return tuple(reason.label for reason in InsertReason if reason & mask)
