"""Administrative endpoints over HTTP: directives of operators, a look at queues and messages.

Place in flow: routes of ``engine.base.http_service``; writes ``engine.control``, reads snapshots.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from engine.base.clock import Clock
from engine.base.http_call import Access, HttpCall, HttpRefusalError
from engine.base.http_service import HttpService
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.suspensions import SuspensionRegistry
from engine.model import egress, queue_config
from engine.model.duration import parse_duration
from engine.model.errors import EngineError
from engine.model.message import SpoolId
from engine.model.suspension import Criteria
from engine.ready.ready_registry import ReadyRegistry
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.spool.spool_store import SpoolStore
from policy.errors import PolicyLoadError

DEFAULT_DURATION = "5m"


class DirectiveRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A bounce or suspension by criteria; what is left out matches everything."""

    reason: str
    campaign: str | None = None
    tenant: str | None = None
    domain: str | None = None
    routing_domain: str | None = None
    queue_names: list[str] = []
    duration: str | float | None = None
    expires: str | None = None
    suppress_logging: bool = False


class SuspendReadyRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A suspension of one ready queue by its name."""

    name: str
    reason: str
    duration: str | float | None = None
    expires: str | None = None


class IdRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The id of a directive."""

    id: str


class AutomationRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Whether decisions of the traffic shaping automation count on this node."""

    enabled: bool


class AutomationPort(Protocol):
    """The automation, as administration sees it."""

    async def switch(self, *, is_off: bool) -> bool:
        """Obey nobody, or again those that the policy names; return whether there are any."""

    def status(self) -> dict[str, Any]:
        """Return what it is doing, for people."""


class AdminPorts(Protocol):
    """What administration sees of a node."""

    clock: Clock
    bounces: AdminBounceRegistry
    suspensions: SuspensionRegistry
    queues: ScheduledRegistry
    ready: ReadyRegistry
    store: SpoolStore

    @property
    def automation(self) -> AutomationPort:
        """Return the automation of the node."""

    async def reload_policy(self) -> None:
        """Load the policy again; raises PolicyLoadError and keeps the running one if it fails."""


class AdminApi:
    """The administrative routes of a node."""

    def __init__(self, node: AdminPorts) -> None:
        self._node = node

    def add_to(self, service: HttpService) -> None:
        """Add the routes to a listener."""
        admin = Access.ADMIN
        add = service.add_route
        bounce, suspend = "/api/admin/bounce/v1", "/api/admin/suspend/v1"
        ready = "/api/admin/suspend-ready-q/v1"
        add("POST", bounce, self._bounce, admin, body=DirectiveRequest, summary="Bounce mail")
        add("GET", bounce, self._list_bounces, admin, summary="List bounces")
        add("DELETE", bounce, self._cancel_bounce, admin, body=IdRequest, summary="End a bounce")
        add("POST", suspend, self._suspend, admin, body=DirectiveRequest, summary="Suspend queues")
        add("GET", suspend, self._list_suspensions, admin, summary="List suspensions")
        add("DELETE", suspend, self._cancel_suspension, admin, body=IdRequest, summary="Resume")
        add(
            "POST",
            ready,
            self._suspend_ready,
            admin,
            body=SuspendReadyRequest,
            summary="Suspend a ready queue",
        )
        add("GET", ready, self._list_ready, admin, summary="List suspended ready queues")
        add("DELETE", ready, self._cancel_suspension, admin, body=IdRequest, summary="Resume")
        automation = "/api/admin/automation/v1"
        add("GET", automation, self._automation_status, admin, summary="Show the automation")
        add(
            "POST",
            automation,
            self._switch_automation,
            admin,
            body=AutomationRequest,
            summary="Switch the automation off or on, for this node",
        )
        add("POST", "/api/admin/bump-config-epoch", self._bump, admin, summary="Reload the policy")
        add(
            "GET",
            "/api/admin/inspect-message/v1",
            self._inspect_message,
            admin,
            summary="Show a message",
        )
        add(
            "GET",
            "/api/admin/inspect-sched-q/v1",
            self._inspect_queue,
            admin,
            summary="Show a scheduled queue",
        )
        add(
            "GET",
            "/api/admin/ready-q-states/v1",
            self._ready_states,
            admin,
            summary="Show what limits ready queues",
        )

    def _duration(self, request: Any) -> float:
        if request.expires is not None:
            try:
                instant = datetime.fromisoformat(request.expires)
            except ValueError:
                raise HttpRefusalError(422, "expires wants RFC 3339", "expires") from None
            if instant.tzinfo is None:
                raise HttpRefusalError(422, "expires needs a zone", "expires")
            return max(0.0, instant.timestamp() - self._node.clock.wall())
        try:
            return parse_duration(request.duration or DEFAULT_DURATION)
        except ValueError as error:
            raise HttpRefusalError(422, str(error), "duration") from None

    @staticmethod
    def _criteria(request: DirectiveRequest, *, with_routing: bool) -> Criteria:
        if request.routing_domain is not None and not with_routing:
            raise HttpRefusalError(422, "suspensions know no routing_domain", "routing_domain")
        return Criteria(
            campaign=request.campaign,
            tenant=request.tenant,
            domain=request.domain,
            routing_domain=request.routing_domain,
            queue_names=frozenset(request.queue_names),
        )

    async def _bounce(self, call: HttpCall) -> Any:
        request: DirectiveRequest = call.body
        directive = self._node.bounces.add(
            self._criteria(request, with_routing=True),
            request.reason,
            call.identity,
            self._duration(request),
            suppress_logging=request.suppress_logging,
        )
        return {"id": directive.id, "bounced": {}, "total_bounced": 0}

    async def _list_bounces(self, _call: HttpCall) -> Any:
        return [
            {**self._describe(one), "bounced": {}, "total_bounced": 0}
            for one in self._node.bounces.list()
        ]

    async def _cancel_bounce(self, call: HttpCall) -> Any:
        if not self._node.bounces.cancel(call.body.id):
            raise HttpRefusalError(404, "no such bounce")
        return "OK"

    async def _suspend(self, call: HttpCall) -> Any:
        request: DirectiveRequest = call.body
        directive = self._node.suspensions.add_scheduled(
            self._criteria(request, with_routing=False),
            request.reason,
            call.identity,
            self._duration(request),
        )
        return {"id": directive.id}

    async def _suspend_ready(self, call: HttpCall) -> Any:
        request: SuspendReadyRequest = call.body
        directive = self._node.suspensions.add_ready(
            request.name, request.reason, call.identity, self._duration(request)
        )
        return {"id": directive.id}

    async def _list_suspensions(self, _call: HttpCall) -> Any:
        return [self._describe(one) for one in self._node.suspensions.list_scheduled()]

    async def _list_ready(self, _call: HttpCall) -> Any:
        return [
            {
                "id": one.id,
                "name": one.name,
                "reason": one.reason,
                "duration": self._left(one),
                "expires": self._ends(one),
            }
            for one in self._node.suspensions.list_ready()
        ]

    async def _cancel_suspension(self, call: HttpCall) -> Any:
        if not self._node.suspensions.cancel(call.body.id):
            raise HttpRefusalError(404, "no such suspension")
        return "OK"

    def _left(self, directive: Any) -> str:
        return f"{max(0.0, directive.expires_mono - self._node.clock.mono()):.0f}s"

    def _ends(self, directive: Any) -> str:
        instant = datetime.fromtimestamp(self._node.clock.wall_of(directive.expires_mono), UTC)
        return instant.isoformat(timespec="seconds").replace("+00:00", "Z")

    def _describe(self, directive: Any) -> dict[str, Any]:
        criteria = directive.criteria
        return {
            "id": directive.id,
            "campaign": criteria.campaign,
            "tenant": criteria.tenant,
            "domain": criteria.domain,
            "routing_domain": criteria.routing_domain,
            "reason": directive.reason,
            "duration": self._left(directive),
        }

    async def _automation_status(self, _call: HttpCall) -> Any:
        return self._node.automation.status()

    async def _switch_automation(self, call: HttpCall) -> Any:
        request: AutomationRequest = call.body
        if not await self._node.automation.switch(is_off=not request.enabled):
            raise HttpRefusalError(404, "the policy subscribes to no TSA")
        return self._node.automation.status()

    async def _bump(self, _call: HttpCall) -> Any:
        try:
            await self._node.reload_policy()
        except PolicyLoadError as error:
            raise HttpRefusalError(500, f"the policy was rejected: {error}") from None
        except OSError as error:
            raise HttpRefusalError(503, f"the policy cannot be read: {error.strerror}") from None
        return "OK"

    async def _inspect_message(self, call: HttpCall) -> Any:
        text = call.request.query.get("id", "")
        try:
            spool_id = SpoolId(bytes.fromhex(text))
        except ValueError:
            raise HttpRefusalError(422, "id wants 32 hexadecimal digits", "id") from None
        try:
            stored = self._node.store.load(spool_id)
            if stored is None:
                raise HttpRefusalError(404, "no such message")
            message: dict[str, Any] = {
                "sender": stored.sender,
                "recipient": stored.recipients[0]
                if len(stored.recipients) == 1
                else stored.recipients,
                "meta": stored.meta,
                "num_attempts": stored.attempts,
                "due": stored.due_at,
                "scheduling": stored.schedule,
            }
            if call.request.query.get("want_body") in ("1", "true", "True"):
                body = self._node.store.load_body(SpoolId(stored.body_id))
                message["data"] = (stored.prefix + body).decode("utf-8", "replace")
        except EngineError as error:
            raise HttpRefusalError(503, str(error)) from None
        return {"id": text, "message": message}

    async def _inspect_queue(self, call: HttpCall) -> Any:
        name = call.request.query.get("queue_name", "")
        queue = self._node.queues.find(name)
        if queue is None:
            raise HttpRefusalError(404, "no such queue")
        limit = _whole("limit", call.request.query.get("limit", "100"))
        clock = self._node.clock
        rows = [
            {"id": entry.spool_id.hex(), "due": clock.wall_of(entry.due_mono)}
            for entry, _ in zip(queue.entries.values(), range(limit), strict=False)
        ]
        return {
            "queue_name": name,
            "messages": rows,
            "num_scheduled": len(queue),
            "queue_config": queue_config.to_json(queue.config) if queue.config else None,
            "blocked_by": queue.blocked_by or None,
            "now": clock.wall(),
        }

    async def _ready_states(self, _call: HttpCall) -> Any:
        states = {
            queue.name: {
                "ready_count": len(queue.messages),
                "connection_count": len(queue.dispatchers),
                "connection_limited": queue.limited_by or None,
                "suspended": queue.is_suspended,
                "path_config": egress.to_json(queue.path),
            }
            for queue in self._node.ready
        }
        return {"states_by_ready_queue": states}


def _whole(name: str, text: str) -> int:
    """Return a number of the query."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise HttpRefusalError(422, f"{name} wants a whole number", name)
    return int(text)
