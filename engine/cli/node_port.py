"""The way to a node, as a verb takes it: calls of its administration, by path.

Place in flow: ``http_node`` is the one of the command line, ``engine.admin.local_node`` that of
the console in the node itself; verbs know neither.

Invariants:
    * Paths, arguments and answers are those of the HTTP API, so that a verb is written once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, Protocol

from engine.cli.samples import Samples

LIVENESS_PATH = "/api/check-liveness/v1"


class NodePort(Protocol):
    """A node."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what the node answers: plain values, or text.

        Args:
            method: The HTTP method.
            path: The path of the act.
            query: Arguments of a ``GET``; what is None is left out.
            body: Arguments of any other method; what is None is left out.

        Raises:
            NodeRefusedError: The node says no.
            NodeAwayError: It does not answer.
        """

    def watch(self, path: str, wanted: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield what happens on the node, until it stops or the caller goes.

        Args:
            path: The path of the websocket.
            wanted: What is wanted of it.

        Raises:
            NodeRefusedError: The node says no.
            NodeAwayError: It does not answer, or the connection broke.
        """

    async def read_metrics(self, names: Collection[str]) -> Samples:
        """Return the series of metrics.

        Args:
            names: Names of the metrics that are wanted.
        """
