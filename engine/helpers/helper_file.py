"""The data of one helper: several files or inline tables merged, with the place of every key.

Place in flow: each helper's ``setup`` reads through here while the policy loads; what it finds
wrong becomes a finding of the epoch, with file and line.

Invariants:
    * Tables merge, key by key; anything else is replaced by what comes later.
    * What was read is what is watched: the digest in ``Epoch.files`` is that of the octets parsed.
    * The data are copies of plain values: nothing of a script stays in them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.base.data_file import SIZE_MAX, DataFile, DataFileError, KeyPath, parse_data_file
from engine.model.keyword_options import Option, OptionTable, closest
from engine.script_modules.plain_value import copy_plain
from engine.script_modules.policy_files import read_plain_file
from engine.script_modules.script_call import caller_budget
from policy.epoch import Epoch
from policy.errors import LimitExceededError
from policy.hook_registry import PolicyFinding

#: Tables nested deeper than this are no configuration.
DEPTH_MAX = 16
#: The most files one helper reads.
FILES_MAX = 1_000
Severity = Literal["error", "warning"]
Place = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class _Inline:
    """A table that stands in the script itself: all of it is where ``setup`` is called."""

    name: str
    line: int
    values: dict[str, Any]

    def line_of(self, *_path: str | int) -> int | None:
        return self.line


_Source = DataFile | _Inline


class HelperData:
    """What a helper was given, merged.

    Attributes:
        values: The tables.
        is_complete: Whether everything could be read; what is missing is not held against the rest.
    """

    def __init__(self, findings: list[PolicyFinding], place: tuple[str, int]) -> None:
        self.values: dict[str, Any] = {}
        self.is_complete = True
        self._findings = findings
        self._place = place
        self._origins: dict[KeyPath, _Source] = {}

    def merge(self, source: _Source) -> None:
        """Lay the tables of a source over those that came before."""
        self._merge(self.values, source.values, (), source)

    def _merge(
        self, held: dict[str, Any], given: Mapping[str, Any], path: KeyPath, source: _Source
    ) -> None:
        if len(path) >= DEPTH_MAX:
            self.is_complete = False
            self._add("error", (source.name, source.line_of(*path)), "tables nested too deeply")
            return
        for key, value in given.items():
            here = (*path, key)
            before = held.get(key)
            self._origins[here] = source
            if isinstance(value, dict):
                if not isinstance(before, dict):
                    before = held[key] = {}
                self._merge(before, value, here, source)
            else:
                held[key] = value

    def place_of(self, *path: str | int) -> Place:
        """Return file and line of a value, or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            source = self._origins.get(path[:length])
            if source is not None:
                return source.name, source.line_of(*path)
        return self._place

    def error(self, text: str, *path: str | int) -> None:
        """Note what is wrong with a value: the policy will not load."""
        self._add("error", self.place_of(*path), text)

    def warn(self, text: str, *path: str | int) -> None:
        """Note what is odd about a value."""
        self._add("warning", self.place_of(*path), text)

    def miss(self, place: Place, text: str) -> None:
        """Note that a source cannot be had."""
        self.is_complete = False
        self._add("error", place, text)

    def _add(self, severity: Severity, place: Place, text: str) -> None:
        self._findings.append(PolicyFinding(*place, severity, text))

    # -- reading tables -----------------------------------------------------------------------

    def table(self, *path: str) -> dict[str, Any]:
        """Return the table of this name; an empty one where there is none, or no table."""
        value: Any = self.values
        for key in path:
            value = value.get(key, {})
            if not isinstance(value, dict):
                self.error(f"{shown(path)}: a table is expected, not {value!r:.80}", *path)
                return {}
        return value  # type: ignore[no-any-return]

    def tables(self, *path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield name and content of each table in a table; what is none is an error."""
        for name, value in self.table(*path).items():
            if isinstance(value, dict):
                yield name, value
            else:
                text = f"{shown((*path, name))}: a table is expected, not {value!r:.80}"
                self.error(text, *path, name)

    def read(
        self, path: tuple[str, ...], given: Mapping[str, Any], options: OptionTable
    ) -> dict[str, Any]:
        """Return those options of a table that are known and fit, as they were written.

        Args:
            path: Where the table stands.
            given: Its keys and values.
            options: The known options; what else is there, or does not fit, is an error.
        """
        good: dict[str, Any] = {}
        for name, value in given.items():
            option = options.get(name)
            if option is None:
                hint = closest(name, options)
                self.error(f"{_prefix(path)}unknown option {name!r}{hint}", *path, name)
            elif value is not None and self.fits(option, value, *path, name):
                good[name] = value
        return good

    def fits(self, option: Option, value: Any, *path: str) -> bool:
        """Return whether a value fits its option; if not, that is an error."""
        try:
            option.convert(value)
        except (ValueError, TypeError, OverflowError) as error:
            self.error(f"{shown(path)}: {error}", *path)
            return False
        return True

    def note(self, notes: Iterable[str], *path: str) -> None:
        """Warn of options that are known but not in force; each text begins with its option."""
        for text in notes:
            name = text.split(maxsplit=1)[0].rstrip(",:")
            self.warn(f"{_prefix(path)}{text}", *path, name)


def shown(path: Iterable[str]) -> str:
    """Return where a value stands, as operators write it."""
    return ".".join(part if part.replace("_", "").isalnum() else f'"{part}"' for part in path)


def _prefix(path: tuple[str, ...]) -> str:
    return f"{shown(path)}: " if path else ""


def read_helper_data(epoch: Epoch, place: tuple[str, int], sources: Any) -> HelperData:
    """Return the data of a helper; what cannot be read is a finding of the epoch.

    Args:
        epoch: The epoch being loaded: its files are watched, and relative names belong into the
            folder of its policy script.
        place: File and line of the script that gives the sources.
        sources: The name of a file, a table, or a list of these; later ones override.
    """
    data = HelperData(epoch.native.findings, place)
    for source in _as_list(sources):
        if isinstance(source, str):
            _read_file(epoch, place, source, data)
        elif isinstance(source, Mapping):
            values = copy_plain(dict(source), caller_budget()).value
            data.merge(_Inline(*place, _text_keyed(values)))
        else:
            raise TypeError(f"wants names of files or tables, not {type(source).__name__[:100]}")
    return data


def _as_list(sources: Any) -> list[Any]:
    if isinstance(sources, str | Mapping):
        return [sources]
    if not isinstance(sources, list | tuple):
        raise TypeError(f"wants a list of files or tables, not {type(sources).__name__[:100]}")
    if not sources or len(sources) > FILES_MAX:
        raise ValueError(f"wants 1 to {FILES_MAX} files or tables, not {len(sources)}")
    return list(sources)


def _text_keyed(value: Any) -> Any:
    """Return a table whose tables have text for keys, as files have."""
    if isinstance(value, dict):
        return {str(key): _text_keyed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_text_keyed(inner) for inner in value]
    return value


def find_file(epoch: Epoch, name: str) -> Path:
    """Return the path of a file that a helper was given by name."""
    if not name or "\0" in name:
        raise ValueError("wants the name of a file")
    return epoch.native.folder / name


def read_watched(epoch: Epoch, path: Path, shown_name: str) -> bytes:
    """Return the content of a file of the epoch; a change of it is a reload.

    Raises:
        OSError: It cannot be read, with a text for operators.
        LimitExceededError: It is too large.
    """
    try:
        content = read_plain_file(path, SIZE_MAX, shown_name)
    except OSError:
        # Watched all the same: writing the missing file is a change.
        epoch.files.setdefault(path, None)
        raise
    epoch.files.setdefault(path, hashlib.sha256(content).hexdigest())
    return content


def _read_file(epoch: Epoch, place: tuple[str, int], name: str, data: HelperData) -> None:
    path = find_file(epoch, name)
    try:
        content = read_watched(epoch, path, name)
        is_json = path.suffix.lower() == ".json"
        data.merge(parse_data_file(content, str(path), is_json=is_json))
    except DataFileError as error:
        data.miss((error.file, error.line), error.text)
    except (OSError, LimitExceededError) as error:
        data.miss(place, str(error))
