"""A look into the node itself: memory, tasks, the machine; and how much its log says.

Place in flow: operations of ``engine.admin.operation``.
"""

from __future__ import annotations

import asyncio
import gc
from functools import partial
from typing import Annotated

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.operation import NoArguments, Operation
from engine.base.machine_info import MachineInfo, collect_machine_info
from engine.base.run_log import current_log_filter, set_log_filter
from engine.base.task_dump import dump_tasks
from engine.model.caller import Caller
from engine.schedule.pace import Pace

#: What this process is among those of the product.
PROCESS_KIND = "cirrus"


class LogFilterRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Directives with commas between, such as ``info,cirrus.schedule=debug``.

    Attributes:
        filter: Such directives.
    """

    filter: str


class LogFilterAnswer(msgspec.Struct, kw_only=True, frozen=True):
    """How much the diagnostic log says now.

    Attributes:
        filter: The directives in force, such as ``info,cirrus.schedule=debug``.
    """

    filter: str


class TaskDumpRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How long to look, seconds.

    Attributes:
        timeout: Seconds.
    """

    timeout: Annotated[float, msgspec.Meta(ge=0, le=60)] = 5.0


async def set_filter(_node: AdminNode, _caller: Caller, request: LogFilterRequest) -> str:
    """Say how much the diagnostic log says."""
    try:
        set_log_filter(request.filter)
    except ValueError as error:
        raise OperationRefusedError(Refusal.WRONG, str(error), "filter") from None
    return "OK"


async def show_filter(_node: AdminNode, _caller: Caller, _request: NoArguments) -> LogFilterAnswer:
    """Return how much the diagnostic log says."""
    return LogFilterAnswer(filter=current_log_filter())


async def memory_stats(node: AdminNode, _caller: Caller, _request: object) -> str:
    """Return what takes memory, as text for people."""
    pace = Pace(node.clock.mono)
    waiting = ready = bodies = octets = 0
    for queue in node.queues:
        if pace.is_spent():
            await pace.wait()
        waiting += len(queue)
    for way in node.ready:
        if pace.is_spent():
            await pace.wait()
        ready += len(way.messages)
        held = [len(one.data) for one in way.messages if one.data is not None]
        bodies += len(held)
        octets += sum(held)
    memory = node.memory
    counts, objects = gc.get_count(), gc.get_freeze_count()
    rows = [
        ("resident", f"{memory.usage:,} octets"),
        ("low from", f"{memory.low:,} octets; passed {memory.low_count} times"),
        ("no mail from", f"{memory.soft:,} octets; passed {memory.over_count} times"),
        ("hard limit", f"{memory.hard:,} octets"),
        ("scheduled queues", f"{len(node.queues):,} with {waiting:,} messages on disk"),
        ("ready queues", f"{len(node.ready):,} with {ready:,} messages"),
        ("bodies in memory", f"{bodies:,} with {octets:,} octets"),
        ("tasks", f"{len(node.supervisor):,}"),
        ("outgoing sessions", f"{len(node.dispatching.dispatchers):,}"),
        ("collector", f"generations {counts}, frozen objects {objects:,}"),
    ]
    return "".join(f"{name:18} {text}\n" for name, text in rows)


async def task_dump(node: AdminNode, _caller: Caller, request: TaskDumpRequest) -> str:
    """Return what the tasks of the node wait for, as text for people."""
    return await dump_tasks(request.timeout, node.clock.mono)


async def machine_info(node: AdminNode, _caller: Caller, _request: object) -> MachineInfo:
    """Return what the machine is."""
    collect = partial(
        collect_machine_info,
        node_id=node.node_id,
        process_kind=PROCESS_KIND,
        version=node.version,
        online_since=node.online_since,
    )
    return await asyncio.get_running_loop().run_in_executor(None, collect)


LOG_FILTER = Operation(
    "set-log-filter", set_filter, LogFilterRequest, str, "Set how much the diagnostic log says"
)
LOG_FILTER_SHOW = Operation(
    "log-filter",
    show_filter,
    NoArguments,
    LogFilterAnswer,
    "Show how much the diagnostic log says",
    leaves_record=False,
)
MEMORY_STATS = Operation(
    "memory-stats", memory_stats, NoArguments, str, "Show what takes memory", leaves_record=False
)
TASK_DUMP = Operation(
    "task-dump", task_dump, TaskDumpRequest, str, "Show what tasks wait for", leaves_record=False
)
MACHINE_INFO = Operation(
    "machine-info",
    machine_info,
    NoArguments,
    MachineInfo,
    "Show what machine this is",
    leaves_record=False,
)
