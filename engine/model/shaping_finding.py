"""What there is to say about shaping files: findings with file, line, key and weight.

Place in flow: the readers of ``engine.model.shaping_*`` and ``engine.route.shaping_loader`` make
them; ``cirrus check``, helpers and the TSA show them.

Invariants:
    * A finding names its file, and its line wherever the value has one.
    * What is ignored by the options is not found at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from engine.model.duration import parse_duration
from engine.model.keyword_options import Option, flag, read_options

#: Where a value stands in a file: keys of tables and indexes of arrays.
KeyPath = tuple[str | int, ...]
#: Return the line of a value in one file, or of the nearest table around it.
LineOf = Callable[..., int | None]


class Severity(Enum):
    """How much a finding weighs: an error keeps the files from being used."""

    IGNORE = "Ignore"
    WARN = "Warn"
    ERROR = "Error"


@dataclass(frozen=True, slots=True)
class Place:
    """A file, as the operator named it, and a line of it."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class ShapingFinding:
    """One thing to tell the operator.

    Attributes:
        key: The key it is about, dotted as in TOML; empty if it is about the whole file.
    """

    file: str
    line: int | None
    severity: Literal["error", "warning"]
    message: str
    key: str = ""

    def __str__(self) -> str:
        what = f"{self.key}: {self.message}" if self.key else self.message
        return f"{Place(self.file, self.line)}: {self.severity}: {what}"


def _severity(value: Any) -> Severity:
    if isinstance(value, Severity):
        return value
    for one in Severity:
        if isinstance(value, str) and value.lower() == one.value.lower():
            return one
    raise ValueError(f"one of Ignore, Warn, Error is expected, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How shaping files are loaded, and what is said about them.

    Attributes:
        provider_overlap: A section of a domain that belongs to a provider as well.
        dns_fail: A section whose domain cannot be resolved.
        null_mx: A section whose domain takes no mail.
        aliased_site: A section for a site that another section is for as well.
        local_load: A file that cannot be read.
        remote_load: A URL that cannot be read, or what is wrong in what it gave.
        skip_remote: Whether URLs are left out.
        http_timeout_s: The longest that one URL may take.
    """

    provider_overlap: Severity = Severity.IGNORE
    dns_fail: Severity = Severity.IGNORE
    null_mx: Severity = Severity.IGNORE
    aliased_site: Severity = Severity.IGNORE
    local_load: Severity = Severity.ERROR
    remote_load: Severity = Severity.IGNORE
    skip_remote: bool = False
    http_timeout_s: float = 5.0


#: What ``cirrus check`` says: everything.
CHECK_OPTIONS = LoadOptions(
    provider_overlap=Severity.WARN,
    dns_fail=Severity.WARN,
    null_mx=Severity.WARN,
    aliased_site=Severity.WARN,
    remote_load=Severity.WARN,
)


def _timeout(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError(f"a duration above zero is expected, not {value!r}")
    return seconds


LOAD_OPTIONS: dict[str, Option] = {
    "provider_overlap": Option(_severity),
    "dns_fail": Option(_severity),
    "null_mx": Option(_severity),
    "aliased_site": Option(_severity),
    "local_load": Option(_severity),
    "remote_load": Option(_severity),
    "skip_remote": Option(flag),
    "http_timeout": Option(_timeout, "http_timeout_s"),
}


def parse_load_options(given: Mapping[str, Any], owner: str = "load options") -> LoadOptions:
    """Return the options that an operator wrote.

    Raises:
        TypeError: An option is unknown.
        ValueError: A value does not fit its option.
    """
    return LoadOptions(**read_options(owner, given, LOAD_OPTIONS))


def format_key(path: Iterable[str | int]) -> str:
    """Return where a value stands, as operators write it: ``"a.example".automation[0].regex``."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
            continue
        bare = part.isascii() and part.replace("_", "").replace("-", "").isalnum()
        shown += ("." if shown else "") + (part if bare else f'"{part[:100]}"')
    return shown


@dataclass(slots=True)
class FindingList:
    """Findings as they are made."""

    found: list[ShapingFinding] = field(default_factory=list)

    def add(self, severity: Severity, place: Place, message: str, key: Iterable[str | int]) -> None:
        """Note something, unless it is to be ignored."""
        if severity is not Severity.IGNORE:
            kind: Literal["error", "warning"] = "error" if severity is Severity.ERROR else "warning"
            shown = message if message.isprintable() else ascii(message)[1:-1]
            self.found.append(ShapingFinding(place.file, place.line, kind, shown, format_key(key)))


class FileView:
    """One file while it is read: its name, the lines of its keys, what was found in it."""

    def __init__(self, name: str, line_of: LineOf) -> None:
        self.name = name
        self._line_of = line_of
        self._findings = FindingList()

    def place(self, *path: str | int) -> Place:
        """Return where a value stands."""
        return Place(self.name, self._line_of(*path))

    def error(self, text: str, *path: str | int) -> None:
        """Note what is wrong with a value."""
        self._findings.add(Severity.ERROR, self.place(*path), text, path)

    def warn(self, text: str, *path: str | int) -> None:
        """Note what is odd about a value."""
        self._findings.add(Severity.WARN, self.place(*path), text, path)

    @property
    def findings(self) -> tuple[ShapingFinding, ...]:
        """Return what was found so far."""
        return tuple(self._findings.found)
