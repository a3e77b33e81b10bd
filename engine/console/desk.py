"""The node's side of the console: what an operator asks for is done here, in the node's loop.

Place in flow: ``engine.console.local_node`` calls it from the console's loop, and every call hops
over to the node's; performs the operations of ``engine.admin`` and subscribes to its hubs.

Invariants:
    * The role of the caller is looked at here, for each call, whatever the verb thought of it.
    * What goes back is text or plain values, encoded in the node's loop: nothing of the node is
      touched by another thread.
    * Nothing here waits for the console: it asks for more when it has room.

Failure: ``NodeRefusedError`` for what the node refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.audit_log import AuditResult
from engine.admin.errors import OperationRefusedError
from engine.admin.event_stream import EventStream, watch
from engine.admin.http_api import STATUSES, STREAMS, Endpoint
from engine.admin.operation import NOTHING, NoArguments, perform
from engine.base.event_hub import Subscription, TooManyReadersError
from engine.base.http_answer import PAUSE_S, take_slice
from engine.base.http_call import AuthInfo, BasicCredentials, HttpRefusalError
from engine.base.metrics import Metrics
from engine.cli.errors import NodeRefusedError
from engine.cli.node_port import LIVENESS_PATH
from engine.console.operator_keys import Operator
from engine.model.caller import Caller
from engine.model.role import Role

#: Frames that go over to the console at once.
FRAMES_MAX = 256

#: Acts that change the node itself, by the name of their operation.
_OF_ADMINS = frozenset(
    {
        "automation-switch",
        "bump-config-epoch",
        "drain",
        "drain-cancel",
        "set-log-filter",
        "spool-compact",
        "xfer",
        "xfer-cancel",
    }
)


@dataclass(frozen=True, slots=True)
class DeskPorts:
    """What the desk needs of a node besides its administration.

    Attributes:
        metrics: Its metrics.
        liveness: Returns why it takes no mail, or None.
        authenticate: Returns who credentials belong to.
    """

    metrics: Metrics
    liveness: Callable[[], str | None]
    authenticate: Callable[[BasicCredentials], Awaitable[AuthInfo | None]]


def role_for(endpoint: Endpoint, request: Any) -> Role:
    """Return what somebody must be for an act.

    Args:
        endpoint: Where it is done.
        request: Its arguments.
    """
    if endpoint.operation.name in _OF_ADMINS:
        return Role.ADMIN
    if endpoint.method != "GET" or getattr(request, "want_body", False):
        return Role.OPERATOR
    return Role.VIEWER


class ConsoleDesk:
    """The desk of one node; everything of it is called in the node's loop."""

    def __init__(self, node: AdminNode, endpoints: Iterable[Endpoint], ports: DeskPorts) -> None:
        self._node = node
        self._ports = ports
        self._streams = {one.path: one for one in STREAMS}
        self._endpoints = {(one.method, one.path): one for one in endpoints}

    # -- acts ---------------------------------------------------------------------------------

    async def call(
        self,
        operator: Operator,
        caller: Caller,
        method: str,
        path: str,
        arguments: Mapping[str, Any],
    ) -> tuple[bytes | None, str]:
        """Return the answer of an operation: JSON, or text.

        Raises:
            NodeRefusedError: The operator may not, or the node says no.
        """
        if path == LIVENESS_PATH:
            return None, self._liveness()
        endpoint = self._endpoints.get((method, path))
        if endpoint is None:
            raise NodeRefusedError(f"the node has no {method} {path}", 404)
        operation = endpoint.operation
        request = _decode(arguments, operation.request)
        wanted = role_for(endpoint, request)
        if operator.role < wanted:
            text = f"this is for the role {wanted.label}"
            self._node.audit.note_denied(caller, operation.name, text)
            raise NodeRefusedError(f"{operation.name}: {text}; you are {operator.role.label}", 403)
        try:
            answer = await perform(self._node, operation, caller, request)
        except OperationRefusedError as refused:
            where = f" ({refused.field})" if refused.field else ""
            status = STATUSES[refused.refusal]
            raise NodeRefusedError(f"{refused.text}{where}", status) from None
        if isinstance(answer, str):
            return None, answer
        return msgspec.json.encode(answer), ""

    def _liveness(self) -> str:
        reason = self._ports.liveness()
        if reason is not None:
            raise NodeRefusedError(reason, 503)
        return "OK"

    async def read_metrics(self, names: Collection[str] = ()) -> str:
        """Return metrics as text.

        Args:
            names: Those that are wanted; all when there are none.
        """
        pieces = iter(self._ports.metrics.iter_text(names=names))
        gathered: list[str] = []
        while True:
            text, is_over = take_slice(pieces, asyncio.get_running_loop().time)
            gathered.append(text)
            if is_over:
                return "".join(gathered)
            await asyncio.sleep(PAUSE_S)

    # -- what happens -------------------------------------------------------------------------

    def open_watch(
        self, operator: Operator, caller: Caller, path: str, wanted: Mapping[str, Any]
    ) -> Watch:
        """Return a subscription to what happens; close it after use.

        Raises:
            NodeRefusedError: The operator may not, or too many watch already.
        """
        stream = self._streams.get(path)
        if stream is None:
            raise NodeRefusedError(f"the node has no {path}", 404)
        if operator.role < Role.OPERATOR:
            text = f"this is for the role {Role.OPERATOR.label}"
            self._node.audit.note_denied(caller, stream.act, text)
            raise NodeRefusedError(f"{stream.act}: {text}; you are {operator.role.label}", 403)
        asked = _decode(wanted, stream.kind)
        try:
            subscription = watch(self._node, stream, caller, asked)
        except TooManyReadersError:
            raise NodeRefusedError("too many watch already", 503) from None
        except ValueError as error:
            raise NodeRefusedError(str(error), 422) from None
        return Watch(stream, asked, subscription, self._node.clock.wall)

    # -- who comes ----------------------------------------------------------------------------

    async def check_password(self, user: str, password: str) -> bool:
        """Return whether the policy knows a user by this password; a defect knows nobody."""
        with contextlib.suppress(HttpRefusalError):
            return await self._ports.authenticate(BasicCredentials(user, password)) is not None
        return False

    def note(self, caller: Caller, act: str, detail: str, arguments: dict[str, Any]) -> None:
        """Leave an audit record of what somebody did at the console itself."""
        self._node.audit.note(caller, act, arguments, AuditResult.DONE, detail)

    def note_denied(self, caller: Caller, act: str, detail: str) -> None:
        """Leave an audit record of somebody who was turned away."""
        self._node.audit.note_denied(caller, act, detail)


class Watch:
    """What one operator sees happen."""

    def __init__(
        self,
        stream: EventStream,
        wanted: Any,
        subscription: Subscription[Any],
        wall: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._wanted = wanted
        self._subscription = subscription
        self._wall = wall

    async def next_frames(self) -> list[str]:
        """Return the next frames, as JSON; none when it is over."""
        frames: list[str] = []
        while not frames or (len(frames) < FRAMES_MAX and self._subscription.has_more):
            item = await self._subscription.next()
            if item is None:
                break
            if isinstance(item, int):
                frames.append(self._stream.show_missed(item, self._wall()))
            else:
                frames.append(self._stream.show(item, self._wanted))
        return frames

    def close(self) -> None:
        """End it."""
        self._subscription.close()


def _decode(arguments: Mapping[str, Any], kind: Any) -> Any:
    if kind is NoArguments:
        return NOTHING
    try:
        return msgspec.convert(dict(arguments), kind, strict=False)
    except msgspec.ValidationError as error:
        raise NodeRefusedError(str(error), 422) from None
