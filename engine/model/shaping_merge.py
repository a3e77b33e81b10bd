"""Shaping files laid over each other: what each section says in the end, and what is odd about it.

Place in flow: ``engine.route.shaping_loader`` hands in the files and what the DNS said of their
domains; the result is a ``Shaping``.

Invariants:
    * Later files override earlier ones: value by value, tables of named limits entry by entry;
      rules and match terms add up.
    * ``replace_base`` drops what came before under the same key. On a site or domain it also keeps
      out what ``default`` and providers say of it, wherever among the files it stands.
    * A section with rollup lands in the bucket of its site, one without in that of its domain. One
      whose site is not known lands nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.model.keyword_options import closest
from engine.model.shaping import Bucket, Shaping
from engine.model.shaping_finding import (
    FindingList,
    LoadOptions,
    Severity,
    ShapingFinding,
)
from engine.model.shaping_provider import MatchKind, domain_for_providers
from engine.model.shaping_rule import scope_rule
from engine.model.shaping_section import Setting, Settings, ShapingLayer, ShapingSection
from engine.model.shaping_warmup import Warmups, WarmupScope, WarmupSection, lay_section


@dataclass(frozen=True, slots=True)
class SiteRoute:
    """What the DNS said of the domain of a section.

    Attributes:
        site_name: The site that takes its mail.
        mx_hosts: The names of its MX hosts.
        is_null: Whether it declares that it takes no mail.
        failure: Why it is not known; the rest is empty then.
    """

    site_name: str = ""
    mx_hosts: tuple[str, ...] = ()
    is_null: bool = False
    failure: str = ""


def rollup_domains(layers: Iterable[ShapingLayer]) -> list[str]:
    """Return the domains whose sites a merge has to know, each once, in order."""
    names = (one.name for layer in layers for one in layer.domains if one.is_rollup)
    return list(dict.fromkeys(names))


def merge_layers(
    layers: Sequence[ShapingLayer],
    routes: Mapping[str, SiteRoute],
    options: LoadOptions,
) -> tuple[Shaping, tuple[ShapingFinding, ...]]:
    """Return the layers as one, with everything there is to say about them.

    Args:
        layers: The files, later ones over earlier ones.
        routes: What the DNS said of each domain; what is missing was not asked and is left out.
        options: How much each finding weighs.
    """
    merge = _Merge(routes, options)
    for layer in layers:
        merge.lay(layer)
    merge.scope_providers()
    merge.check()
    warmups = Warmups(merge.warmups)
    merge.check_warmups(warmups)
    shaping = Shaping(merge.default, merge.providers, merge.sites, merge.domains, warmups)
    merge.check_overlap(shaping)
    return shaping, tuple(merge.findings.found)


@dataclass(slots=True)
class _Merge:
    """The buckets while files are laid over each other."""

    routes: Mapping[str, SiteRoute]
    options: LoadOptions
    default: Bucket = field(default_factory=lambda: Bucket("default"))
    providers: dict[str, Bucket] = field(default_factory=dict)
    sites: dict[str, Bucket] = field(default_factory=dict)
    domains: dict[str, Bucket] = field(default_factory=dict)
    #: Sections whose site is not known, by domain: checked like all others.
    unplaced: dict[str, Bucket] = field(default_factory=dict)
    warmups: dict[WarmupScope, WarmupSection] = field(default_factory=dict)
    findings: FindingList = field(default_factory=FindingList)
    _unfit: list[Setting] = field(default_factory=list)
    _sections: list[ShapingSection] = field(default_factory=list)
    _provider_sections: list[ShapingSection] = field(default_factory=list)
    _domain_of_site: dict[str, str] = field(default_factory=dict)
    _remote_warmups: set[WarmupScope] = field(default_factory=set)

    def lay(self, layer: ShapingLayer) -> None:
        """Lay one file over those that came before."""
        for finding in layer.findings:
            self._relay(layer, finding)
        if layer.default is not None:
            self._add(layer, self.default, layer.default, is_rollup=True)
        for section in layer.providers:
            bucket = self.providers.setdefault(section.name, Bucket(section.name))
            self._add(layer, bucket, section, is_rollup=False, provider=section.name)
            self._provider_sections.append(section)
        for section in layer.domains:
            self._add(layer, self._bucket_of(section), section, is_rollup=section.is_rollup)
        for warmup in layer.warmups:
            self.warmups[warmup.scope] = lay_section(self.warmups.get(warmup.scope), warmup)
            if layer.is_remote:
                self._remote_warmups.add(warmup.scope)

    def scope_providers(self) -> None:
        """Have rules of providers that are known by their hosts act on the site that replied.

        A ready queue carries mail of all domains of a site, and has the path of the one that opened
        it: what is set for another of them would have no effect.
        """
        for bucket in self.providers.values():
            if any(term.kind is not MatchKind.DOMAIN_SUFFIX for term in bucket.match):
                bucket.rules[:] = [
                    scope_rule(one.rule, is_rollup=True, provider=one.provider)
                    for one in bucket.rules
                ]

    def _relay(self, layer: ShapingLayer, finding: ShapingFinding) -> None:
        if layer.is_remote and finding.severity == "error":
            if self.options.remote_load is Severity.IGNORE:
                return
            if self.options.remote_load is Severity.WARN:
                one = finding
                finding = ShapingFinding(one.file, one.line, "warning", one.message, one.key)
        self.findings.found.append(finding)

    def _bucket_of(self, section: ShapingSection) -> Bucket:
        name = section.name
        if not section.is_rollup:
            return self.domains.setdefault(name, Bucket(name))
        self._sections.append(section)
        route = self.routes.get(name)
        if route is None or route.failure or route.is_null:
            self._say_unplaced(section, route)
            return self.unplaced.setdefault(name, Bucket(name))
        site = route.site_name
        first = self._domain_of_site.setdefault(site, name)
        if first != name:
            text = f"is one site with {first!r}, {site}: both sections are for all its domains"
            self.findings.add(self.options.aliased_site, section.place, text, section.path)
        return self.sites.setdefault(site, Bucket(site))

    def _say_unplaced(self, section: ShapingSection, route: SiteRoute | None) -> None:
        if route is None:
            return
        if route.is_null:
            text = "the section is left out: the domain takes no mail (null MX)"
            self.findings.add(self.options.null_mx, section.place, text, section.path)
        else:
            text = f"the section is left out: {route.failure}"
            self.findings.add(self.options.dns_fail, section.place, text, section.path)

    def _add(
        self,
        layer: ShapingLayer,
        bucket: Bucket,
        section: ShapingSection,
        *,
        is_rollup: bool,
        provider: str | None = None,
    ) -> None:
        if section.replaces_base:
            bucket.clear()
            bucket.replaces_base = True
        if bucket.place is None:
            bucket.place = section.place
        self._lay_settings(layer, bucket.settings, section.settings)
        for source, settings in section.sources.items():
            self._lay_settings(layer, bucket.sources.setdefault(source, {}), settings)
        bucket.rules.extend(
            scope_rule(rule, is_rollup=is_rollup, provider=provider) for rule in section.rules
        )
        bucket.match.extend(section.match)

    def _lay_settings(self, layer: ShapingLayer, held: Settings, given: Settings) -> None:
        for key, setting in given.items():
            if setting.complaint and layer.is_remote:
                # What a URL gave wrong must not take a good value of a file from its place.
                text, where = f"{setting.complaint}; it is left out", setting.place
                self.findings.add(self.options.remote_load, where, text, setting.key)
                continue
            # A table that is none stands under the name of the option alone.
            if len(key) > 1:
                held.pop(key[:1], None)
            before = held.get(key)
            # A copy: files are kept parsed, and laid over each other again and again.
            laid = setting if before is None else replace(setting, before=before)
            held[key] = laid
            if laid.complaint:
                self._unfit.append(laid)

    # -- what is odd ----------------------------------------------------------------------------

    def check(self) -> None:
        """Note what does not fit, and what can have no effect."""
        surviving = {
            (setting.place, setting.key, setting.complaint)
            for bucket in self._buckets()
            for setting in bucket.all_settings()
            if setting.complaint
        }
        for setting in self._unfit:
            if (setting.place, setting.key, setting.complaint) in surviving:
                self.findings.add(Severity.ERROR, setting.place, setting.complaint, setting.key)
            else:
                text = f"{setting.complaint}; what comes later overrides it: it does no harm"
                self.findings.add(Severity.WARN, setting.place, text, setting.key)
        for bucket in self._buckets():
            bucket.drop_unfit()
        matched = [name for name, bucket in self.providers.items() if bucket.match]
        for section in self._provider_sections:
            if section.name not in matched:
                hint = closest(section.name, matched)
                text = f"no file says what the provider {section.name!r} matches: it has no effect"
                self.findings.add(Severity.WARN, section.place, text + hint, section.path)

    def check_warmups(self, warmups: Warmups) -> None:
        """Note schedules that cannot begin, and those that have no effect."""
        matched = [name for name, bucket in self.providers.items() if bucket.match]
        for scope, section in warmups.sections.items():
            provider, where = scope[1], section.place
            if section.steps and warmups.start_of(section) is None:
                text = "the schedule has no start: write start = '2026-12-31'"
                # What a URL leaves out must not keep the files from use.
                is_remote = scope in self._remote_warmups
                severity = self.options.remote_load if is_remote else Severity.ERROR
                self.findings.add(severity, where, text, section.path)
            if provider is not None and section.steps and provider not in matched:
                text = f"no file says what the provider {provider!r} matches: it has no effect"
                hint = closest(provider, matched)
                self.findings.add(Severity.WARN, where, text + hint, section.path)
            if section.start is not None and not section.steps and not self._is_start(section):
                text = "a start without a schedule has no effect"
                self.findings.add(Severity.WARN, where, text, section.path)

    def _is_start(self, section: WarmupSection) -> bool:
        """Return whether schedules for providers take their start from here."""
        source, provider = section.scope
        return provider is None and any(
            one.steps for (other, _), one in self.warmups.items() if other == source
        )

    def _buckets(self) -> Iterator[Bucket]:
        yield self.default
        for group in (self.providers, self.sites, self.domains, self.unplaced):
            yield from group.values()

    def check_overlap(self, shaping: Shaping) -> None:
        """Note sections of domains that belong to a provider."""
        if self.options.provider_overlap is Severity.IGNORE:
            return
        for section in self._sections:
            route = self.routes.get(section.name)
            if route is None or route.failure or domain_for_providers(section.name) is None:
                continue
            for provider in shaping.providers_of(section.name, route.mx_hosts):
                text = f"the domain belongs to the provider {provider!r} as well"
                severity = self.options.provider_overlap
                self.findings.add(severity, section.place, text, section.path)
