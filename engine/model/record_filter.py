"""Which log records somebody wants to see: said once, compiled once, asked of each record.

Place in flow: ``cirrus tail`` asks it of lines in files, ``engine.admin.record_stream`` of records
as they happen.

Invariants:
    * What is left out matches everything; of several values one has to fit, of several fields all.
    * Comparison of addresses, domains and kinds ignores case; that of names given by operators does
      not.
    * A pattern runs in RE2, in time linear in the record, whoever sent it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec
import re2

from engine.model.address import normal_domain
from engine.model.duration import parse_duration
from engine.model.log_record import LogRecord, RecordKind, format_event_time
from engine.model.queue_name import parse_queue_name

_CODE = re.compile(
    r"(?P<whole>[2-5]\d\d)|(?P<first>[2-5])(?:xx)?|(?P<enhanced>[245](?:\.\d+){1,2})"
)
_KINDS = {kind.lower(): kind for kind in RecordKind}
#: The longest pattern; longer ones are mistakes.
PATTERN_MAX = 10_000

_Test = Callable[[LogRecord], bool]


class RecordFilter(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which records are wanted: one of the values of each field; what is left out fits all.

    Attributes:
        type: Of these kinds, such as `Bounce`.
        id: Of these messages, by spool id.
        sender: From these envelope senders; upper and lower case are the same.
        recipient: For these recipients; upper and lower case are the same.
        domain: Of queues of these domains or routing domains; of recipients there without a queue.
        tenant: Of queues of these tenants.
        campaign: Of queues of these campaigns.
        queue: Of these scheduled queues.
        site: Of these sites, by the name of the site or of the ready queue.
        source: Of these egress sources.
        code: With such replies: `550`, `5` or `5xx` for all that begin so, `4.7` or `5.1.1` for
            enhanced codes.
        since: Not before this, as RFC 3339 with a zone, or as a duration ago, such as `2h`.
        until: Before this.
        grep: Records in whose JSON this regular expression (RE2) is found.
    """

    type: list[str] = []
    id: list[str] = []
    sender: list[str] = []
    recipient: list[str] = []
    domain: list[str] = []
    tenant: list[str] = []
    campaign: list[str] = []
    queue: list[str] = []
    site: list[str] = []
    source: list[str] = []
    code: list[str] = []
    since: str | None = None
    until: str | None = None
    grep: str | None = None


class RecordMatcher:
    """A compiled filter.

    Args:
        tests: What a record has to pass.
        pattern: What has to be found in its line; None for anything.
        since_at: No record before this is wanted, seconds since the Unix epoch.
        until_at: Nor one at this or after.

    Attributes:
        is_by_line: Whether its line alone tells if a record is wanted.
        since_at, until_at: As given.
    """

    def __init__(
        self,
        tests: Iterable[_Test],
        pattern: Any,
        since_at: float | None = None,
        until_at: float | None = None,
    ) -> None:
        self._tests = tuple(tests)
        self._pattern = pattern
        self.is_by_line = not self._tests
        self.since_at = since_at
        self.until_at = until_at

    def fits(self, record: LogRecord) -> bool:
        """Return whether a record passes, but for the pattern."""
        return all(test(record) for test in self._tests)

    def fits_line(self, line: bytes) -> bool:
        """Return whether the pattern is found in the record's line of JSON."""
        return self._pattern is None or self._pattern.search(line) is not None


def compile_filter(wanted: RecordFilter, now_at: float) -> RecordMatcher:
    """Return what asks a filter of records.

    Args:
        wanted: The filter.
        now_at: What durations ago count from, seconds since the Unix epoch.

    Raises:
        ValueError: A value is none that its field can have; the text begins with the field.
    """
    tests: list[_Test] = []
    if wanted.type:
        tests.append(_one_of(lambda record: record.kind, map(_kind_of, wanted.type)))
    if wanted.id:
        tests.append(_one_of(lambda record: record.id, map(str.lower, wanted.id)))
    if wanted.sender:
        senders = map(str.lower, wanted.sender)
        tests.append(_one_of(lambda record: record.sender.lower(), senders))
    if wanted.recipient:
        tests.append(_any_recipient(wanted.recipient))
    if wanted.domain:
        tests.append(_of_domain(wanted.domain))
    if wanted.tenant:
        tests.append(_one_of(lambda record: parse_queue_name(record.queue).tenant, wanted.tenant))
    if wanted.campaign:
        campaigns = wanted.campaign
        tests.append(_one_of(lambda record: parse_queue_name(record.queue).campaign, campaigns))
    if wanted.queue:
        tests.append(_one_of(lambda record: record.queue, wanted.queue))
    if wanted.site:
        tests.append(_of_site(wanted.site))
    if wanted.source:
        tests.append(_one_of(lambda record: record.egress_source, wanted.source))
    if wanted.code:
        tests.append(_any_of([_of_code(text) for text in wanted.code]))
    since_at = None if wanted.since is None else parse_moment(wanted.since, now_at, "since")
    if since_at is not None:
        tests.append(_not_before(since_at))
    until_at = None if wanted.until is None else parse_moment(wanted.until, now_at, "until")
    if until_at is not None:
        is_late = _not_before(until_at)
        tests.append(lambda record: not is_late(record))
    return RecordMatcher(tests, _pattern_of(wanted.grep), since_at, until_at)


