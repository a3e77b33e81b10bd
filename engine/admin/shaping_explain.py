"""Why an egress path is as it is: each option with what set it, and what that overrode.

Place in flow: an operation of ``engine.admin.operation``; holds the path that the policy gives
against the shaping in force and the decisions of the automation.

Invariants:
    * What is shown is the path that mail would take; nothing is made for the question.
    * Where a handler of the script answers, an option is put down to shaping if it has the value
      that shaping gives it; the script set the others.
    * An answer is bounded: lists are cut, and say how much they leave out.
"""

from __future__ import annotations

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.constraints import Constraints, constraints_of
from engine.admin.errors import Refusal
from engine.admin.operation import Operation
from engine.admin.option_origins import OptionExplained, PathAsked, Setters, explain_options
from engine.admin.paths import MxShown, find_queue, refusing, show_route
from engine.admin.policy_status import name_of
from engine.admin.shown_text import shown_text
from engine.base.shaping_source import shown_source
from engine.model.caller import Caller
from engine.model.egress import UNSPECIFIED, EgressPath, EgressPool, make_egress_path
from engine.model.shaping_trace import MatchedSection, PathTrace, ShapingInForce, trace_path
from engine.model.site_name import ready_queue_name
from engine.model.transfer_target import is_transfer_queue
from policy.epoch import Epoch

EVENT = "get_egress_path"
#: Entries of each list at most.
LISTED_MAX = 500


class ExplainShapingRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which path: to a domain, from a source.

    Attributes:
        domain: A domain, or the name of a scheduled queue.
        source: An egress source; by default the one of the pool with the greatest weight.
        pool: An egress pool; by default that of the queue.
    """

    domain: str
    source: str | None = None
    pool: str | None = None


class PoolSource(msgspec.Struct, frozen=True):
    """A source of a pool.

    Attributes:
        name: Its name.
        weight: Its share of the mail.
    """

    name: str
    weight: int


class ExplainedPool(msgspec.Struct, frozen=True):
    """The pool that the source was chosen from.

    Attributes:
        name: Its name.
        sources: Its sources.
    """

    name: str
    sources: list[PoolSource]


class PathHandler(msgspec.Struct, frozen=True):
    """Who is asked for egress paths; the first that answers counts.

    Attributes:
        file: The script; of ``helpers.shaping`` the one that set it up.
        line: The line.
        function: The function of the script; empty for ``helpers.shaping``.
    """

    file: str
    line: int
    function: str


class ShapingShown(msgspec.Struct, frozen=True, kw_only=True):
    """The shaping in force.

    Attributes:
        file: The script that set it up.
        line: The line.
        files: Its files, later ones over earlier ones; the overlay of the automation last.
        files_left_out: How many more there are.
        is_complete: Whether sites and URLs were looked at once; paths wait for that.
        failing: Why the last load was not taken, so that the one before answers; None if it was.
        obeys_automation: Whether the overlay of the automation counts.
        overlay_of: The daemon whose overlay counts; empty while there is none.
        date: The date that warm-ups go by, in UTC.
    """

    file: str
    line: int
    files: list[str]
    files_left_out: int
    is_complete: bool
    failing: str | None
    obeys_automation: bool
    overlay_of: str
    date: str | None


class SectionShown(msgspec.Struct, frozen=True, kw_only=True):
    """A section of a file that counts for the path.

    Attributes:
        kind: ``default``, ``provider``, ``site`` or ``domain``.
        name: The provider, the site or the domain.
        section: How it is written, such as ``provider.big.sources.ip-1``.
        file: The file.
        line: Of the first option of it that counts, or of the section.
        options: The options that it gives.
        matched_by: Of a provider, the terms that the domain or its hosts meet.
        replaces_base: Whether it keeps default and providers out.
    """

    kind: str
    name: str
    section: str
    file: str
    line: int | None
    options: list[str]
    matched_by: list[str]
    replaces_base: bool


class WarmupShown(msgspec.Struct, frozen=True, kw_only=True):
    """Where a schedule of the source stands.

    Attributes:
        section: Where it is written, such as ``warmup.ip-1``.
        day: Its day, held days not counted.
        held: How many days were held so far.
        step_day: The day from which what holds now does.
        file: The file of that step.
        line: Its line.
        has_ended: Whether it caps nothing any more.
    """

    section: str
    day: int
    held: int
    step_day: int
    file: str
    line: int | None
    has_ended: bool


class ShapingExplained(msgspec.Struct, frozen=True, kw_only=True):
    """Why a path is as it is.

    Attributes:
        domain: As asked.
        source: The source that is shown.
        pool: The pool; None if a source was asked for and no pool.
        mx: The site; None where the protocol has none, or the DNS cannot say.
        queue_name: The ready queue that mail would enter.
        answered_by: ``shaping``, ``script``, ``default`` where nobody answers, or ``node`` for
            mail that goes to another node.
        note: What there is to say about the answer; None if nothing.
        handlers: Who is asked for paths, in order.
        shaping: The shaping in force; None where the script does not use ``helpers.shaping``.
        providers: The providers that the domain belongs to.
        sections: What counts for the path, in the order in which it does: later ones win.
        sections_left_out: How many more there are.
        warmups: Where the schedules of the source stand.
        options: The options of the path. Those that nobody set and that have no value are missing.
        constraints: What the path allows at most.
    """

    domain: str
    source: str
    pool: ExplainedPool | None
    mx: MxShown | None
    queue_name: str
    answered_by: str
    note: str | None
    handlers: list[PathHandler]
    shaping: ShapingShown | None
    providers: list[str]
    sections: list[SectionShown]
    sections_left_out: int
    warmups: list[WarmupShown]
    options: list[OptionExplained]
    constraints: Constraints


async def explain_shaping(
    node: AdminNode, _caller: Caller, request: ExplainShapingRequest
) -> ShapingExplained:
    """Return why the path of a domain is as it is."""
    domain, config = await find_queue(node, request.domain)
    pool, source = await _find_source(node, request, config.egress_pool)
    with refusing("source"):
        way = await node.ready.describe_way(domain, config.protocol, source)
    epoch = node.runtime.epoch
    in_force = node.helpers.shaping.in_force(epoch)
    trace = None
    if in_force is not None:
        hosts = None if way.route is None else [host.name for host in way.route.hosts]
        trace = trace_path(in_force, domain, source, way.site_name, hosts)
    answered_by, note = author_of(epoch, way.path, trace, is_node=is_transfer_queue(domain))
    sections = [] if trace is None else trace.sections
    return ShapingExplained(
        domain=request.domain,
        source=source,
        pool=pool,
        mx=None if way.route is None else show_route(way.route),
        queue_name=ready_queue_name(source, way.site_name, config.protocol.label),
        answered_by=answered_by,
        note=note,
        handlers=show_handlers(epoch),
        shaping=None
        if in_force is None
        else show_shaping(in_force, node.automation.overrides.origin),
        providers=[] if trace is None else trace.providers,
        sections=[_section(one) for one in sections[:LISTED_MAX]],
        sections_left_out=max(0, len(sections) - LISTED_MAX),
        warmups=[] if trace is None else _warmups(trace),
        options=explain_options(
            way.path,
            trace,
            PathAsked(domain, source, way.site_name),
            Setters(
                _script_place(epoch) if answered_by == "script" else None,
                node.automation.overrides,
                node.automation.book,
            ),
        ),
        constraints=constraints_of(way.path),
    )


async def _find_source(
    node: AdminNode, request: ExplainShapingRequest, of_queue: str | None
) -> tuple[ExplainedPool | None, str]:
    """Return the pool, where one is needed or asked for, and the source."""
    if request.source is not None and request.pool is None:
        return None, request.source
    with refusing("pool"):
        pool = await node.ready.describe_pool(request.pool or of_queue or UNSPECIFIED)
    source = heaviest(pool) if request.source is None else request.source
    sources = [PoolSource(one.name, one.weight) for one in pool.entries[:LISTED_MAX]]
    return ExplainedPool(pool.name, sources), source


def heaviest(pool: EgressPool) -> str:
    """Return the source of a pool that gets most mail; the first of several."""
    chosen = max(pool.entries, key=lambda one: one.weight, default=None)
    return UNSPECIFIED if chosen is None or not chosen.weight else chosen.name


def author_of(
    epoch: Epoch, path: EgressPath, trace: PathTrace | None, *, is_node: bool
) -> tuple[str, str | None]:
    """Return who answers for a path, and what there is to say about that.

    Args:
        epoch: Whose handlers are asked.
        path: What came of it.
        trace: What shaping says of the path; None where the script does not use it.
        is_node: Whether the node answers itself, without asking anybody.
    """
    if is_node:
        return "node", "mail to another node goes by a path of the node's own"
    if trace is not None and path == make_egress_path(**trace.options()):
        return "shaping", None
    handlers = epoch.handlers.get(EVENT, ())
    if not any(not one.is_native for one in handlers):
        if trace is not None:
            return "shaping", "the shaping changed while this was asked: ask again"
        return "default", "no handler answers get_egress_path: every option has its default"
    if trace is None:
        note = "the script does not use helpers.shaping: what it answers is shown as set by it"
        return "script", note
    return "script", "the script answers otherwise than shaping: what differs is set by it"


def show_handlers(epoch: Epoch) -> list[PathHandler]:
    """Return who is asked for egress paths."""
    handlers = epoch.handlers.get(EVENT, ())[:LISTED_MAX]
    return [PathHandler(shown_text(one.file), one.line, name_of(one)) for one in handlers]


def _script_place(epoch: Epoch) -> tuple[str, int] | None:
    of_script = (one for one in epoch.handlers.get(EVENT, ()) if not one.is_native)
    return next(((one.file, one.line) for one in of_script), None)


def show_shaping(in_force: ShapingInForce, overlay_of: str) -> ShapingShown:
    """Return the shaping in force as operators see it; ``overlay_of`` is a URL, or empty."""
    file, line = in_force.place
    return ShapingShown(
        file=shown_text(file),
        line=line,
        files=[shown_text(one) for one in in_force.files[:LISTED_MAX]],
        files_left_out=max(0, len(in_force.files) - LISTED_MAX),
        is_complete=in_force.is_complete,
        failing=None if in_force.failing is None else shown_text(in_force.failing),
        obeys_automation=in_force.obeys,
        overlay_of=shown_text(shown_source(overlay_of)) if in_force.obeys else "",
        date=None if in_force.on is None else in_force.on.isoformat(),
    )


def _section(one: MatchedSection) -> SectionShown:
    return SectionShown(
        kind=one.kind,
        name=shown_text(one.name),
        section=shown_text(one.section),
        file=shown_text(one.file),
        line=one.line,
        options=list(one.options),
        matched_by=[shown_text(term) for term in one.matched_by[:LISTED_MAX]],
        replaces_base=one.replaces_base,
    )


def _warmups(trace: PathTrace) -> list[WarmupShown]:
    return [
        WarmupShown(
            section=shown_text(day.section),
            day=day.number,
            held=day.held,
            step_day=day.step.day,
            file=shown_text(day.step.place.file),
            line=day.step.place.line,
            has_ended=not day.step.caps,
        )
        for day in trace.warmups
    ]


EXPLAIN_SHAPING = Operation(
    "shaping-explain",
    explain_shaping,
    ExplainShapingRequest,
    ShapingExplained,
    "Show why an egress path is as it is",
    leaves_record=False,
    refusals={
        Refusal.NOT_FOUND: "there is no such source or pool, or mail of this queue goes nowhere",
        Refusal.UNAVAILABLE: "the policy or the DNS cannot say",
    },
)
