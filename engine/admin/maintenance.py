"""Acts on the node itself: its policy, its automation, its spool.

Place in flow: operations of ``engine.admin.operation``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.admin.admin_node import AdminNode, SharedLimitsStatus
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.operation import NoArguments, Operation
from engine.model.caller import Caller
from policy.errors import PolicyLoadError

#: The second and third are what the reference calls its two.
SPOOL_NAMES = ("spool", "data", "meta")


class AutomationRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Whether decisions of the traffic shaping automation count on this node.

    Attributes:
        enabled: Whether they count.
    """

    enabled: bool


class CompactRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which spool: there is one, which goes by the names ``spool``, ``data`` and ``meta``.

    Attributes:
        name: One of these.
    """

    name: str


async def show_automation(node: AdminNode, _caller: Caller, _request: object) -> dict[str, Any]:
    """Return what the automation is doing."""
    return node.automation.status()


async def switch_automation(
    node: AdminNode, _caller: Caller, request: AutomationRequest
) -> dict[str, Any]:
    """Have the node obey nobody, or again those that the policy names."""
    if not await node.automation.switch(is_off=not request.enabled):
        raise OperationRefusedError(Refusal.NOT_FOUND, "the policy subscribes to no TSA")
    return node.automation.status()


async def show_shared_limits(
    node: AdminNode, _caller: Caller, _request: object
) -> SharedLimitsStatus:
    """Return with how many nodes limits are shared, and why not."""
    return node.shared_limits.status()


async def bump_epoch(node: AdminNode, _caller: Caller, _request: object) -> str:
    """Load the policy again."""
    try:
        await node.reload_policy()
    except PolicyLoadError as error:
        text = f"the policy was rejected: {error}"
        raise OperationRefusedError(Refusal.FAILED, text) from None
    except OSError as error:
        text = f"the policy cannot be read: {error.strerror}"
        raise OperationRefusedError(Refusal.UNAVAILABLE, text) from None
    return "OK"


async def compact_spool(node: AdminNode, _caller: Caller, request: CompactRequest) -> str:
    """Give the space of dead mail back."""
    if request.name not in SPOOL_NAMES:
        raise OperationRefusedError(Refusal.NOT_FOUND, "there is no such spool", "name")
    await node.store.compact()
    return "OK"


AUTOMATION = Operation(
    "automation",
    show_automation,
    NoArguments,
    dict[str, Any],
    "Show the automation",
    leaves_record=False,
)
SWITCH_AUTOMATION = Operation(
    "automation-switch",
    switch_automation,
    AutomationRequest,
    dict[str, Any],
    "Switch the automation off or on, for this node",
    refusals={Refusal.NOT_FOUND: "the policy subscribes to no TSA"},
)
SHARED_LIMITS = Operation(
    "shared-limits",
    show_shared_limits,
    NoArguments,
    SharedLimitsStatus,
    "Show whether limits are shared with other nodes, and why not",
    leaves_record=False,
)
BUMP_EPOCH = Operation(
    "bump-config-epoch",
    bump_epoch,
    NoArguments,
    str,
    "Reload the policy",
    refusals={
        Refusal.FAILED: "the policy was rejected; the running one stays",
        Refusal.UNAVAILABLE: "the policy cannot be read; the running one stays",
    },
)
COMPACT_SPOOL = Operation(
    "spool-compact",
    compact_spool,
    CompactRequest,
    str,
    "Compact the spool",
    refusals={
        Refusal.NOT_FOUND: "there is no spool of this name",
        Refusal.UNAVAILABLE: "the spool cannot be used now",
    },
)
