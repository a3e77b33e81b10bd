"""What a listener does for a domain: take mail for it, take mail from it, read its reports.

Place in flow: the ``get_listener_domain`` handler makes one (``make_listener_domain``); the relay
decision in ``engine.receive`` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from engine.model.cidr import CidrSet
from engine.model.duration import parse_duration
from engine.model.keyword_options import Option, choice, flag, read_options, show_options


class ReportHandling(Enum):
    """What becomes of a received report (a bounce or a complaint)."""

    IGNORE = "Ignore"
    LOG_THEN_DROP = "LogThenDrop"
    LOG_THEN_RELAY = "LogThenRelay"


def _report_handling(value: Any) -> ReportHandling:
    if isinstance(value, bool):
        return ReportHandling.LOG_THEN_RELAY if value else ReportHandling.IGNORE
    return choice(ReportHandling)(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerDomain:
    """The relay rules of one domain.

    Attributes:
        relay_to: Whether mail for the domain is taken from anyone.
        relay_from: Networks that may send as the domain.
        log_oob: What becomes of bounces that arrive for it.
        log_arf: What becomes of complaints that arrive for it.
    """

    relay_to: bool = False
    relay_from: CidrSet = field(default_factory=CidrSet)
    log_oob: ReportHandling = ReportHandling.IGNORE
    log_arf: ReportHandling = ReportHandling.IGNORE

    @staticmethod
    def unsupported(kw: Mapping[str, Any]) -> list[str]:
        """Return what was asked for that is known and not yet in force."""
        ignored = (None, False, "Ignore", ReportHandling.IGNORE)
        asked = [name for name in ("log_oob", "log_arf") if kw.get(name) not in ignored]
        asked += ["ttl"] if kw.get("ttl") is not None else []
        return [f"{name} is known but not yet in force" for name in asked]


OPTIONS: dict[str, Option] = {
    "relay_to": Option(flag),
    "relay_from": Option(CidrSet.parse),
    "log_oob": Option(_report_handling),
    "log_arf": Option(_report_handling),
    "ttl": Option(parse_duration),
}


def make_listener_domain(**kw: Any) -> ListenerDomain:
    """Return the relay rules of a domain.

    Raises:
        TypeError: An option is unknown.
        ValueError: A value does not fit its option.
    """
    values = read_options("make_listener_domain", kw, OPTIONS)
    values.pop("ttl", None)
    return ListenerDomain(**values)


def to_json(domain: ListenerDomain) -> dict[str, Any]:
    """Return the options that the rules hold, for operators."""
    return show_options(domain, OPTIONS)
