"""What can go wrong in the TSA: one class per situation.

Place in flow: raised by its stages, mapped to HTTP answers and log lines at the edge.
"""

from __future__ import annotations


class TsaError(Exception):
    """The root: something of the daemon did not work; temporary unless it says otherwise."""

    temporary = True


class IntakeFullError(TsaError):
    """More records came than can be worked off; the sender keeps them and comes back."""


class StoreUnavailableError(TsaError):
    """Decisions cannot be made durable now; what depends on it is not acknowledged."""


class ConfigurationError(TsaError):
    """What the operator asked for cannot be had."""

    temporary = False
