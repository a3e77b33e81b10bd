"""The events of the daemon's script.

Place in flow: ``tsa.script_api`` hands the table to ``policy.runtime``; ``cirrus check`` finds it
by its entry point.
"""

from __future__ import annotations

from policy.hook import Hook, OnFailure

#: Seconds of CPU that a load may take.
LOAD_CPU_S = 5.0

HOOKS: tuple[Hook, ...] = (
    Hook(
        name="tsa_init",
        on_failure=OnFailure.FATAL,
        cpu_budget_s=LOAD_CPU_S,
        doc="Declares listeners and where decisions are kept. Runs at start and at each reload.",
    ),
    Hook(
        name="load_shaping_data",
        result=(list, tuple),
        on_failure=OnFailure.KEEP_LAST,
        cpu_budget_s=LOAD_CPU_S,
        doc="A list of shaping files and URLs, later ones over earlier ones; asked at each look.",
    ),
)
