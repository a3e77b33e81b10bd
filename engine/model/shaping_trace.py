"""Where the options of a path come from: what shaping says of it, step by step.

Place in flow: ``engine.admin.shaping_explain`` asks for one path; the helper of the node hands over
the shaping that is in force.

Invariants:
    * The last that was said of an option is what ``Shaping.resolve`` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from engine.model.shaping import Shaping, ShapingStep
from engine.model.shaping_provider import domain_for_providers, matching_terms, normal_host
from engine.model.shaping_section import Setting, SettingKey
from engine.model.shaping_warmup import WarmupDay


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapingInForce:
    """The shaping that answers for paths now.

    Attributes:
        shaping: All that the files say.
        files: Their names, in the order in which they are laid over each other.
        place: File and line of the script that set it up.
        is_complete: Whether sites and URLs were looked at once; paths wait for that.
        failing: Why the last load was not taken; None while all is well.
        on: The date that warm-ups go by, in UTC.
        obeys: Whether the overlay of the automation is laid over the files.
    """

    shaping: Shaping
    files: tuple[str, ...]
    place: tuple[str, int]
    is_complete: bool
    failing: str | None
    on: date | None
    obeys: bool


class Said(NamedTuple):
    """One value that was given for an option.

    Attributes:
        kind: ``default``, ``provider``, ``site`` or ``domain`` by the section it stands in, or
            ``warmup`` for a cap.
        setting: The value, with its place.
    """

    kind: str
    setting: Setting


class MatchedSection(NamedTuple):
    """A section of a file that counts for a path.

    Attributes:
        kind: As of ``Said``.
        name: The provider, site or domain; ``default``.
        section: How it is written, such as ``provider.big.sources.ip-1``.
        file, line: Where it, or the first of its options that count, stands.
        options: The options it gives.
        matched_by: The terms that the domain or its hosts meet, of a provider.
        replaces_base: Whether it keeps default and providers out.
    """

    kind: str
    name: str
    section: str
    file: str
    line: int | None
    options: tuple[str, ...]
    matched_by: tuple[str, ...] = ()
    replaces_base: bool = False


@dataclass(frozen=True, slots=True)
class PathTrace:
    """What is said of a path.

    Attributes:
        providers: Those the domain belongs to.
        sections: The sections that count, in the order in which they do.
        said: What was given for each option in turn, the value that counts last.
        warmups: Where the schedules of the source stand.
    """

    providers: list[str]
    sections: list[MatchedSection]
    said: dict[SettingKey, list[Said]]
    warmups: list[WarmupDay]

    def options(self) -> dict[str, object]:
        """Return the options as ``make_egress_path`` takes them."""
        made: dict[str, object] = {}
        for key, chain in self.said.items():
            value = chain[-1].setting.value
            if len(key) == 1:
                made[key[0]] = value
            else:
                table = made.setdefault(key[0], {})
                assert isinstance(table, dict)
                table[key[1]] = value
        return made


def trace_path(
    in_force: ShapingInForce,
    routing_domain: str,
    source: str,
    site_name: str,
    mx_hosts: Sequence[str] | None,
) -> PathTrace:
    """Return what is said of the path from a source to a site, for mail of one domain.

    Args:
        in_force: The shaping.
        routing_domain: The domain whose MX is used.
        source: The egress source.
        site_name: The site that takes the mail.
        mx_hosts: Its MX hosts; without them only DomainSuffix finds providers.
    """
    shaping, on = in_force.shaping, in_force.on
    steps = shaping.steps(routing_domain, source, site_name, mx_hosts)
    resolved = shaping.resolve(routing_domain, source, site_name, mx_hosts, on=on).settings
    said: dict[SettingKey, list[Said]] = {key: [] for key in resolved}
    for step in steps:
        for key, setting in step.settings.items():
            if key in said:
                said[key] += [Said(step.kind, one) for one in setting.history()]
    for key, setting in resolved.items():
        if not said[key] or said[key][-1].setting != setting:
            said[key].append(Said("warmup", setting))
    providers = shaping.providers_of(routing_domain, mx_hosts)
    return PathTrace(
        providers,
        _sections(steps, in_force.files, routing_domain, mx_hosts),
        said,
        shaping.warmups.days(source, providers, on) if on is not None else [],
    )


def _sections(
    steps: Sequence[ShapingStep],
    files: Sequence[str],
    routing_domain: str,
    mx_hosts: Sequence[str] | None,
) -> list[MatchedSection]:
    ranks = {name: rank for rank, name in enumerate(files)}
    domain = domain_for_providers(routing_domain)
    hosts = [normal_host(host) for host in mx_hosts or ()]
    found: list[MatchedSection] = []
    for step in steps:
        if step.is_implied:
            continue
        bucket = step.bucket
        terms = matching_terms(bucket.match, domain, hosts)
        matched_by = tuple(dict.fromkeys(f"{one.kind.value} {one.text}" for one in terms))
        parts = _by_section(step)
        if not parts and step.settings is bucket.settings and bucket.place is not None:
            # It matches, and says nothing of paths: it may hold rules alone.
            name = bucket.name if step.kind != "provider" else f"provider.{bucket.name}"
            parts = {(name, bucket.place.file): (bucket.place.line, ())}
        for (section, file), (line, options) in sorted(
            parts.items(), key=lambda part: (ranks.get(part[0][1], -1), part[1][0] or 0)
        ):
            found.append(
                MatchedSection(
                    step.kind,
                    bucket.name,
                    section,
                    file,
                    line,
                    options,
                    matched_by,
                    bucket.replaces_base,
                )
            )
    return found


def _by_section(step: ShapingStep) -> dict[tuple[str, str], tuple[int | None, tuple[str, ...]]]:
    """Return line and options of each section of each file in a step."""
    lines: dict[tuple[str, str], list[int]] = {}
    options: dict[tuple[str, str], dict[str, None]] = {}
    for key, setting in step.settings.items():
        for one in setting.history():
            where = one.section, one.place.file
            options.setdefault(where, {})[key[0]] = None
            if one.place.line is not None:
                lines.setdefault(where, []).append(one.place.line)
    return {
        where: (min(lines.get(where, ()), default=None), tuple(names))
        for where, names in options.items()
    }
