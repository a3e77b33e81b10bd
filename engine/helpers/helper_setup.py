"""One call of a helper's ``setup`` by a script, and what the helper keeps for the epoch.

Place in flow: each helper begins its ``setup`` here, and finds its part of the epoch again when a
script calls it later.

Invariants:
    * A helper is set up once in an epoch, while the script is loaded.
    * What a helper does at load does not count against the script's own CPU time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from time import thread_time_ns
from typing import Any

from engine.helpers.helper_file import HelperData, read_helper_data
from engine.script_modules.script_call import caller_budget, caller_epoch, caller_place
from policy.epoch import Epoch
from policy.errors import PolicyError
from policy.hook_registry import PolicyFinding

_UNBOUNDED_NS = 10**15


@dataclass(frozen=True, slots=True)
class HelperSetup:
    """A call of ``setup`` under way.

    Attributes:
        epoch: The epoch being loaded.
        place: File and line of the call.
    """

    epoch: Epoch
    place: tuple[str, int]

    def read(self, sources: Any) -> HelperData:
        """Return the data that the script names."""
        return read_helper_data(self.epoch, self.place, sources)

    def keep(self, helper: str, part: Any) -> None:
        """Keep what the helper made of its data, for as long as the epoch lives."""
        self.epoch.native.parts[helper] = part

    def complain(self, text: str) -> None:
        """Note an error at the call."""
        self.epoch.native.findings.append(PolicyFinding(*self.place, "error", text))


def begin_setup(what: str) -> HelperSetup:
    """Return the call under way of something that belongs into the load.

    Args:
        what: What the script calls, for the message of an error.

    Raises:
        PolicyError: The script has been loaded already.
    """
    epoch = caller_epoch()
    if epoch is None or not epoch.native.is_open:
        raise PolicyError(f"{what}() belongs to the top level of the script, outside of handlers")
    return HelperSetup(epoch, caller_place())


@contextlib.contextmanager
def setting_up(helper: str) -> Iterator[HelperSetup | None]:
    """Open the one call of a helper's ``setup``; None where it was set up before.

    Args:
        helper: The name of its module.

    Raises:
        PolicyError: The script has been loaded already.
    """
    call = begin_setup(f"helpers.{helper}.setup")
    budget = caller_budget()
    started_ns, deadline_ns = thread_time_ns(), budget.deadline_ns
    budget.deadline_ns = started_ns + _UNBOUNDED_NS
    calls = call.epoch.native.parts.setdefault("setup calls", {})
    try:
        if helper in calls:
            file, line = calls[helper]
            call.complain(f"helpers.{helper} is set up twice; first at {file}:{line}")
            yield None
        else:
            calls[helper] = call.place
            yield call
    finally:
        budget.deadline_ns = deadline_ns + thread_time_ns() - started_ns


def part_of_caller(helper: str) -> Any:
    """Return what a helper keeps for the epoch of the script that calls.

    Raises:
        PolicyError: The script did not set it up.
    """
    epoch = caller_epoch()
    part = None if epoch is None else epoch.native.parts.get(helper)
    if part is None:
        raise PolicyError(f"helpers.{helper}.setup(...) comes first, at the top of the script")
    return part
