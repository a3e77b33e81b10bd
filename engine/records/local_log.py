"""A directory of log segments as a sink of the recorder: its options and what goes where.

Place in flow: made for each ``configure_local_logs`` of a script; the recorder writes into it; it
hands the records to its ``engine.records.segment_writer``.

Invariants:
    * An entry of ``per_record`` replaces the one for ``Any`` wholly; nothing is merged.
    * Two kinds with the same directory and suffix share a segment.

Failure: a filter that raises counts as "no": the record is not written, the error is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from engine.base.clock import Clock
from engine.base.disk_guard import FLOOR_BYTES_MAX, FLOOR_INODES_MAX, parse_floor
from engine.base.metrics import Metrics
from engine.model.duration import parse_duration
from engine.model.errors import ConfigurationError
from engine.model.keyword_options import function_of
from engine.model.log_record import LogRecord, RecordKind
from engine.model.message import Message
from engine.model.option_error import OptionError
from engine.records.record_selection import RecordSelection, make_selection
from engine.records.record_template import ANY_KIND, Render, make_render
from engine.records.segment_writer import SegmentOptions, SegmentTarget, SegmentWriter

log = logging.getLogger("cirrus.records")

_KIND_NAMES = frozenset({ANY_KIND, *(kind.value for kind in RecordKind)})

FilterEvent = Callable[[Message], bool]
#: Port: wrap a function of the script so that it runs like a handler.
MakeFilter = Callable[[Any], FilterEvent]
Amount = int | float | str


class PerRecord(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What is special about the records of one kind."""

    enable: bool = True
    suffix: str = ""
    log_dir: str | None = None
    template: str | None = None
    segment_header: str = ""


class LocalLogOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The options of ``configure_local_logs``."""

    log_dir: Annotated[str, msgspec.Meta(min_length=1)]
    max_file_size: Annotated[int, msgspec.Meta(gt=0)] = 1_000_000_000
    max_segment_duration: Amount | None = None
    back_pressure: Annotated[int, msgspec.Meta(gt=0)] = 128_000
    compression_level: Annotated[int, msgspec.Meta(ge=0, le=21)] = 0
    meta: list[str] = []
    headers: list[str] = []
    per_record: dict[str, PerRecord] = {}
    filter_event: Any = None
    min_free_space: Amount | None = None
    min_free_inodes: Amount | None = None
    keep: Amount = "30d"


def parse_local_log_options(**options: Any) -> LocalLogOptions:
    """Return the checked options of ``configure_local_logs``.

    Raises:
        ConfigurationError: An option is unknown or has a value it cannot have.
    """
    try:
        parsed = msgspec.convert(options, LocalLogOptions)
        for kind in parsed.per_record:
            if kind not in _KIND_NAMES:
                known = ", ".join(sorted(_KIND_NAMES))
                raise ConfigurationError(f"per_record: no record type {kind!r}; known: {known}")
        make_segment_options(parsed)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigurationError(f"configure_local_logs: {error}") from error
    if parsed.filter_event is not None:
        try:
            function_of(1)(parsed.filter_event)
        except OptionError as error:
            raise ConfigurationError(f"configure_local_logs: filter_event: {error}") from None
    for kind, entry in parsed.per_record.items():
        if "/" in entry.suffix or "\x00" in entry.suffix:
            raise ConfigurationError(f"per_record.{kind}.suffix cannot hold {entry.suffix!r}")
        make_render(entry.template)
    return parsed


def make_segment_options(options: LocalLogOptions) -> SegmentOptions:
    """Return the part of the options that the writer needs.

    Raises:
        ValueError: A duration or an amount is none.
    """
    duration = options.max_segment_duration
    return SegmentOptions(
        max_file_size=options.max_file_size,
        max_segment_duration_s=parse_duration(duration) if duration is not None else None,
        back_pressure=options.back_pressure,
        compression_level=options.compression_level,
        keep_s=parse_duration(options.keep),
        min_free_space=parse_floor(options.min_free_space, FLOOR_BYTES_MAX),
        min_free_inodes=parse_floor(options.min_free_inodes, FLOOR_INODES_MAX),
    )


class LocalLogSink:
    """Writes log records into segments below a directory.

    Args:
        options: See ``parse_local_log_options``.
        clock: Names and ages of segments.
        metrics: Counts a full queue and lost records.
        make_filter: Returns what runs the script's ``filter_event`` within its budget.
    """

    is_hook = False

    def __init__(
        self,
        options: LocalLogOptions,
        clock: Clock,
        metrics: Metrics | None = None,
        make_filter: MakeFilter | None = None,
    ) -> None:
        self.options = options
        self.name = f"dir-{options.log_dir}"
        self.selection: RecordSelection = make_selection(options.meta, options.headers)
        self.writer = SegmentWriter(self.name, clock, make_segment_options(options))
        self._make_filter = make_filter
        self._filter: FilterEvent | None = None
        self._set_filter(options.filter_event)
        self._routes = _make_routes(options)
        self._full = self._dropped = None
        if metrics is not None:
            self._full = metrics.counter("log_submit_full").labels(self.name)
            self._dropped = metrics.counter("log_records_dropped_total").labels(self.name)

    def adopt(self, options: LocalLogOptions) -> bool:
        """Take options that differ in their filter only; return False for others.

        The functions of a reloaded script are new ones: no reason to begin a new segment.
        """
        same = msgspec.structs.replace(options, filter_event=self.options.filter_event)
        if same != self.options:
            return False
        self.options = options
        self._set_filter(options.filter_event)
        return True

    def _set_filter(self, function: Any) -> None:
        if function is None or self._make_filter is None:
            self._filter = function
        else:
            self._filter = self._make_filter(function)

    def start(self) -> None:
        """Take over the directory and begin to write.

        Raises:
            ConfigurationError: A directory cannot be made or read.
        """
        try:
            self.writer.start(dict.fromkeys(target for target, _ in self._routes.values()))
        except OSError as error:
            raise ConfigurationError(f"configure_local_logs: {error}") from error

    def wants(self, kind: RecordKind) -> bool:
        """Return whether records of this kind are written here."""
        return kind in self._routes

    def write(self, record: LogRecord, message: Message | None) -> None:
        """Note a record for writing, without waiting."""
        if self._filter is not None and message is not None and not self._passes(message):
            return
        target, render = self._routes[record.kind]
        writer = self.writer
        if self._full is not None and writer.must_wait:
            self._full.inc()
        if not writer.append(target, render, record) and self._dropped is not None:
            self._dropped.inc()

    def _passes(self, message: Message) -> bool:
        assert self._filter is not None
        try:
            return self._filter(message) is True
        except Exception:  # boundary: record sink
            log.exception("%s: filter_event failed; the record is left out", self.name)
            return False

    @property
    def must_wait(self) -> bool:
        """Return whether producers should wait before making more records."""
        return self.writer.must_wait

    async def wait_capacity(self) -> None:
        """Wait until the writer has room again."""
        await self.writer.wait_capacity()

    def disk_state(self) -> str | None:
        """Return why the disk of the logs asks for no more mail, None if it does not."""
        return self.writer.disk_state()

    async def close(self, deadline_s: float = 10.0) -> int:
        """Return how many records could not be written within the deadline, in seconds."""
        return await self.writer.close(deadline_s)


def _make_routes(options: LocalLogOptions) -> dict[RecordKind, tuple[SegmentTarget, Render]]:
    targets: dict[tuple[str, str], SegmentTarget] = {}
    routes: dict[RecordKind, tuple[SegmentTarget, Render]] = {}
    default = options.per_record.get(ANY_KIND, PerRecord())
    renders: dict[str | None, Render] = {}
    for kind in RecordKind:
        entry = options.per_record.get(kind, default)
        if not entry.enable:
            continue
        log_dir = entry.log_dir or options.log_dir
        target = targets.get((log_dir, entry.suffix))
        if target is None:
            header = entry.segment_header
            if header and not header.endswith("\n"):
                header += "\n"
            target = SegmentTarget(Path(log_dir), entry.suffix, header.encode())
            targets[log_dir, entry.suffix] = target
        if entry.template not in renders:
            renders[entry.template] = make_render(entry.template)
        routes[kind] = (target, renders[entry.template])
    return routes
