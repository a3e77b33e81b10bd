"""The last hour of a node: its samples, and why mail failed.

Place in flow: an operation of ``engine.admin.operation``, for the web page and ``cirrus top``.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.history_samples import SAMPLE_S, SAMPLES_KEPT, Sample
from engine.admin.instant import format_instant, parse_instant
from engine.admin.operation import Operation
from engine.model.caller import Caller
from engine.records.record_tally import Reason


class FailureReason(msgspec.Struct, frozen=True, kw_only=True):
    """Failures of the last hour that are the same but for the words.

    Attributes:
        is_permanent: Whether mail was given up for it; else it was deferred.
        provider: The provider; the site or domain where it has no name.
        code: The code of the reply.
        enhanced: Its enhanced status such as ``4.7.1``; empty where it has none.
        count: How often, at least: what is rare is not kept.
        text: The words of the latest reply.
        queue_name: The scheduled queue of the latest message.
        last: When that was, RFC 3339.
    """

    is_permanent: bool
    provider: str
    code: int
    enhanced: str
    count: int
    text: str
    queue_name: str
    last: str


class HistoryRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How much is wanted.

    Attributes:
        since: Samples after this instant, RFC 3339: the ``time`` of the last one that is known.
        samples: How many at most, the latest.
        reasons: How many reasons, the most frequent.
    """

    since: str | None = None
    samples: Annotated[int, msgspec.Meta(ge=0, le=SAMPLES_KEPT)] = SAMPLES_KEPT
    reasons: Annotated[int, msgspec.Meta(ge=0, le=100)] = 20


class HistoryShown(msgspec.Struct, frozen=True, kw_only=True):
    """The last hour of a node.

    Attributes:
        node_id: The node.
        hostname: The name of its machine.
        version: Of the program.
        online_since: When the process was started, RFC 3339.
        now: The present, RFC 3339.
        interval: Seconds between samples.
        samples: The samples, the oldest first.
        reasons: Why mail failed, the most frequent first.
    """

    node_id: str
    hostname: str
    version: str
    online_since: str
    now: str
    interval: float
    samples: list[Sample]
    reasons: list[FailureReason]


async def show_history(node: AdminNode, _caller: Caller, request: HistoryRequest) -> HistoryShown:
    """Return the last hour, or what is new of it."""
    since_at = None if request.since is None else parse_instant(request.since, "since")
    ago_mono = node.clock.mono()
    now_at = node.clock.wall()
    return HistoryShown(
        node_id=node.node_id,
        hostname=node.recorder.hostname,
        version=node.version,
        online_since=node.online_since,
        now=format_instant(now_at),
        interval=SAMPLE_S,
        samples=node.history.latest(request.samples, since_at),
        reasons=[
            _show_reason(one, now_at - (ago_mono - one.last_mono))
            for one in node.recorder.tally.reasons(request.reasons)
        ],
    )


def _show_reason(reason: Reason, last_at: float) -> FailureReason:
    return FailureReason(
        is_permanent=reason.is_permanent,
        provider=reason.provider,
        code=reason.code,
        enhanced="" if reason.enhanced is None else str(reason.enhanced),
        count=reason.count,
        text=reason.text,
        queue_name=reason.queue_name,
        last=format_instant(last_at),
    )


HISTORY = Operation(
    "history",
    show_history,
    HistoryRequest,
    HistoryShown,
    "Show the last hour in numbers, and why mail failed",
    leaves_record=False,
)
