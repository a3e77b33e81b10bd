"""``helpers.queues``: tenants, campaigns and queues from tables.

Place in flow: ``queues.setup([...])`` answers ``get_queue_config`` and slows mail down in
``throttle_insert_ready_queue``; a script gives messages to tenants with ``queues.apply(msg)``.

Invariants:
    * It answers for every queue, so it is the last to be asked for one.
    * A message over the rate of its campaign takes nothing from that of its tenant, nor the other
      way round.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from engine.helpers.helper_file import HelperData
from engine.helpers.helper_setup import part_of_caller, setting_up
from engine.helpers.queue_rules import RATE, QueueRules
from engine.helpers.source_helper import NAME as SOURCES
from engine.helpers.source_helper import SourceTables
from engine.model.address import domain_of
from engine.model.queue_config import QueueConfig
from engine.model.throttle_spec import ThrottleSpec
from engine.script_refusals import reject
from engine.script_views import MessageView
from engine.throttle.gcra import ThrottleResult
from policy.handler_call import Pending
from policy.hook_registry import PolicyFinding
from policy.native_hooks import NativeHooks
from policy.script_api import ScriptNamespace

NAME = "queues"
_TENANT_KEY = f"queue-helper-tenant-{RATE}-"
_CAMPAIGN_KEY = f"queue-helper-tenant-campaign-{RATE}-"


class TakeRates(Protocol):
    """What counts rates: ``engine.throttle``."""

    def is_shared(self, spec: ThrottleSpec) -> bool:
        """Return whether other nodes have to be asked about a rate."""

    async def take(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> ThrottleResult:
        """Return whether so many may go now, and count them if they may."""

    def take_nowait(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> ThrottleResult:
        """Return whether so many may go now, and count them if they may."""

    def give_back_nowait(self, key: str, spec: ThrottleSpec, quantity: int = 1) -> None:
        """Uncount what was taken and then not used."""


class QueueTables:
    """The queues of one epoch."""

    def __init__(self, rules: QueueRules, rates: TakeRates) -> None:
        self.rules = rules
        self._rates = rates

    # -- events -------------------------------------------------------------------------------

    def get_queue_config(
        self,
        domain: str,
        tenant: str | None,
        campaign: str | None,
        routing_domain: str | None,
    ) -> QueueConfig:
        """Return the configuration of a queue; every queue has one."""
        del routing_domain  # it is a consequence of the tables, not a key of them
        return self.rules.config(domain, tenant, campaign)

    def throttle(self, msg: MessageView) -> Pending | None:
        """Delay a message that is over the rate of its tenant or campaign.

        Returns:
            What has to be waited for, where a rate is shared with other nodes.
        """
        rates = self._rates_of(msg)
        if any(self._rates.is_shared(rate) for _, rate in rates):
            return Pending(lambda _is_timed: self._throttle_shared(msg, rates))
        for place, (key, rate) in enumerate(rates):
            if _delayed(msg, self._rates.take_nowait(key, rate)):
                self._give_back(rates[:place])
                break
        return None

    async def _throttle_shared(
        self, msg: MessageView, rates: list[tuple[str, ThrottleSpec]]
    ) -> None:
        for place, (key, rate) in enumerate(rates):
            if _delayed(msg, await self._rates.take(key, rate)):
                self._give_back(rates[:place])
                break

    def _rates_of(self, msg: MessageView) -> list[tuple[str, ThrottleSpec]]:
        """Return keys and rates that a message is counted by, the tenant's first."""
        name = msg.get_meta("tenant")
        tenant = self.rules.tenants.get(name) if isinstance(name, str) else None
        if tenant is None:
            return []
        rates = [] if tenant.rate is None else [(_TENANT_KEY + str(name), tenant.rate)]
        campaign_name = msg.get_meta("campaign")
        campaign = tenant.campaigns.get(campaign_name) if isinstance(campaign_name, str) else None
        if campaign is not None and campaign.rate is not None:
            rates.append((f"{_CAMPAIGN_KEY}{name}-{campaign_name}", campaign.rate))
        return rates

    def _give_back(self, taken: list[tuple[str, ThrottleSpec]]) -> None:
        for key, rate in taken:
            self._rates.give_back_nowait(key, rate)

    # -- apply --------------------------------------------------------------------------------

    def apply(self, msg: MessageView) -> None:
        """Give a message to its tenant and campaign, or refuse it."""
        headers = self.rules.headers
        if headers.scheduling_header is not None:
            _take_schedule(msg, headers.scheduling_header)
        campaign = _taken(msg, headers.campaign_header, remove=headers.remove_campaign_header)
        if campaign:
            msg.set_meta("campaign", campaign)
        tenant = _taken(msg, headers.tenant_header, remove=headers.remove_tenant_header)
        tenant = tenant or msg.get_meta("tenant") or headers.default_tenant
        if tenant:
            self._give_to_tenant(msg, tenant)
        self._route(msg, tenant)

    def _give_to_tenant(self, msg: MessageView, name: str) -> None:
        tenant = self.rules.tenants.get(name)
        if tenant is None:
            reject(550, "5.7.1 mail of this tenant is not taken here")
            return
        if tenant.require_authz is not None:
            identity = msg.get_meta("authz_id")
            if not isinstance(identity, str):
                reject(550, "5.7.1 this tenant has to authenticate")
            elif identity not in tenant.require_authz:
                reject(550, "5.7.1 you may not send as this tenant")
        tenant.guard.check(msg)
        msg.set_meta("tenant", name)

    def _route(self, msg: MessageView, tenant: str | None) -> None:
        recipients = msg._message.recipients
        if not recipients:
            return
        campaign = msg.get_meta("campaign")
        routed = self.rules.routing_domain(domain_of(recipients[0]), tenant, campaign)
        if routed is not None:
            msg.set_meta("routing_domain", routed)


