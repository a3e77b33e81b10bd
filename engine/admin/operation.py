"""An administrative operation: one act over a node's state, whoever asks for it by whatever door.

Place in flow: declared by the modules of ``engine.admin`` by subject; ``http_api``, the console
and scripts perform them through ``perform``, the one place that leaves an audit record.

Invariants:
    * What goes in and what comes out are plain values: no object of the node is in an answer, so
      that the answers of several processes can be put together.
    * An act that changes something is recorded, whatever came of it, before its caller hears.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.audit_log import AuditResult
from engine.admin.errors import OperationRefusedError, Refusal
from engine.model.caller import Caller
from engine.model.errors import EngineError

log = logging.getLogger("cirrus.admin")


class NoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said to an operation that wants to know nothing."""


NOTHING = NoArguments()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        name: The verb of the command line, such as ``bounce``.
        run: Carries it out.
        request: Type of its arguments.
        answer: Type of its answer.
        summary: One line for people.
        leaves_record: Whether an act goes into the audit log, or what says so of its arguments;
            those that change something or show content do.
        refusals: The kinds of no that are its own, each with its meaning.
    """

    name: str
    run: Callable[[AdminNode, Caller, Any], Awaitable[Any]]
    request: Any
    answer: Any
    summary: str
    leaves_record: bool | Callable[[Any], bool] = True
    refusals: Mapping[Refusal, str] = field(default_factory=dict)


async def perform(node: AdminNode, operation: Operation, caller: Caller, request: Any) -> Any:
    """Return the answer of an operation, after it was recorded.

    Raises:
        OperationRefusedError: The operation says no.
    """
    try:
        answer = await operation.run(node, caller, request)
    except OperationRefusedError as refused:
        is_failure = refused.refusal in (Refusal.FAILED, Refusal.UNAVAILABLE)
        result = AuditResult.FAILED if is_failure else AuditResult.REFUSED
        _record(node, operation, caller, request, result, refused.text)
        raise
    except EngineError as error:
        _record(node, operation, caller, request, AuditResult.FAILED, str(error))
        raise OperationRefusedError(Refusal.UNAVAILABLE, str(error)) from error
    except asyncio.CancelledError:
        _record(node, operation, caller, request, AuditResult.FAILED, "the caller left")
        raise
    except Exception:
        _record(node, operation, caller, request, AuditResult.FAILED, "internal error")
        raise
    _record(node, operation, caller, request, AuditResult.DONE, _id_of(answer))
    return answer


def _record(
    node: AdminNode,
    operation: Operation,
    caller: Caller,
    request: Any,
    result: AuditResult,
    detail: str,
) -> None:
    leaves_record = operation.leaves_record
    if leaves_record(request) if callable(leaves_record) else leaves_record:
        node.audit.note(caller, operation.name, msgspec.to_builtins(request), result, detail)


def _id_of(answer: Any) -> str:
    """Return what an answer names that was made, for the record."""
    made = getattr(answer, "id", "")
    return made if isinstance(made, str) else ""
