"""``helpers.shaping``: egress paths from shaping files, and the loop with the automation.

Place in flow: ``shaping.setup(...)`` answers ``get_egress_path`` for every path, declares which
daemons get records and whose decisions count; ``shaping_keeper`` keeps what it answers up to date.

Invariants:
    * What is wrong with a file is an error of the load, with file and line, not of the first mail.
    * Until sites and URLs were looked at once, mail waits rather than to leave without its limits;
      that wait is bounded by the time of the look-ups.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from engine.base.data_file import DataFileError
from engine.base.shaping_source import is_url, parse_shaping, shown_source
from engine.helpers.helper_file import find_file, read_watched
from engine.helpers.helper_setup import HelperSetup, part_of_caller, setting_up
from engine.helpers.shaping_keeper import ShapingKeeper, ShapingPart, ShapingPorts
from engine.helpers.shaping_options import ShapingOptions, parse_shaping_options
from engine.model.egress import EgressPath
from engine.model.shaping import Shaping
from engine.model.shaping_finding import Severity, ShapingFinding
from engine.model.shaping_section import ShapingLayer, parse_layer
from engine.model.shaping_trace import ShapingInForce
from engine.script_api import ScriptApi
from engine.script_declarations import AutomationDeclaration
from engine.script_modules.plain_value import copy_plain
from engine.script_modules.script_call import caller_budget
from policy.epoch import Epoch
from policy.errors import LimitExceededError
from policy.handler_call import Pending
from policy.hook_registry import PolicyFinding
from policy.script_api import ScriptNamespace

NAME = "shaping"
#: Files and URLs at most.
SOURCES_MAX = 1_000


class ShapingHelper:
    """``helpers.shaping`` of a node.

    Args:
        api: Takes declarations.
        ports: Of the node; None where scripts are only checked.
    """

    def __init__(self, api: ScriptApi, ports: ShapingPorts | None = None) -> None:
        self._api = api
        self._keeper = ShapingKeeper(ports)

    def setup(self, files: Any = (), *, extra_files: Any = (), **options: Any) -> None:
        """Answer for all egress paths from shaping files, and follow the automation.

        Args:
            files: Shaping files, URLs or tables; later ones override.
            extra_files: Further ones, laid over them.
            options: Of ``shaping_options.OPTIONS``; the reference page explains each.
        """
        with setting_up(NAME) as call:
            if call is None:
                return
            read, notes = parse_shaping_options(_plain(options))
            for note in notes:
                call.epoch.native.findings.append(PolicyFinding(*call.place, "warning", note))
            sources = self._read_all(call, [*_listed(files), *_listed(extra_files)], read)
            self._keeper.loader.options = read.load
            part = ShapingPart(read, sources, Shaping())
            load, is_all = self._keeper.loader.recall(self._keeper.layered(part))
            part.shaping = load.shaping
            for one in load.findings:
                call.epoch.native.findings.append(_as_policy_finding(one))
            if is_all or not self._keeper.is_live:
                part.settle()
            call.keep(NAME, part)
            answer = partial(self._get_egress_path, part)
            call.epoch.native.on("get_egress_path", answer, call.place, is_final=True)
            if read.publish or read.subscribe:
                declared = _declaration(read)
                call.epoch.native.before_init.append(
                    partial(self._api.declare_automation, declared)
                )

    def _read_all(
        self, call: HelperSetup, given: list[Any], options: ShapingOptions
    ) -> list[str | ShapingLayer]:
        if len(given) > SOURCES_MAX:
            raise ValueError(f"files: at most {SOURCES_MAX} are expected, not {len(given)}")
        found: list[str | ShapingLayer] = []
        for one in given:
            if isinstance(one, Mapping):
                file, line = call.place
                found.append(parse_layer(file, _plain(one), lambda *_path, line=line: line))
            elif not isinstance(one, str) or not one:
                raise TypeError(f"files: a file, a URL or a table is expected, not {one!r:.80}")
            elif is_url(one):
                if not options.load.skip_remote:
                    found.append(one)
            else:
                layer = _read_file(call, one, options)
                if layer is not None:
                    found.append(layer)
        return found

    # -- events -------------------------------------------------------------------------------

    def _get_egress_path(
        self, part: ShapingPart, routing_domain: str, source: str, site_name: str
    ) -> EgressPath | Pending:
        if part.is_complete:
            return self._keeper.make_path(part, routing_domain, source, site_name)

        async def finish(_is_timed: bool) -> EgressPath:
            await part.loaded.wait()
            return self._keeper.make_path(part, routing_domain, source, site_name)

        return Pending(finish)

    def resolve(self, routing_domain: str, egress_source: str, site_name: str) -> dict[str, Any]:
        """Return the options that the files give a path, for a handler that changes some.

        Args:
            routing_domain: The domain whose MX is used.
            egress_source: The egress source.
            site_name: The site that takes the mail.
        """
        part: ShapingPart = part_of_caller(NAME)
        hosts, today = self._keeper.mx_hosts(site_name), self._keeper.today()
        return part.resolve(routing_domain, egress_source, site_name, hosts, today)

    # -- the node -----------------------------------------------------------------------------

    def begin(self, epoch: Epoch) -> None:
        """Keep the shaping of an epoch up to date, now that it has become the current one."""
        self._keeper.begin(epoch.native.parts.get(NAME))

    def in_force(self, epoch: Epoch) -> ShapingInForce | None:
        """Return the shaping that answers in an epoch; None where its script sets none up."""
        part: ShapingPart | None = epoch.native.parts.get(NAME)
        if part is None:
            return None
        layers = self._keeper.layered(part)
        return ShapingInForce(
            shaping=part.shaping,
            files=tuple(shown_source(one if isinstance(one, str) else one.name) for one in layers),
            place=epoch.native.parts["setup calls"][NAME],
            is_complete=part.is_complete,
            failing=self._keeper.failing,
            on=self._keeper.today(),
            obeys=part.options.automation,
        )

    async def load_now(self) -> None:
        """Answer by what files, URLs and the DNS say now, where nothing runs beside the mail."""
        await self._keeper.load_now()

    @property
    def failing(self) -> bool:
        """Return whether files have errors, so that the last good shaping answers."""
        return self._keeper.failing is not None

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make it importable by scripts."""
        for function in (self.setup, self.resolve):
            namespace.expose(function.__name__, function, module=f"helpers.{NAME}")


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str | Mapping):
        return [value]
    if not isinstance(value, list | tuple):
        raise TypeError(f"files: a list is expected, not {type(value).__name__[:100]}")
    return list(value)