def _check_pools(
    data: HelperData, rules: QueueRules, native: NativeHooks
) -> Iterable[PolicyFinding]:
    """Return what is wrong with the pools that queues name."""
    sources: SourceTables | None = native.parts.get(SOURCES)
    if sources is None:
        return
    for pool, path in rules.pools:
        complaint = sources.misses_pool(pool)
        if complaint is not None:
            yield PolicyFinding(*data.place_of(*path), "error", complaint)


def _delayed(msg: MessageView, result: ThrottleResult) -> bool:
    """Move the due time of a message that is over a rate; return whether it is."""
    if result.throttled and result.retry_after_s is not None:
        msg._delay_by(result.retry_after_s)
    return result.throttled


def _taken(msg: MessageView, header: str | None, *, remove: bool) -> str | None:
    if header is None:
        return None
    value = msg.get_first_named_header_value(header)
    if remove and value is not None:
        msg.remove_all_named_headers(header)
    return value.strip() if value is not None else None


def _take_schedule(msg: MessageView, header: str) -> None:
    try:
        msg.import_scheduling_header(header, remove=True)
    except (ValueError, TypeError):
        # The client wrote it, and trying again will not change it.
        reject(550, f"5.6.0 the header {header} holds no schedule that could be read")


class QueueHelper:
    """``helpers.queues`` of a node.

    Args:
        rates: Counts the rates of tenants and campaigns; outlives reloads.
    """

    def __init__(self, rates: TakeRates) -> None:
        self._rates = rates

    def setup(self, files: Any) -> None:
        """Answer for the queues that some files define; nobody may answer for queues after it.

        Args:
            files: Names of TOML or JSON files, or tables; later ones override.
        """
        with setting_up(NAME) as call:
            if call is None:
                return
            data = call.read(files)
            tables = QueueTables(QueueRules(data), self._rates)
            call.keep(NAME, tables)
            native = call.epoch.native
            native.final_checks.append(lambda: _check_pools(data, tables.rules, native))
            native.on("get_queue_config", tables.get_queue_config, call.place, is_final=True)
            if any(
                one.rate or any(campaign.rate for campaign in one.campaigns.values())
                for one in tables.rules.tenants.values()
            ):
                native.on("throttle_insert_ready_queue", tables.throttle, call.place)

    @staticmethod
    def apply(msg: MessageView) -> None:
        """Give a message to its tenant and campaign: call it in message_received, before signing.

        Reads and removes the headers that the tables name, sets tenant, campaign and
        routing_domain, and refuses what its tenant may not send.
        """
        if not isinstance(msg, MessageView):
            raise TypeError("wants the message of the event")
        tables: QueueTables = part_of_caller(NAME)
        tables.apply(msg)

    @staticmethod
    def resolve_config(
        domain: str, tenant: str | None = None, campaign: str | None = None
    ) -> QueueConfig:
        """Return the configuration that the tables give a queue."""
        tables: QueueTables = part_of_caller(NAME)
        return tables.rules.config(domain, tenant, campaign)

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make it importable by scripts."""
        for function in (self.setup, self.apply, self.resolve_config):
            namespace.expose(function.__name__, function, module=f"helpers.{NAME}")
