"""Traffic shaping: which egress path options and which rules are for a domain, source and site.

Place in flow: made by ``engine.model.shaping_merge``; helpers build egress paths from it, the TSA
takes its rules, operators ask it where a value came from.

Invariants:
    * Nothing in it changes after it was made; a reload makes another.
    * ``hash`` depends on what it says, never on where that stands: a comment more changes nothing.
    * The limits that a provider's sites share have names made of provider and source, so that
      every path of these sites names the same limit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from engine.model.shaping_finding import Place
from engine.model.shaping_option import amount_of
from engine.model.shaping_provider import (
    MatchTerm,
    domain_for_providers,
    is_provider_of,
    normal_host,
    normal_section_name,
)
from engine.model.shaping_rule import ScopedRule
from engine.model.shaping_section import PROVIDER_OPTIONS, Setting, SettingKey, Settings
from engine.model.shaping_trigger import Proportion
from engine.model.shaping_warmup import TOTAL_RATE, WarmupDay, Warmups, cap_key

_IMPLIED = {
    "provider_connection_limit": ("additional_connection_limits", "limit"),
    "provider_max_message_rate": ("additional_message_rate_throttles", "rate"),
    "provider_source_selection_rate": ("additional_source_selection_rates", "selection-rate"),
}


@dataclass(slots=True)
class Bucket:
    """What all files say under one key.

    Attributes:
        name: ``default``, a provider, a site or a domain.
        place: Where it begins.
        replaces_base: Whether ``default`` and providers do not count beside it.
    """

    name: str
    place: Place | None = None
    replaces_base: bool = False
    settings: Settings = field(default_factory=dict)
    sources: dict[str, Settings] = field(default_factory=dict)
    rules: list[ScopedRule] = field(default_factory=list)
    match: list[MatchTerm] = field(default_factory=list)

    def clear(self) -> None:
        """Forget what was said so far."""
        self.place = None
        self.settings, self.sources, self.rules, self.match = {}, {}, [], []

    def all_settings(self) -> Iterator[Setting]:
        """Yield all values, also those for single sources."""
        yield from self.settings.values()
        for settings in self.sources.values():
            yield from settings.values()

    def drop_unfit(self) -> None:
        """Leave out the values that cannot be used."""
        for settings in (self.settings, *self.sources.values()):
            for key in [key for key, setting in settings.items() if setting.complaint]:
                del settings[key]

    def for_source(self, source: str) -> Settings:
        """Return the values for one source alone."""
        return self.sources.get(source, {})

    def to_value(self) -> list[Any]:
        """Return all it says as plain values, for the hash."""
        return [
            self.name,
            self.replaces_base,
            _plain_settings(self.settings),
            {source: _plain_settings(held) for source, held in self.sources.items()},
            [[one.is_rollup, one.rule.to_value()] for one in self.rules],
            [[term.kind.value, term.text] for term in self.match],
        ]


def _plain_settings(settings: Settings) -> list[Any]:
    return [[list(key), settings[key].value] for key in sorted(settings)]


class ShapingStep(NamedTuple):
    """What one bucket says of a path; of several steps later ones win.

    Attributes:
        kind: ``default``, ``provider``, ``site`` or ``domain``.
        bucket: Who says it.
        settings: What it says.
        is_implied: Whether it says so by what it is, and not as written.
    """

    kind: str
    bucket: Bucket
    settings: Settings
    is_implied: bool = False


@dataclass(frozen=True, slots=True)
class ShapedPath:
    """The options for one domain, source and site, each with where it came from."""

    settings: Mapping[SettingKey, Setting]

    def options(self) -> dict[str, Any]:
        """Return the options as ``make_egress_path`` takes them."""
        made: dict[str, Any] = {}
        for key, setting in self.settings.items():
            if len(key) == 1:
                made[key[0]] = setting.value
            else:
                made.setdefault(key[0], {})[key[1]] = setting.value
        return made


class Shaping:
    """All that the files say.

    Attributes:
        default: For every destination.
        providers: By name, in the order of their definition.
        sites: By site name.
        domains: By domain, for those that are not rolled up.
        warmups: The schedules of sources that are warmed up.
        hash: Changes when anything changes that has an effect.
    """

    def __init__(
        self,
        default: Bucket | None = None,
        providers: Mapping[str, Bucket] | None = None,
        sites: Mapping[str, Bucket] | None = None,
        domains: Mapping[str, Bucket] | None = None,
        warmups: Warmups | None = None,
    ) -> None:
        self.default = default if default is not None else Bucket("default")
        self.providers: Mapping[str, Bucket] = providers or {}
        self.sites: Mapping[str, Bucket] = sites or {}
        self.domains: Mapping[str, Bucket] = domains or {}
        self.warmups = warmups if warmups is not None else Warmups()
        self.hash = self._digest()

    def _digest(self) -> str:
        value = [
            self.default.to_value(),
            [bucket.to_value() for bucket in self.providers.values()],
            [self.sites[name].to_value() for name in sorted(self.sites)],
            [self.domains[name].to_value() for name in sorted(self.domains)],
            self.warmups.to_value(),
        ]
        text = json.dumps(value, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()

    # -- paths ----------------------------------------------------------------------------------

    def providers_of(self, domain: str, mx_hosts: Iterable[str] | None) -> list[str]:
        """Return the providers that a domain belongs to, in the order of their definition.

        Args:
            domain: The routing domain.
            mx_hosts: Its MX hosts; None if they are not known.
        """
        normal = domain_for_providers(domain)
        hosts = [normal_host(host) for host in mx_hosts or ()]
        return [
            name
            for name, bucket in self.providers.items()
            if is_provider_of(bucket.match, normal, hosts)
        ]

    def resolve(
        self,
        routing_domain: str,
        source: str,
        site_name: str,
        mx_hosts: Sequence[str] | None = None,
        *,
        on: date | None = None,
    ) -> ShapedPath:
        """Return the options of the path from a source to a site, for mail of one domain.

        Later ones win: default, default for the source, providers, providers for the source, the
        site, the domain, the site for the source, the domain for the source. What comes out is
        capped by the warm-up of the source.

        Args:
            routing_domain: The domain whose MX is used.
            source: The egress source.
            site_name: The site that takes the mail.
            mx_hosts: Its MX hosts; without them only DomainSuffix finds providers.
            on: The date, in UTC, which decides what a warm-up allows; None leaves warm-ups out.
        """
        held: Settings = {}
        for step in self.steps(routing_domain, source, site_name, mx_hosts):
            held |= step.settings
        for name in PROVIDER_OPTIONS:
            held.pop((name,), None)
        if on is not None and self.warmups:
            for day in self.warmups.days(source, self.providers_of(routing_domain, mx_hosts), on):
                _cap(held, day)
        return ShapedPath(held)

    def steps(
        self,
        routing_domain: str,
        source: str,
        site_name: str,
        mx_hosts: Sequence[str] | None = None,
    ) -> list[ShapingStep]:
        """Return what is said of a path, in the order in which it counts.

        The arguments are those of ``resolve``; what a warm-up allows is not among it.
        """
        site = self.sites.get(site_name)
        domain = self.domains.get(normal_section_name(routing_domain))
        above = [
            (kind, one) for kind, one in (("site", site), ("domain", domain)) if one is not None
        ]
        steps: list[ShapingStep] = []
        if not any(bucket.replaces_base for _, bucket in above):
            names = self.providers_of(routing_domain, mx_hosts)
            base = [
                [("default", self.default)],
                [("provider", self.providers[name]) for name in names],
            ]
            for group in base:
                steps += [ShapingStep(kind, one, one.settings) for kind, one in group]
                steps += [ShapingStep(kind, one, one.for_source(source)) for kind, one in group]
            steps += [
                ShapingStep(kind, one, _implied(one, source), is_implied=True)
                for kind, one in base[1]
            ]
        steps += [ShapingStep(kind, one, one.settings) for kind, one in above]
        steps += [ShapingStep(kind, one, one.for_source(source)) for kind, one in above]
        return steps

    # -- rules ----------------------------------------------------------------------------------

    def rules_for(
        self, domain: str, site_name: str, mx_hosts: Sequence[str] | None = None
    ) -> list[ScopedRule]:
        """Return the rules for replies to mail of a domain that went to a site, in order.

        Args:
            domain: The domain of the recipient.
            site_name: The site that replied.
            mx_hosts: Its MX hosts; without them only DomainSuffix finds providers.
        """
        names = self.providers_of(domain, mx_hosts)
        buckets = [
            self.default,
            *(self.providers[name] for name in names),
            self.sites.get(site_name),
            self.domains.get(normal_section_name(domain)),
        ]
        found = (one for bucket in buckets if bucket is not None for one in bucket.rules)
        return [one for one in found if one.rule.is_enabled]

    def all_rules(self) -> list[ScopedRule]:
        """Return every rule of every section, also those that are switched off."""
        return [one for bucket in self._buckets() for one in bucket.rules]

    @property
    def needs_deliveries(self) -> bool:
        """Return whether a rule counts proportions, so that successes have to be seen as well."""
        return any(
            isinstance(one.rule.trigger, Proportion) and one.rule.is_enabled
            for one in self.all_rules()
        )

    @property
    def longest_duration_s(self) -> float:
        """Return the longest duration of a rule: older records can decide nothing."""
        return max((one.rule.duration_s for one in self.all_rules()), default=0.0)

    def referenced_sources(self) -> dict[str, Place]:
        """Return the sources that sections name, each with the first place where one does."""
        found: dict[str, Place] = {}
        for bucket in self._buckets():
            for source, settings in bucket.sources.items():
                for setting in settings.values():
                    found.setdefault(source, setting.place)
        return found

    def _buckets(self) -> Iterator[Bucket]:
        yield self.default
        for group in (self.providers, self.sites, self.domains):
            yield from group.values()


def _cap(held: Settings, day: WarmupDay) -> None:
    """Lower what is above the caps of a day; what has no bound gets one."""
    for option, value in day.step.caps.items():
        key = cap_key(day.scope, option)
        known = held.get(key)
        is_lower = known is None or (
            option != TOTAL_RATE and amount_of(option, value) < amount_of(option, known.value)
        )
        if is_lower:
            held[key] = Setting(value, day.step.place, day.section)


def _implied(bucket: Bucket, source: str) -> Settings:
    """Return what belonging to a provider adds to a path: its name and the limits it shares."""
    place = bucket.place or Place("")
    section = f"provider.{bucket.name}"
    made: Settings = {("provider_name",): Setting(bucket.name, place, section)}
    own = bucket.settings | bucket.for_source(source)
    for name, (option, suffix) in _IMPLIED.items():
        setting = own.get((name,))
        if setting is not None:
            made[option, f"shaping-provider-{bucket.name}-{source}-{suffix}"] = setting
    return made
