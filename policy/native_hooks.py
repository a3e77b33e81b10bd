"""What trusted code of the program adds to an epoch while its scripts load.

Place in flow: functions that a script calls at its top level, such as ``queues.setup``, register
handlers through ``Epoch.native``; ``native_call`` runs them.

Invariants:
    * Handlers of scripts and of trusted code are asked in the order of their registration.
    * Nothing can be registered once the scripts have been loaded.
    * What is found wrong meanwhile rejects the epoch, all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from policy.errors import PolicyError
from policy.hook_registry import PolicyFinding

#: Port: take a handler of trusted code: event, function, place of the call, whether it is final.
RegisterNative = Callable[[str, Callable[..., Any], tuple[str, int], bool], None]


class NativeHooks:
    """What trusted code adds to one epoch.

    Attributes:
        folder: The folder of the policy script, links resolved.
        findings: What it found wrong; an error among them rejects the epoch.
        parts: What it keeps for the epoch, by name.
        before_init: Called each time before ``init`` runs.
        final_checks: Called when all scripts have run.
    """

    __slots__ = ("_register", "before_init", "final_checks", "findings", "folder", "parts")

    def __init__(self) -> None:
        self.folder = Path()
        self.findings: list[PolicyFinding] = []
        self.parts: dict[str, Any] = {}
        self.before_init: list[Callable[[], None]] = []
        self.final_checks: list[Callable[[], Iterable[PolicyFinding]]] = []
        self._register: RegisterNative | None = None

    @property
    def is_open(self) -> bool:
        """Return whether the scripts of the epoch are still being loaded."""
        return self._register is not None

    def open(self, folder: Path, register: RegisterNative) -> None:
        """Take registrations from now on."""
        self.folder, self._register = folder, register

    def close(self) -> None:
        """Take no registrations any more."""
        self._register = None

    def on(
        self,
        event: str,
        function: Callable[..., Any],
        place: tuple[str, int],
        *,
        is_final: bool = False,
    ) -> None:
        """Register a handler.

        Args:
            event: The name of the event.
            function: Called with the arguments of the event; may return a ``Pending``.
            place: File and line of the script that asked for it.
            is_final: Whether it answers whatever it is asked, so that none may come after it.

        Raises:
            PolicyLoadError: It does not fit.
            PolicyError: The scripts have been loaded already.
        """
        if self._register is None:
            raise PolicyError("this can be called while the script is loaded, not later")
        self._register(event, function, place, is_final)

    def check(self) -> None:
        """Add what can only be seen when all scripts have run to the findings."""
        checks, self.final_checks = self.final_checks, []
        for check in checks:
            self.findings.extend(check())
