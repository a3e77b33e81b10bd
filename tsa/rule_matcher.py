"""Record and rules to matches: which rules look for what was said.

Place in flow: ``tsa.rule_engine`` asks for each record; pure.

Invariants:
    * All patterns that RE2 takes are tried in one pass; the others one by one, with their timeout.
    * A rule's own internal replies are invisible to it unless it asks for them: what a suspension
      makes the node say does not feed the suspension.
    * The provider of a domain is judged by the host that replied: no look-up, so two daemons that
      see the same records come to the same matches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from engine.model.disposition import Disposition
from engine.model.log_record import RecordKind
from engine.model.shaping import Shaping
from engine.model.shaping_rule import ScopedRule
from engine.model.shaping_rule_set import SKIPPED_KINDS, RuleSet, tells_of_hold
from engine.model.shaping_trigger import Proportion
from tsa.seen_record import SeenRecord

#: What became of the recipient; other records tell of no attempt, and no proportion counts them.
_OUTCOMES = {
    RecordKind.DELIVERY: Disposition.DELIVERED,
    RecordKind.TRANSIENT_FAILURE: Disposition.DEFERRED,
    RecordKind.BOUNCE: Disposition.FAILED,
    RecordKind.EXPIRATION: Disposition.FAILED,
    RecordKind.ADMIN_BOUNCE: Disposition.FAILED,
}
#: Sets of rules remembered by domain, site and host.
_REMEMBERED_MAX = 65536


class RuleMatcher:
    """The rules of one load of the shaping files.

    Attributes:
        shaping: What the files say.
    """

    def __init__(self, shaping: Shaping) -> None:
        self.shaping = shaping
        self._counts_deliveries = shaping.needs_deliveries
        self._by_rules: dict[tuple[int, ...], RuleSet] = {}
        self._remembered: OrderedDict[tuple[str, str, str], RuleSet] = OrderedDict()

    def wants(self, record: SeenRecord) -> bool:
        """Return whether any rule could look at such a record."""
        if record.kind in SKIPPED_KINDS or record.reception_protocol == "LogRecord":
            return False
        if tells_of_hold(record.response):
            return False
        return record.kind is not RecordKind.DELIVERY or self._counts_deliveries

    def matches(self, record: SeenRecord) -> Iterator[tuple[ScopedRule, str, bool]]:
        """Yield rules with the domain they look at and whether the record matches.

        A rule that does not match is yielded where it counts attempts all the same.
        """
        is_internal = record.is_internal
        line = record.line
        outcome = _OUTCOMES.get(record.kind)
        for domain in record.domains:
            found = self.rules_of(record, domain)
            rules = found.rules
            matched = []
            if rules and outcome is not Disposition.DELIVERED:
                matched = found.matching(line)
            numbers: Iterable[int] = matched
            # Only these are looked at beside the matches: there may be hundreds of others.
            if found.proportional and outcome is not None:
                numbers = sorted({*matched, *found.proportional})
            for number in numbers:
                one = rules[number]
                if is_internal and not one.rule.match_internal:
                    continue
                is_match = number in matched
                trigger = one.rule.trigger
                if isinstance(trigger, Proportion):
                    if outcome is None:
                        continue
                    is_match = is_match and outcome in trigger.of
                yield one, domain, is_match

    def rules_of(self, record: SeenRecord, domain: str) -> RuleSet:
        """Return the rules for replies to mail of a domain, by the host that replied."""
        host = record.peer_address.name if record.peer_address is not None else ""
        key = (domain, record.site_text, host)
        known = self._remembered.get(key)
        if known is not None:
            self._remembered.move_to_end(key)
            return known
        found = self.shaping.rules_for(domain, record.site_text, [host] if host else None)
        # Not by what they do: the same rule in two sections acts on two providers.
        identity = tuple(id(one) for one in found)
        rules = self._by_rules.get(identity)
        if rules is None:
            rules = self._by_rules[identity] = RuleSet(found)
        self._remembered[key] = rules
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return rules
