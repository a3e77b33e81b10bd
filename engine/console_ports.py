"""What the console gets of a node: its operations, its metrics, its way to judge credentials.

Place in flow: ``engine.app`` gives it to ``engine.console.console``, which asks for it once a
policy declares a console: its library is large, and most that look at a node do not need it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from engine import transfers
from engine.admin.admin_node import AdminNode
from engine.admin.http_api import ENDPOINTS
from engine.base.metrics import Metrics
from engine.declared import Declared

if TYPE_CHECKING:
    from engine.console.desk import ConsoleDesk


class ConsoleNode(AdminNode, Protocol):
    """The node, as the console needs it."""

    metrics: Metrics
    declared: Declared

    def liveness(self) -> str | None:
        """Return why the node takes no mail, with the cause."""


def desk_maker(node: ConsoleNode) -> Callable[[], ConsoleDesk]:
    """Return what makes the node's side of a console."""

    def make() -> ConsoleDesk:
        from engine.console.desk import ConsoleDesk, DeskPorts  # noqa: PLC0415 - see above

        endpoints = (*ENDPOINTS, *transfers.ENDPOINTS, transfers.CANCEL)
        ports = DeskPorts(node.metrics, node.liveness, node.declared.callers.authenticate)
        return ConsoleDesk(node, endpoints, ports)

    return make
