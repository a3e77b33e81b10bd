"""What a shaping rule does when it acts: suspend, bounce, set or adjust an option, pause a warm-up.

Place in flow: ``engine.model.shaping_rule`` reads actions; who matches records turns them into
decisions.

    action = "Suspend"
    action = ["SuspendTenant", { SetConfig = { name = "max_message_rate", value = "1/minute" } }]
    action = { AdjustConfig = { name = "connection_limit", floor = 2 } }

Invariants:
    * An option that an action sets or adjusts has been checked with its value, like any other.
    * An adjustment never leaves the range from its floor to the configured value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from engine.model.keyword_options import Option, closest, read_options, text
from engine.model.option_error import OptionError
from engine.model.shaping_option import check_path_option
from engine.model.shaping_trigger import parse_positive_duration, parse_share

#: The options that an adjustment can lower: rates and limits, where less is gentler.
ADJUSTABLE = (
    "connection_limit",
    "max_connection_rate",
    "max_message_rate",
    "source_selection_rate",
    "max_deliveries_per_connection",
    "max_recipients_per_batch",
)


class ActionKind(Enum):
    """What is done."""

    SUSPEND = "Suspend"
    SUSPEND_TENANT = "SuspendTenant"
    SUSPEND_CAMPAIGN = "SuspendCampaign"
    BOUNCE = "Bounce"
    BOUNCE_TENANT = "BounceTenant"
    BOUNCE_CAMPAIGN = "BounceCampaign"
    SET_CONFIG = "SetConfig"
    SET_DOMAIN_CONFIG = "SetDomainConfig"
    ADJUST_CONFIG = "AdjustConfig"
    PAUSE_WARMUP = "PauseWarmup"


_WITH_TABLE = (ActionKind.SET_CONFIG, ActionKind.SET_DOMAIN_CONFIG, ActionKind.ADJUST_CONFIG)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """How an option is lowered, and how it comes back.

    Attributes:
        name: The option.
        floor: The value it is never lowered below, as written.
        factor: What the value is multiplied with each time the rule acts.
        step: The share of the configured value that is given back after each quiet interval.
        quiet_s: How long the rule must not have acted before a step is given back.
    """

    name: str
    floor: Any
    factor: float = 0.5
    step: float = 0.1
    quiet_s: float = 600.0


@dataclass(frozen=True, slots=True)
class ShapingAction:
    """One thing to do.

    Attributes:
        name: The option that SetConfig and SetDomainConfig set.
        value: The value it gets, as written.
        adjustment: What AdjustConfig does.
        notes: What is known about the option and has no effect.
    """

    kind: ActionKind
    name: str | None = None
    value: Any = None
    adjustment: Adjustment | None = None
    notes: tuple[str, ...] = ()

    def to_value(self) -> Any:
        """Return the action as operators write it."""
        if self.adjustment is not None:
            one = self.adjustment
            table = {
                "name": one.name,
                "floor": one.floor,
                "factor": one.factor,
                "step": one.step,
                "quiet": one.quiet_s,
            }
            return {self.kind.value: table}
        if self.name is not None:
            return {self.kind.value: {"name": self.name, "value": self.value}}
        return self.kind.value


def _fraction(value: Any) -> float:
    share = parse_share(value)
    if share >= 1:
        raise ValueError(f"a factor below 1 (100%) is expected, not {value!r}")
    return share


ADJUST_OPTIONS: dict[str, Option] = {
    "name": Option(text),
    "floor": Option(lambda value: value),
    "factor": Option(_fraction),
    "step": Option(parse_share),
    "quiet": Option(parse_positive_duration, "quiet_s"),
}
_SET_OPTIONS: dict[str, Option] = {"name": Option(text), "value": Option(lambda value: value)}


def _set_config(kind: ActionKind, table: Mapping[str, Any]) -> ShapingAction:
    read = _read(kind, table, _SET_OPTIONS, ("name", "value"))
    verdict = check_path_option(read["name"], read["value"])
    if verdict.complaint:
        raise ValueError(f"{kind.value}: {read['name']}: {verdict.complaint}")
    return ShapingAction(kind, read["name"], read["value"], notes=verdict.notes)


def _adjust_config(kind: ActionKind, table: Mapping[str, Any]) -> ShapingAction:
    read = _read(kind, table, ADJUST_OPTIONS, ("name", "floor"))
    name = read["name"]
    if name not in ADJUSTABLE:
        known = ", ".join(ADJUSTABLE)
        raise ValueError(f"{kind.value}: {name!r:.80} cannot be adjusted; what can: {known}")
    verdict = check_path_option(name, read["floor"])
    if verdict.complaint:
        raise ValueError(f"{kind.value}: floor: {verdict.complaint}")
    return ShapingAction(kind, adjustment=Adjustment(**read), notes=verdict.notes)


def _read(
    kind: ActionKind, table: Any, options: Mapping[str, Option], required: tuple[str, ...]
) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise OptionError(f"{kind.value}: a table is expected, not {table!r:.80}")
    try:
        read = read_options(kind.value, table, options)
    except TypeError as error:
        raise ValueError(str(error)) from error
    for name in required:
        if name not in read:
            raise ValueError(f"{kind.value}: {name} is missing")
    return read


_READERS: dict[ActionKind, Callable[[ActionKind, Any], ShapingAction]] = {
    ActionKind.SET_CONFIG: _set_config,
    ActionKind.SET_DOMAIN_CONFIG: _set_config,
    ActionKind.ADJUST_CONFIG: _adjust_config,
}


def parse_action(value: Any) -> ShapingAction:
    """Return the action that an operator wrote.

    Raises:
        ValueError: It is none, or something in it does not fit.
    """
    names = [kind.value for kind in ActionKind]
    if isinstance(value, str):
        if value not in names:
            raise ValueError(f"unknown action {value!r:.80}{closest(value, names)}")
        kind = ActionKind(value)
        if kind in _WITH_TABLE:
            raise ValueError(f"{value} needs a table: {{{value} = {{name = ..., ...}}}}")
        return ShapingAction(kind)
    if not isinstance(value, Mapping) or len(value) != 1:
        raise OptionError(f"the name of an action or a table of one is expected, not {value!r:.80}")
    ((name, table),) = value.items()
    if name not in names:
        raise ValueError(f"unknown action {name!r:.80}{closest(name, names)}")
    kind = ActionKind(name)
    if kind not in _WITH_TABLE:
        raise ValueError(f"{name} takes no table; it is written as text")
    return _READERS[kind](kind, table)