def _plain(value: Any) -> dict[str, Any]:
    """Return a copy of a table in which nothing of the script stays."""
    return copy_plain(dict(value), caller_budget()).value  # type: ignore[no-any-return]


def _read_file(call: HelperSetup, name: str, options: ShapingOptions) -> ShapingLayer | None:
    """Return the layer of a file; what keeps it from being read is a finding."""
    epoch = call.epoch
    path = find_file(epoch, name)
    place, text = call.place, ""
    try:
        return parse_shaping(read_watched(epoch, path, name), str(path))
    except DataFileError as error:
        place, text = (error.file, error.line or 0), error.text
    except (OSError, LimitExceededError) as error:
        text = str(error)
    weight = options.load.local_load
    if weight is not Severity.IGNORE:
        severity: Any = "error" if weight is Severity.ERROR else "warning"
        file, line = place
        epoch.native.findings.append(PolicyFinding(file, line or None, severity, text))
    return None


def _as_policy_finding(finding: ShapingFinding) -> PolicyFinding:
    text = f"{finding.key}: {finding.message}" if finding.key else finding.message
    return PolicyFinding(finding.file, finding.line, finding.severity, text)


def _declaration(options: ShapingOptions) -> AutomationDeclaration:
    return AutomationDeclaration(
        publish=options.publish,
        subscribe=options.subscribe if options.automation else (),
        skipped=options.skipped | options.more_skipped,
        pre_filter=options.pre_filter,
        publish_timeout_s=options.publish_timeout_s,
        back_pressure=options.back_pressure,
    )
