"""One shaping file as it is written: its default, its providers, its domains, its warm-ups.

Place in flow: ``engine.base.shaping_source`` hands in what the TOML or JSON parser gave;
``engine.model.shaping_merge`` lays the files over each other.

Invariants:
    * Nothing here depends on other files or on the DNS.
    * An option that does not fit stays, with a complaint: whether it does harm depends on what is
      laid over it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.model.egress_options import PATH_OPTIONS
from engine.model.keyword_options import Option, closest, flag
from engine.model.shaping_finding import (
    FileView,
    KeyPath,
    LineOf,
    Place,
    ShapingFinding,
    format_key,
)
from engine.model.shaping_option import MERGED_OPTIONS, check_path_option
from engine.model.shaping_provider import MatchKind, MatchTerm, normal_section_name, why_never
from engine.model.shaping_rule import ShapingRule, parse_rule
from engine.model.shaping_warmup import WarmupSection
from engine.model.shaping_warmup_section import parse_warmups
from engine.model.throttle_spec import parse_limit, parse_throttle

#: Limits that all sites of a provider share, for each source; what each becomes on a path.
PROVIDER_OPTIONS: dict[str, Option] = {
    "provider_connection_limit": Option(parse_limit),
    "provider_max_message_rate": Option(parse_throttle),
    "provider_source_selection_rate": Option(parse_throttle),
}
_STRUCTURE = ("mx_rollup", "replace_base", "automation", "sources", "match")
#: The name of an option, and of an entry in it where layers merge entry by entry.
SettingKey = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that a file gives.

    Attributes:
        value: As written.
        place: Where it stands.
        section: The section it stands in, such as ``provider.big.sources.ip-1``.
        complaint: Why it cannot be used; empty if it can.
        key: Where it stands in the file, for findings.
        before: What an earlier file gave in its place; None where none did.
    """

    value: Any
    place: Place
    section: str
    complaint: str = ""
    key: KeyPath = ()
    before: Setting | None = field(default=None, compare=False, repr=False)

    def history(self) -> list[Setting]:
        """Return what files gave in turn under this key, the value that counts last."""
        found: list[Setting] = [self]
        while (earlier := found[-1].before) is not None:
            found.append(earlier)
        return found[::-1]


Settings = dict[SettingKey, Setting]


@dataclass(slots=True)
class ShapingSection:
    """One section of one file.

    Attributes:
        name: ``default``, the name of the provider, or the domain in normal form.
        place: Where it begins.
        path: Where it stands in the file.
    """

    name: str
    place: Place
    path: KeyPath
    is_rollup: bool = True
    replaces_base: bool = False
    settings: Settings = field(default_factory=dict)
    sources: dict[str, Settings] = field(default_factory=dict)
    rules: list[ShapingRule] = field(default_factory=list)
    match: list[MatchTerm] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ShapingLayer:
    """One file.

    Attributes:
        name: The file, as the operator named it.
        is_remote: Whether it came from a URL: what is wrong in it never keeps the rest from use.
    """

    name: str
    default: ShapingSection | None = None
    providers: tuple[ShapingSection, ...] = ()
    domains: tuple[ShapingSection, ...] = ()
    findings: tuple[ShapingFinding, ...] = ()
    is_remote: bool = False
    warmups: tuple[WarmupSection, ...] = ()


def parse_layer(
    name: str, values: Mapping[str, Any], line_of: LineOf, *, is_remote: bool = False
) -> ShapingLayer:
    """Return what one file says.

    Args:
        name: The file, as the operator named it.
        values: Its top-level table.
        line_of: Returns the line of a value, given the keys that lead to it.
        is_remote: Whether it came from a URL.
    """
    view = FileView(name, line_of)
    default: ShapingSection | None = None
    providers: list[ShapingSection] = []
    domains: list[ShapingSection] = []
    warmups: list[WarmupSection] = []
    for key, table in values.items():
        if not isinstance(table, Mapping):
            view.error(f"a table is expected, not {table!r:.80}", key)
        elif key == "default":
            default = _SectionReader(view, "default", (key,), table).read_default()
        elif key == "provider":
            providers.extend(_providers(view, table))
        elif key == "warmup":
            warmups.extend(parse_warmups(view, table))
        else:
            domains.append(_SectionReader(view, key, (key,), table).read_domain())
    return ShapingLayer(
        name,
        default,
        tuple(providers),
        tuple(domains),
        view.findings,
        is_remote,
        tuple(warmups),
    )


def _providers(view: FileView, table: Mapping[str, Any]) -> Iterator[ShapingSection]:
    for name, inner in table.items():
        if isinstance(inner, Mapping):
            yield _SectionReader(view, name, ("provider", name), inner).read_provider()
        else:
            view.error(f"a table is expected, not {inner!r:.80}", "provider", name)


