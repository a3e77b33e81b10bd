"""Shaping rules and log records in short, for tests of the traffic shaping daemon."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from engine.base.shaping_source import parse_shaping
from engine.model.decision import Decision
from engine.model.log_record import format_event_time
from engine.model.shaping import Shaping
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import SiteRoute, merge_layers
from tsa.rule_engine import Made, RuleEngine, Verdict
from tsa.seen_record import SeenRecord, decode_seen

#: The wall-clock time of records where a test says nothing else.
NOON = 1_800_000_000.0
_numbers = itertools.count(1)


def shaping_of(text: str, routes: Mapping[str, str] | None = None) -> Shaping:
    """Return the shaping of a TOML text; what is wrong with it fails the test.

    Args:
        routes: The site of each domain with a section that is rolled up.
    """
    layer = parse_shaping(text.encode(), "rules.toml")
    sites = {domain: SiteRoute(site, (site,)) for domain, site in (routes or {}).items()}
    shaping, findings = merge_layers([layer], sites, LoadOptions())
    errors = [str(one) for one in findings if one.severity == "error"]
    assert not errors, errors
    return shaping


def rule_text(
    action: str = '"Suspend"',
    *,
    regex: str | None = "slow down",
    trigger: str = '"Immediate"',
    duration: str = "1 hour",
    section: str = "default",
    more: str = "",
) -> str:
    """Return one rule as TOML; trigger and action as they stand in the file."""
    pattern = "" if regex is None else f"regex = '{regex}'\n"
    return (
        f"[[{section}.automation]]\n{pattern}action = {action}\ntrigger = {trigger}\n"
        f'duration = "{duration}"\n{more}\n'
    )


def record_fields(at: float = NOON, **given: Any) -> dict[str, Any]:
    """Return the fields of a record of a deferral; ``reply`` is code and text in one line."""
    reply = given.pop("reply", "451 slow down")
    code, _, content = reply.partition(" ")
    source = given.get("egress_source", "ip-1")
    site = given.get("site_name", "mx.big.example")
    fields: dict[str, Any] = {
        "type": "TransientFailure",
        "record_id": f"r{next(_numbers)}",
        "id": "m1",
        "recipient": "user@big.example",
        "queue": "big.example",
        "site": f"{source}->{site}@smtp_client",
        "ready_queue": f"{source}->{site}@smtp_client",
        "site_name": site,
        "response": {"code": int(code), "content": content, "command": "RCPT TO:<user@x>"},
        "peer_address": {"name": "mx.big.example", "addr": "192.0.2.1"},
        "timestamp": int(at),
        "event_time": format_event_time(at),
        "egress_source": source,
    }
    return fields | given


def record_line(at: float = NOON, **given: Any) -> bytes:
    """Return a record as its line."""
    return msgspec.json.encode(record_fields(at, **given))


def seen(at: float = NOON, **given: Any) -> SeenRecord:
    """Return a record as rules see it."""
    return decode_seen(record_line(at, **given))


def judged(engine: RuleEngine, records: Iterable[SeenRecord]) -> list[Decision]:
    """Return what an engine makes of records, with their seconds and all before taken as over."""
    verdict = Verdict()
    last_at = 0.0
    for record in records:
        engine.see(record, verdict)
        last_at = max(last_at, record.at)
    made = [*verdict.made, *settled(engine, float(int(last_at) + 1))]
    return [decision for decision, _ in made]


def settled(engine: RuleEngine, through: float) -> list[Made]:
    """Return what an engine makes when nothing more is expected from before an instant."""
    made: list[Made] = []
    while (engine.next_due_at or through + 1) <= through:
        made += engine.settle(through).made
    return made
