"""Administration by HTTP: each endpoint is an operation behind a path.

Place in flow: routes of ``engine.base.http_service``; perform the operations of ``engine.admin``.

Invariants:
    * Nothing is decided here: an endpoint decodes, performs and encodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from engine.admin import (
    audit,
    decisions,
    diagnostics,
    directives,
    explanations,
    history,
    maintenance,
    message_search,
    messages,
    paths,
    policy_status,
    queue_list,
    queues,
    ready_queues,
    rebind,
    shaping_explain,
    single_messages,
    source_suspensions,
)
from engine.admin.admin_node import AdminNode
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.event_stream import StreamSockets
from engine.admin.operation import NOTHING, NoArguments, Operation, perform
from engine.admin.record_stream import RECORDS
from engine.admin.tracing import CLIENT_SESSIONS, SERVER_SESSIONS
from engine.base.http_call import Access, HttpCall, HttpRefusalError
from engine.base.http_service import HttpService
from engine.model.caller import Caller

STATUSES = {
    Refusal.WRONG: 422,
    Refusal.NOT_FOUND: 404,
    Refusal.UNAVAILABLE: 503,
    Refusal.FAILED: 500,
}


class Endpoint(NamedTuple):
    """Where an operation is reached."""

    method: str
    path: str
    operation: Operation


ENDPOINTS = (
    Endpoint("POST", "/api/admin/bounce/v1", directives.BOUNCE),
    Endpoint("GET", "/api/admin/bounce/v1", directives.BOUNCE_LIST),
    Endpoint("DELETE", "/api/admin/bounce/v1", directives.BOUNCE_CANCEL),
    Endpoint("POST", "/api/admin/suspend/v1", directives.SUSPEND),
    Endpoint("GET", "/api/admin/suspend/v1", directives.SUSPEND_LIST),
    Endpoint("DELETE", "/api/admin/suspend/v1", directives.SUSPEND_CANCEL),
    Endpoint("POST", "/api/admin/suspend-ready-q/v1", directives.SUSPEND_READY),
    Endpoint("GET", "/api/admin/suspend-ready-q/v1", directives.SUSPEND_READY_LIST),
    Endpoint("DELETE", "/api/admin/suspend-ready-q/v1", directives.SUSPEND_READY_CANCEL),
    Endpoint("POST", "/api/admin/suspend-source/v1", source_suspensions.SUSPEND_SOURCE),
    Endpoint("GET", "/api/admin/suspend-source/v1", source_suspensions.SUSPEND_SOURCE_LIST),
    Endpoint("DELETE", "/api/admin/suspend-source/v1", source_suspensions.SUSPEND_SOURCE_CANCEL),
    Endpoint("POST", "/api/admin/rebind/v1", rebind.REBIND),
    Endpoint("GET", "/api/admin/automation/v1", maintenance.AUTOMATION),
    Endpoint("POST", "/api/admin/automation/v1", maintenance.SWITCH_AUTOMATION),
    Endpoint("GET", "/api/admin/shared-limits/v1", maintenance.SHARED_LIMITS),
    Endpoint("POST", "/api/admin/bump-config-epoch", maintenance.BUMP_EPOCH),
    Endpoint("POST", "/api/admin/spool-compact/v1", maintenance.COMPACT_SPOOL),
    Endpoint("POST", "/api/admin/set_diagnostic_log_filter/v1", diagnostics.LOG_FILTER),
    Endpoint("GET", "/api/admin/set_diagnostic_log_filter/v1", diagnostics.LOG_FILTER_SHOW),
    Endpoint("GET", "/api/admin/memory/stats", diagnostics.MEMORY_STATS),
    Endpoint("GET", "/api/admin/task-dump", diagnostics.TASK_DUMP),
    Endpoint("GET", "/api/machine-info", diagnostics.MACHINE_INFO),
    Endpoint("GET", "/api/admin/history/v1", history.HISTORY),
    Endpoint("GET", "/api/admin/queues/v1", queue_list.QUEUES),
    Endpoint("GET", "/api/admin/why/v1", explanations.WHY),
    Endpoint("GET", "/api/admin/messages/v1", message_search.MESSAGES),
    Endpoint("POST", "/api/admin/hold/v1", single_messages.HOLD),
    Endpoint("POST", "/api/admin/release/v1", single_messages.RELEASE),
    Endpoint("POST", "/api/admin/send-now/v1", single_messages.SEND_NOW),
    Endpoint("POST", "/api/admin/move/v1", single_messages.MOVE),
    Endpoint("POST", "/api/admin/expire/v1", single_messages.EXPIRE),
    Endpoint("GET", "/api/admin/inspect-message/v1", messages.INSPECT),
    Endpoint("GET", "/api/admin/inspect-sched-q/v1", queues.INSPECT_SCHEDULED),
    Endpoint("GET", "/api/admin/ready-q-states/v1", ready_queues.READY_STATES),
    Endpoint("GET", "/api/admin/inspect-ready-q/v1", ready_queues.INSPECT_READY),
    Endpoint("POST", "/api/admin/abort-ready-q-conn/v1", ready_queues.ABORT_SESSION),
    Endpoint("GET", "/api/admin/resolve-egress-path/v1", paths.RESOLVE_PATH),
    Endpoint("GET", "/api/admin/shaping-explain/v1", shaping_explain.EXPLAIN_SHAPING),
    Endpoint("GET", "/api/admin/policy/v1", policy_status.POLICY),
    Endpoint("GET", "/api/admin/decisions/v1", decisions.DECISIONS),
    Endpoint("GET", "/api/admin/audit/v1", audit.AUDIT),
)
#: What can be watched over websockets.
STREAMS = (SERVER_SESSIONS, CLIENT_SESSIONS, RECORDS)


class AdminApi:
    """The administrative routes of a node.

    Attributes:
        tracing: The websockets that show sessions and records.
    """

    def __init__(self, node: AdminNode) -> None:
        self._node = node
        self.tracing = StreamSockets(node, STREAMS)

    def add_to(
        self,
        service: HttpService,
        endpoints: Iterable[Endpoint] = ENDPOINTS,
        statuses: Mapping[Refusal, int] = STATUSES,
    ) -> None:
        """Add the routes to a listener; refusals are answered with the statuses."""
        for method, path, operation in endpoints:
            in_query = method == "GET"
            has_arguments = operation.request is not NoArguments
            service.add_route(
                method,
                path,
                self._route(operation, statuses, in_query=in_query),
                Access.ADMIN,
                body=operation.request if has_arguments and not in_query else None,
                query=operation.request if has_arguments and in_query else None,
                answer=operation.answer,
                summary=operation.summary,
                refusals={statuses[kind]: text for kind, text in operation.refusals.items()},
            )

    def _route(
        self, operation: Operation, statuses: Mapping[Refusal, int], *, in_query: bool
    ) -> Any:
        async def serve(call: HttpCall) -> Any:
            request = call.query if in_query else call.body
            try:
                return await perform(
                    self._node, operation, caller_of(call), NOTHING if request is None else request
                )
            except OperationRefusedError as refused:
                status = statuses[refused.refusal]
                raise HttpRefusalError(status, refused.text, refused.field) from None

        return serve

    def note_denied(self, call: HttpCall, text: str) -> None:
        """Note that somebody was turned away from administration."""
        if call.route.access is Access.ADMIN:
            act = f"{call.request.method} {call.route.path}"
            self._node.audit.note_denied(caller_of(call), act, text)


def caller_of(call: HttpCall) -> Caller:
    """Return who calls."""
    return Caller(call.identity, call.peer_ip, "http")
