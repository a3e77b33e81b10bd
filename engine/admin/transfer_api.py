"""Transfers and the drain over HTTP: the acts of ``transfer_acts``, and nothing else.

Place in flow: routes of ``engine.base.http_service``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from engine.admin import transfer_acts
from engine.admin.drain import DrainReport
from engine.admin.transfer_acts import (
    ActRefusedError,
    CancelRequest,
    DrainRequest,
    InTheWayError,
    NothingThereError,
    TransferNode,
    TransferOrdered,
    TransferRequest,
    TransferState,
)
from engine.base.http_call import Access, HttpCall, HttpRefusalError
from engine.base.http_service import HttpService
from engine.base.os_reason import os_reason

XFER, CANCEL = "/api/admin/xfer/v1", "/api/admin/xfer/cancel/v1"
DRAIN = "/api/admin/drain/v1"


class TransferApi:
    """The routes of one node."""

    def __init__(self, node: TransferNode) -> None:
        self._node = node

    def add_to(self, service: HttpService) -> None:
        """Add the routes to a listener."""
        add, admin = service.add_route, Access.ADMIN
        add(
            "POST",
            XFER,
            self._transfer,
            admin,
            body=TransferRequest,
            answer=TransferOrdered,
            summary="Transfer queues to another node",
        )
        add("GET", XFER, self._list, admin, answer=list[TransferState], summary="List transfers")
        add(
            "POST",
            CANCEL,
            self._cancel,
            admin,
            body=CancelRequest,
            summary="Bring back what waits to be transferred",
        )
        add(
            "POST",
            DRAIN,
            self._start_drain,
            admin,
            body=DrainRequest,
            answer=DrainReport,
            summary="Empty the node into another one",
        )
        add("GET", DRAIN, self._report, admin, answer=DrainReport, summary="Show what is left")
        add(
            "DELETE",
            DRAIN,
            self._cancel_drain,
            admin,
            answer=DrainReport,
            summary="End the drain and bring back what is left",
        )

    async def _transfer(self, call: HttpCall) -> Any:
        with _refusals():
            return transfer_acts.transfer(self._node, call.body, call.identity)

    async def _list(self, _call: HttpCall) -> Any:
        return transfer_acts.list_transfers(self._node)

    async def _cancel(self, call: HttpCall) -> Any:
        with _refusals(wrong=400):
            transfer_acts.cancel_transfer(self._node, call.body, call.identity)
        return {}

    async def _start_drain(self, call: HttpCall) -> Any:
        with _refusals():
            return transfer_acts.start_drain(self._node, call.body, call.identity)

    async def _report(self, _call: HttpCall) -> Any:
        return transfer_acts.report_drain(self._node)

    async def _cancel_drain(self, call: HttpCall) -> Any:
        with _refusals():
            return transfer_acts.cancel_drain(self._node, call.identity)


@contextlib.contextmanager
def _refusals(*, wrong: int = 422) -> Iterator[None]:
    """Say no as HTTP does."""
    try:
        yield
    except NothingThereError as error:
        raise HttpRefusalError(404, str(error)) from None
    except InTheWayError as error:
        raise HttpRefusalError(409, str(error)) from None
    except ActRefusedError as error:
        raise HttpRefusalError(wrong, str(error), error.field) from None
    except OSError as error:
        raise HttpRefusalError(503, f"the drain cannot be kept: {os_reason(error)}") from None
