"""Some rules as one: which of them look for what a reply says.

Place in flow: ``tsa.rule_matcher`` asks for each record; a node asks before it sends one at all.

Invariants:
    * All patterns that RE2 takes are tried in one pass; the others one by one, with their timeout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import re2

from engine.model.log_record import LogRecord, RecordKind, Response
from engine.model.shaping import Shaping
from engine.model.shaping_rule import ScopedRule
from engine.model.shaping_trigger import Proportion
from engine.model.suspension import NO_SOURCE_TEXT, SUSPENDED_TEXT

#: The longest reply that is looked at; what is behind says no more.
LINE_MAX = 8192
#: Kinds of records that say nothing about a destination.
SKIPPED_KINDS = frozenset(
    {
        RecordKind.ADMIN_REBIND,
        RecordKind.DEFERRED_INJECTION_REBIND,
        RecordKind.DELAYED,
        RecordKind.RECEPTION,
        RecordKind.REJECTION,
        RecordKind.XFER_IN,
        RecordKind.XFER_OUT,
    }
)


def reply_line(response: Response | None) -> str:
    """Return a response as rules match it: codes and text on one line."""
    if response is None:
        return ""
    status = response.enhanced_code
    codes = f"{response.code} "
    if status is not None:
        codes += f"{status.klass}.{status.subject}.{status.detail} "
    return codes + response.content.replace("\n", " ")


def tells_of_hold(response: Response | None) -> bool:
    """Return whether the node said that it holds mail back itself.

    No rule looks at that, ``match_internal`` or not: the reason of a suspension holds what made it,
    and would renew it for ever.
    """
    return (
        response is not None
        and not response.command
        and response.content.startswith((SUSPENDED_TEXT, NO_SOURCE_TEXT))
    )


class RuleSet:
    """Some rules, with their linear patterns compiled into one set.

    Attributes:
        rules: All of them, in order.
        proportional: The numbers of those that count attempts, also those that do not match.
    """

    __slots__ = ("_owners", "_set", "_slow", "_unconditional", "proportional", "rules")

    def __init__(self, rules: Sequence[ScopedRule]) -> None:
        self.rules = tuple(rules)
        self.proportional = tuple(
            number
            for number, one in enumerate(self.rules)
            if isinstance(one.rule.trigger, Proportion)
        )
        self._owners: list[int] = []
        self._slow: list[int] = []
        self._unconditional: list[int] = []
        self._set: Any = None
        options = re2.Options()
        options.log_errors = False
        patterns = re2.Set.SearchSet(options)
        for number, one in enumerate(self.rules):
            if not one.rule.patterns:
                self._unconditional.append(number)
            for pattern in one.rule.patterns:
                if pattern.is_linear:
                    patterns.Add(pattern.text)
                    self._owners.append(number)
                elif number not in self._slow:
                    self._slow.append(number)
        if self._owners:
            patterns.Compile()
            self._set = patterns

    def matching(self, line: str) -> list[int]:
        """Return the numbers of the rules whose patterns are found in a line, in order."""
        line = line[:LINE_MAX]
        owners = self._owners
        hits = self._set.Match(_octets(line)) if self._set is not None else None
        # Most replies are of no interest, and are told so soonest.
        if not hits and not self._slow:
            return list(self._unconditional)
        found = {*self._unconditional, *(owners[index] for index in hits or ())}
        for number in self._slow:
            if number not in found and self.rules[number].rule.matches(line):
                found.add(number)
        return sorted(found)


class RecordFilter:
    """Tells which records of a node any rule could count, whatever its scope.

    Args:
        shaping: Whose rules.
        skipped: Kinds of records that are never wanted.
    """

    def __init__(self, shaping: Shaping, skipped: frozenset[RecordKind] = SKIPPED_KINDS) -> None:
        enabled = [one for one in shaping.all_rules() if one.rule.is_enabled]
        self._rules = RuleSet(enabled)
        self._wants_all = shaping.needs_deliveries
        self._skipped = skipped

    def wants(self, record: LogRecord) -> bool:
        """Return whether the record is worth sending."""
        if record.kind in self._skipped or not self._rules.rules:
            return False
        if tells_of_hold(record.response):
            return False
        if self._wants_all:
            return True
        if record.kind is RecordKind.DELIVERY:
            return False
        return bool(self._rules.matching(reply_line(record.response)))


def _octets(line: str) -> bytes:
    """Return the line in UTF-8; halves of surrogate pairs, which it cannot carry, are replaced."""
    try:
        return line.encode()
    except UnicodeEncodeError:
        return line.encode("utf-8", "replace")