class _SectionReader:
    """Reads the table of one section."""

    def __init__(self, view: FileView, name: str, path: KeyPath, table: Mapping[str, Any]) -> None:
        self._view, self._path, self._table = view, path, table
        self._section = ShapingSection(name, view.place(*path), path)

    def read_default(self) -> ShapingSection:
        if "mx_rollup" in self._table:
            self._view.warn("has no effect: default is for all sites", *self._path, "mx_rollup")
        self._read({}, allowed=("mx_rollup", "replace_base", "automation", "sources"))
        return self._section

    def read_provider(self) -> ShapingSection:
        self._read(PROVIDER_OPTIONS, allowed=("replace_base", "automation", "sources", "match"))
        if "provider_name" in self._table:
            text = "has no effect: the provider's own name is used"
            self._view.warn(text, *self._path, "provider_name")
        for index, value in enumerate(self._list("match")):
            self._read_term(value, (*self._path, "match", index))
        return self._section

    def read_domain(self) -> ShapingSection:
        name = str(self._path[-1])
        self._section.name = normal_section_name(name)
        if "." not in name.rstrip(".") and not name.startswith("["):
            text = f"a section for the domain {name!r}: is it a domain in dots without quotes?"
            self._view.warn(text, *self._path)
        elif "*" in name:
            self._view.warn("can never match: there are no wildcards in domains", *self._path)
        self._read({}, allowed=("mx_rollup", "replace_base", "automation", "sources"))
        return self._section

    def _read(self, own: Mapping[str, Option], allowed: tuple[str, ...]) -> None:
        section = self._section
        section.is_rollup = self._flag("mx_rollup", default=True)
        section.replaces_base = self._flag("replace_base", default=False)
        for key, value in self._table.items():
            if key in _STRUCTURE and key not in allowed:
                where = "provider sections" if key == "match" else "sections of domains"
                self._view.error(f"belongs into {where}", *self._path, key)
            elif key not in _STRUCTURE:
                section.settings.update(self._settings(key, value, self._path, own))
        if "sources" in allowed:
            self._read_sources(own)
        shown = format_key(self._path)
        for index, value in enumerate(self._list("automation")):
            path = (*self._path, "automation", index)
            rule = parse_rule(value, self._view, path, shown)
            if rule is None:
                continue
            if rule.pauses_warmup and self._path[0] not in ("default", "provider"):
                text = "PauseWarmup acts on a source or a provider: it belongs into their sections"
                self._view.error(text, *path, "action")
            else:
                section.rules.append(rule)

    def _flag(self, key: str, *, default: bool) -> bool:
        value = self._table.get(key)
        if value is None:
            return default
        try:
            return flag(value)
        except ValueError as error:
            self._view.error(str(error), *self._path, key)
            return default

    def _list(self, key: str) -> list[Any]:
        value = self._table.get(key)
        if value is None:
            return []
        if isinstance(value, list):
            return value
        self._view.error(f"a list is expected, not {value!r:.80}", *self._path, key)
        return []

    def _read_sources(self, own: Mapping[str, Option]) -> None:
        sources = self._table.get("sources")
        if sources is None:
            return
        if not isinstance(sources, Mapping):
            text = f"a table of sources is expected, not {sources!r:.80}"
            self._view.error(text, *self._path, "sources")
            return
        for name, table in sources.items():
            path = (*self._path, "sources", name)
            if not isinstance(table, Mapping):
                self._view.error(f"a table is expected, not {table!r:.80}", *path)
                continue
            held = self._section.sources.setdefault(name, {})
            for key, value in table.items():
                held.update(self._settings(key, value, path, own))

    def _settings(
        self, key: str, value: Any, path: KeyPath, own: Mapping[str, Option]
    ) -> Iterator[tuple[SettingKey, Setting]]:
        if value is None:
            return
        if key in MERGED_OPTIONS and isinstance(value, Mapping):
            for name, inner in value.items():
                yield (key, name), self._setting(key, {name: inner}, inner, (*path, key, name), own)
        else:
            yield (key,), self._setting(key, value, value, (*path, key), own)

    def _setting(
        self, key: str, checked: Any, value: Any, path: KeyPath, own: Mapping[str, Option]
    ) -> Setting:
        complaint, notes = self._judge(key, checked, own)
        for note in notes:
            self._view.warn(note, *path)
        place = self._view.place(*path)
        return Setting(value, place, format_key(self._section_of(path)), complaint, path)

    def _section_of(self, path: KeyPath) -> KeyPath:
        depth = len(self._path)
        return path[: depth + 2] if path[depth] == "sources" else path[:depth]

    def _judge(
        self, key: str, value: Any, own: Mapping[str, Option]
    ) -> tuple[str, tuple[str, ...]]:
        if key in own:
            try:
                own[key].convert(value)
            except ValueError as error:
                return str(error), ()
            return "", ()
        if key in PROVIDER_OPTIONS:
            return "belongs into provider sections", ()
        if key not in PATH_OPTIONS:
            return _unknown(key, value, (*PATH_OPTIONS, *own, *_STRUCTURE)), ()
        verdict = check_path_option(key, value)
        return verdict.complaint, verdict.notes

    def _read_term(self, value: Any, path: KeyPath) -> None:
        kinds = [kind.value for kind in MatchKind]
        if not isinstance(value, Mapping) or len(value) != 1 or not set(value) <= set(kinds):
            text = f"{{{', '.join(kinds)}}}: one of these and a text is expected, not {value!r:.80}"
            self._view.error(text, *path)
            return
        ((kind, pattern),) = value.items()
        if not isinstance(pattern, str):
            self._view.error(f"text is expected, not {pattern!r:.80}", *path, kind)
            return
        term = MatchTerm(MatchKind(kind), pattern, self._view.place(*path))
        self._section.match.append(term)
        never = why_never(term)
        if never is not None:
            self._view.warn(f"{pattern!r:.80} can never match: {never}", *path, kind)
        elif not pattern and term.kind is not MatchKind.HOST_NAME:
            self._view.warn("is empty: it matches every name", *path, kind)


def _unknown(key: str, value: Any, known: tuple[str, ...]) -> str:
    if isinstance(value, Mapping):
        hint = "; a domain with dots is written in quotes"
        return f"unknown option {key!r:.80}{closest(key, known)}{hint}"
    return f"unknown option {key!r:.80}{closest(key, known)}"
