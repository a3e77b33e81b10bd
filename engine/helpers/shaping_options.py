"""The options of ``helpers.shaping.setup``, read and checked.

Place in flow: ``engine.helpers.shaping_helper`` calls it while a script loads; pure.

Standard: names and defaults as operators of shaping helpers know them. Options of a cache or a
queue that this design does not have are known, checked by name, and said to have no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from engine.model.duration import parse_duration
from engine.model.keyword_options import Option, OptionTable, flag, read_options, whole
from engine.model.log_record import RecordKind
from engine.model.shaping_finding import LoadOptions, parse_load_options
from engine.model.shaping_rule_set import SKIPPED_KINDS

#: Daemons that a node feeds or follows at most.
URLS_MAX = 16
#: The shortest interval at which files and the DNS are looked at anew, seconds.
CACHE_TTL_MIN_S = 1.0
_NO_CACHE = "there is no cache to wait for: the last good shaping answers while another loads"
#: Options that are known and do nothing, each with the reason.
WITHOUT_EFFECT = {
    "no_default_files": "there are no default files: name those you want",
    "allow_stale_shaping_data": _NO_CACHE,
    "shaping_data_populate_timeout": _NO_CACHE,
    "retry_shaping_data_fetch_on_populate_timeout": _NO_CACHE,
    "tsa_queue_config": "records wait in a journal of their own, not in a queue",
    "publish_pool_idle_timeout": "a connection is kept while there are records",
    "publish_connection_verbose": "the log says what is wrong with a connection, once",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapingOptions:
    """What a script asks ``shaping.setup`` for, but for its files.

    Attributes:
        publish: URLs of daemons that get records.
        subscribe: URLs of daemons whose decisions are obeyed; the first that can be reached.
        cache_ttl_s: How often URLs and the DNS are looked at anew, seconds.
        load: How much each finding weighs.
        pre_filter: Whether only records are sent that a rule could count.
        skipped: Kinds of records that are not sent.
        more_skipped: Further kinds.
        back_pressure: Records that may wait in memory for the disk.
        publish_timeout_s: How long a request may take, seconds.
        automation: Whether decisions of daemons count at all.
    """

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    cache_ttl_s: float = 60.0
    load: LoadOptions = field(default_factory=LoadOptions)
    pre_filter: bool = True
    skipped: frozenset[RecordKind] = SKIPPED_KINDS
    more_skipped: frozenset[RecordKind] = frozenset()
    back_pressure: int = 100_000
    publish_timeout_s: float = 60.0
    automation: bool = True


def parse_url(value: Any) -> str:
    """Return the base URL of a daemon, without the slash at its end."""
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        raise ValueError(f"a URL is expected, not {value!r:.80}")
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        is_good = False
    if not is_good or parts.query or parts.fragment:
        raise ValueError(f"a URL such as http://tsa.example:8008 is expected, not {value!r:.80}")
    return value.rstrip("/")


def _urls(value: Any) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        raise ValueError(f"a list of URLs is expected, not {value!r:.80}")  # noqa: TRY004
    if len(given) > URLS_MAX:
        raise ValueError(f"at most {URLS_MAX} URLs are expected")
    return tuple(dict.fromkeys(map(parse_url, given)))


def _kinds(value: Any) -> frozenset[RecordKind]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError(f"a list of record types is expected, not {value!r:.80}")  # noqa: TRY004
    known = {kind.value: kind for kind in RecordKind}
    for one in value:
        if one not in known:
            raise ValueError(f"{one!r:.80} is no type of a log record")
    return frozenset(known[one] for one in value)


def _above_zero(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError(f"a duration above zero is expected, not {value!r:.80}")
    return seconds


def _cache_ttl(value: Any) -> float:
    return max(CACHE_TTL_MIN_S, _above_zero(value))


def _load_options(value: Any) -> LoadOptions:
    if not isinstance(value, Mapping):
        raise ValueError(f"a table of options is expected, not {value!r:.80}")  # noqa: TRY004
    try:
        return parse_load_options(value)
    except TypeError as error:
        raise ValueError(str(error)) from error


OPTIONS: OptionTable = {
    "publish": Option(_urls),
    "subscribe": Option(_urls),
    "cache_ttl": Option(_cache_ttl, "cache_ttl_s"),
    "load_validation_options": Option(_load_options, "load"),
    "validation_options": Option(_load_options, "load"),
    "pre_filter": Option(flag),
    "skip_log_record_types": Option(_kinds, "skipped"),
    "additional_skip_log_record_types": Option(_kinds, "more_skipped"),
    "back_pressure": Option(whole(1), "back_pressure"),
    "publish_timeout": Option(_above_zero, "publish_timeout_s"),
    "automation": Option(flag),
    **{name: Option(lambda _value: None) for name in WITHOUT_EFFECT},
}


def parse_shaping_options(given: Mapping[str, Any]) -> tuple[ShapingOptions, list[str]]:
    """Return the options that a script gives, and what is to be said of them.

    Raises:
        TypeError: An option is unknown.
        ValueError: A value does not fit its option.
    """
    values = read_options("helpers.shaping.setup", given, OPTIONS)
    notes = [
        f"{name} has no effect: {WITHOUT_EFFECT[name]}"
        for name, value in given.items()
        # Who wants no default files gets what he wants.
        if name in WITHOUT_EFFECT and not (name == "no_default_files" and value is True)
    ]
    options = ShapingOptions(**{k: v for k, v in values.items() if k not in WITHOUT_EFFECT})
    return options, notes
