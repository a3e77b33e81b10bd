"""The events of the proxy's script.

Place in flow: ``proxy.script_api`` hands the table to ``policy.runtime``; ``cirrus check`` finds it
by its entry point.
"""

from __future__ import annotations

from policy.hook import Hook, OnFailure

#: Seconds of CPU that a load may take.
LOAD_CPU_S = 5.0

HOOKS: tuple[Hook, ...] = (
    Hook(
        name="proxy_init",
        on_failure=OnFailure.FATAL,
        cpu_budget_s=LOAD_CPU_S,
        doc="Declares listeners. Runs at start and at each reload.",
    ),
    Hook(
        name="proxy_auth",
        arguments=("user", "password", "conn"),
        result=(bool, dict),
        on_failure=OnFailure.REFUSE,
        doc="A client's user name and password: True, False, or a dict with identities and groups.",
    ),
)