def parse_moment(text: str, now_at: float, field: str) -> float:
    """Return an instant in seconds since the Unix epoch.

    Args:
        text: RFC 3339 with a zone, or how long ago, such as ``2h``.
        now_at: What durations count back from, seconds since the Unix epoch.
        field: What it is, for complaints.

    Raises:
        ValueError: It is neither.
    """
    with contextlib.suppress(ValueError):
        return now_at - parse_duration(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{field}: a duration ago such as 2h is expected, or RFC 3339, not {text[:100]!r}"
        ) from None
    if instant.tzinfo is None:
        raise ValueError(f"{field}: {text!r} needs a zone, such as Z or +02:00")
    return instant.timestamp()


def _one_of(get: Callable[[LogRecord], Any], values: Iterable[str]) -> _Test:
    known = frozenset(values)
    return lambda record: get(record) in known


def _any_of(tests: list[_Test]) -> _Test:
    return lambda record: any(test(record) for test in tests)


def _kind_of(text: str) -> str:
    kind = _KINDS.get(text.lower())
    if kind is None:
        raise ValueError(
            f"type: no record is of kind {text[:100]!r}; kinds: {', '.join(RecordKind)}"
        )
    return kind


def _any_recipient(addresses: Iterable[str]) -> _Test:
    known = frozenset(map(str.lower, addresses))
    return lambda record: any(one.lower() in known for one in record.recipients)


def _of_domain(domains: Iterable[str]) -> _Test:
    known = frozenset(map(_plain_domain, domains))

    def fits(record: LogRecord) -> bool:
        if record.queue:
            parts = parse_queue_name(record.queue)
            return parts.domain in known or parts.routing_domain in known
        return any(_plain_domain(one.rpartition("@")[2]) in known for one in record.recipients)

    return fits


def _plain_domain(text: str) -> str:
    # Queues that deliver by other ways than SMTP may have names that are no domains.
    try:
        return normal_domain(text)
    except ValueError:
        return text.lower()


def _of_site(names: Iterable[str]) -> _Test:
    known = frozenset(names)
    return lambda record: (
        record.site in known or record.site_name in known or record.ready_queue in known
    )


def _of_code(text: str) -> _Test:
    found = _CODE.fullmatch(text.lower())
    if found is None:
        raise ValueError(f"code: 550, 5xx or 5.1.1 is expected, not {text[:100]!r}")
    if found["whole"]:
        code = int(found["whole"])
        return lambda record: record.response is not None and record.response.code == code
    if found["first"]:
        first = int(found["first"])
        return lambda record: record.response is not None and record.response.code // 100 == first
    wanted = tuple(map(int, found["enhanced"].split(".")))
    return lambda record: _enhanced(record)[: len(wanted)] == wanted


def _enhanced(record: LogRecord) -> tuple[int, ...]:
    code = None if record.response is None else record.response.enhanced_code
    return () if code is None else (code.klass, code.subject, code.detail)


def _not_before(instant_at: float) -> _Test:
    # Times of events are written in one form, so that they sort as text.
    text = format_event_time(max(0.0, instant_at))

    def is_later(record: LogRecord) -> bool:
        if len(record.event_time) == len(text) and record.event_time[-1] == "Z":
            return record.event_time >= text
        return record.timestamp >= instant_at

    return is_later


def _pattern_of(text: str | None) -> Any:
    if text is None:
        return None
    if len(text) > PATTERN_MAX:
        raise ValueError(f"grep: a regular expression has at most {PATTERN_MAX} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0] if error.args else error
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise ValueError(f"grep: no regular expression: {shown}") from None
