"""The tables of ``helpers.queues``: which options a queue has, read and composed.

Place in flow: read by ``queue_helper`` at load; asked for each queue that comes into being.

    tenant_header = "X-Tenant"

    [tenant."shop"]
    egress_pool = "pool-1"

    [queue.default]
    max_age = "3 days"

    [queue."gmail.com"."shop"."spring"]
    max_message_rate = "100/s"

Invariants:
    * Later wins, option by option: queue.default, queue.DOMAIN, the tenant, the tenant's campaign,
      queue.DOMAIN.TENANT, queue.DOMAIN.TENANT.CAMPAIGN.
    * Every composition that a table can lead to has been made once before the policy loads.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.helpers.helper_file import HelperData, shown
from engine.helpers.tenant_guard import GUARD_OPTIONS, TenantGuard, make_guard
from engine.model.keyword_options import Option, closest, flag, list_of, text
from engine.model.queue_config import (
    OPTIONS,
    Protocol,
    QueueConfig,
    make_queue_config,
    parse_mx_entry,
    parse_protocol,
)
from engine.model.throttle_spec import ThrottleSpec, parse_throttle
from engine.script_modules.domain_map import DomainMap, normal_key

RATE = "overall_max_message_rate"
ROUTING = "routing_domain"
DEFAULT = "default"
#: Options that hold a table, and how much a name looks like one before it is taken for a mistake.
_TABLE_OPTIONS = ("protocol",)
_ALIKE = 0.75
#: Queues ask again when the policy was loaded anew, not every minute: nothing else can change.
_IMPLIED = {"refresh_strategy": "Epoch"}


def _routing_domain(value: Any) -> str:
    """Return where mail is routed: a domain, host:port, or an address in brackets."""
    parse_mx_entry(text(value))
    return str(value)


def _protocol(value: Any) -> Protocol:
    """Return a protocol, also one in the words of the files that operators have."""
    if isinstance(value, Mapping) and "maildir_path" in value:
        modes = {key: inner for key, inner in value.items() if key != "maildir_path"}
        return parse_protocol({"maildir": {"path": value["maildir_path"], **modes}})
    if isinstance(value, Mapping) and "custom_lua" in value:
        raise ValueError("a sender is a function of the script: see helpers.log_hooks")
    return parse_protocol(value)


_QUEUE_OPTIONS: dict[str, Option] = {
    **OPTIONS,
    "protocol": Option(_protocol),
    ROUTING: Option(_routing_domain),
    RATE: Option(parse_throttle),
}
_TENANT_OPTIONS = {
    **_QUEUE_OPTIONS,
    **GUARD_OPTIONS,
    "require_authz": Option(list_of(text)),
}
_HEADER_OPTIONS: dict[str, Option] = {
    "scheduling_header": Option(text),
    "tenant_header": Option(text),
    "remove_tenant_header": Option(flag),
    "campaign_header": Option(text),
    "remove_campaign_header": Option(flag),
    "default_tenant": Option(text),
}
_TOP = (*_HEADER_OPTIONS, "tenant", "queue")


@dataclass(frozen=True, slots=True)
class Headers:
    """Which header fields say whose mail a message is, and when it may go."""

    scheduling_header: str | None = None
    tenant_header: str | None = None
    remove_tenant_header: bool = False
    campaign_header: str | None = None
    remove_campaign_header: bool = False
    default_tenant: str | None = None


@dataclass(slots=True)
class QueueTable:
    """The options of one table of ``queue``, and those of the tables in it."""

    path: tuple[str, ...]
    options: dict[str, Any]
    inner: dict[str, QueueTable] = field(default_factory=dict)


@dataclass(slots=True)
class Campaign:
    """What is said of a tenant's campaign."""

    options: dict[str, Any]
    rate: ThrottleSpec | None


@dataclass(slots=True)
class Tenant:
    """What is said of a tenant.

    Attributes:
        options: Of its queues, as they were written.
        rate: How much may go of all its mail.
        require_authz: Who may send as the tenant; None for everybody.
        guard: Which domains it may send as.
        campaigns: Its campaigns, by name.
    """

    options: dict[str, Any]
    rate: ThrottleSpec | None
    require_authz: frozenset[str] | None
    guard: TenantGuard
    campaigns: dict[str, Campaign]


class QueueRules:
    """The tables of one epoch.

    Attributes:
        headers: What is read from messages.
        tenants: The tenants, by name.
        pools: The pools that tables name, each with the place of its name.
    """

    def __init__(self, data: HelperData) -> None:
        self.pools: list[tuple[str, tuple[str, ...]]] = []
        self._made: dict[tuple[str, ...], QueueConfig] = {}
        for name in data.values.keys() - set(_TOP):
            data.error(f"unknown option {name!r}{closest(name, _TOP)}", name)
        given = {name: value for name, value in data.values.items() if name in _HEADER_OPTIONS}
        self.headers = Headers(**data.read((), given, _HEADER_OPTIONS))
        self.tenants = {name: self._tenant(data, name, t) for name, t in data.tables("tenant")}
        self._default = QueueTable(("queue", DEFAULT), {})
        self._domains: DomainMap = DomainMap()
        self._read_queues(data)
        if data.is_complete:
            self._check_headers(data)
        self._check_compositions(data)

    # -- reading ------------------------------------------------------------------------------

    def _tenant(self, data: HelperData, name: str, table: dict[str, Any]) -> Tenant:
        path = ("tenant", name)
        given = {key: value for key, value in table.items() if key != "campaigns"}
        good = data.read(path, given, _TENANT_OPTIONS)
        authz = good.pop("require_authz", None)
        guard = make_guard(name, {key: good.pop(key, None) for key in GUARD_OPTIONS})
        rate = good.pop(RATE, None)
        campaigns = {}
        for campaign, inner in data.tables(*path, "campaigns"):
            inner_path = (*path, "campaigns", campaign)
            options = data.read(inner_path, inner, _QUEUE_OPTIONS)
            campaign_rate = options.pop(RATE, None)
            campaigns[campaign] = Campaign(
                self._noted(data, inner_path, options),
                parse_throttle(campaign_rate) if campaign_rate else None,
            )
        return Tenant(
            self._noted(data, path, good),
            parse_throttle(rate) if rate else None,
            None if authz is None else frozenset(authz),
            guard,
            campaigns,
        )

    def _noted(
        self, data: HelperData, path: tuple[str, ...], options: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the options of a table, after what there is to say about them."""
        data.note(QueueConfig.unsupported(options), *path)
        if "egress_pool" in options:
            self.pools.append((options["egress_pool"], (*path, "egress_pool")))
        return options

    def _read_queues(self, data: HelperData) -> None:
        for domain, table in data.tables("queue"):
            path = ("queue", domain)
            names = ("tenant", "campaign") if domain != DEFAULT else ()
            made = self._queue(data, path, table, names)
            if domain == DEFAULT:
                self._default = made
                continue
            try:
                if normal_key(domain) in self._keys():
                    data.error(f"the domain {domain!r} stands here a second time", *path)
                self._domains[domain] = made
            except ValueError as error:
                data.error(str(error), *path)

    def _keys(self) -> Mapping[str, Any]:
        return self._domains._values

    def _queue(
        self, data: HelperData, path: tuple[str, ...], table: dict[str, Any], names: tuple[str, ...]
    ) -> QueueTable:
        given: dict[str, Any] = {}
        inner: dict[str, QueueTable] = {}
        for key, value in table.items():
            if key in _QUEUE_OPTIONS or not isinstance(value, dict):
                given[key] = value
            elif not names:
                text = f"{shown(path)} holds options only, and {key!r} is none"
                data.error(text + closest(key, _QUEUE_OPTIONS), *path, key)
            elif self._is_name(data, names[0], key, (*path, key)):
                inner[key] = self._queue(data, (*path, key), value, names[1:])
        good = data.read(path, given, _QUEUE_OPTIONS)
        if good.pop(RATE, None) is not None:
            text = f"{shown(path)}: {RATE} is known, but only that of a tenant or campaign counts"
            data.warn(text, *path, RATE)
        return QueueTable(path, self._noted(data, path, good), inner)

    def _is_name(self, data: HelperData, kind: str, key: str, path: tuple[str, ...]) -> bool:
        """Tell a tenant or campaign from an option that is misspelt."""
        known = self.tenants if kind == "tenant" else self._campaigns()
        if key in known or not data.is_complete:
            return True
        # No other option holds a table: anything else that does is a name.
        is_misspelt = bool(difflib.get_close_matches(key, _TABLE_OPTIONS, 1, _ALIKE))
        if not is_misspelt and (kind == "campaign" or not known):
            return True
        hint = closest(key, (*_TABLE_OPTIONS, *known))
        data.error(f"{key!r} is neither an option nor a {kind} that is defined{hint}", *path)
        return False

    def _campaigns(self) -> set[str]:
        return {name for tenant in self.tenants.values() for name in tenant.campaigns}

    # -- checking -----------------------------------------------------------------------------

    def _check_headers(self, data: HelperData) -> None:
        headers = self.headers
        default = headers.default_tenant
        if default is not None and default not in self.tenants:
            hint = closest(default, self.tenants)
            data.error(f"default_tenant: {default!r} is not defined{hint}", "default_tenant")
        if headers.tenant_header is not None and not self.tenants:
            text = "tenant_header: no tenant is defined, so mail that names one would be refused"
            data.error(text, "tenant_header")
        for name in ("tenant", "campaign"):
            if getattr(headers, f"remove_{name}_header") and not getattr(headers, f"{name}_header"):
                option = f"remove_{name}_header"
                data.warn(f"{option}: there is no {name}_header to remove", option)

    def _check_compositions(self, data: HelperData) -> None:
        for path, names in self._leaves():
            try:
                self.config(*names)
            except (ValueError, TypeError) as error:
                data.error(str(error).partition(": ")[2] or str(error), *path)

    def _leaves(self) -> Iterator[tuple[tuple[str, ...], tuple[str, str | None, str | None]]]:
        """Yield each table with a queue it applies to."""
        yield ("queue", DEFAULT), ("", None, None)
        for name, tenant in self.tenants.items():
            yield ("tenant", name), ("", name, None)
            for campaign in tenant.campaigns:
                yield ("tenant", name, "campaigns", campaign), ("", name, campaign)
        for domain, table in self._keys().items():
            example = domain.replace("*", "any", 1)
            yield table.path, (example, None, None)
            for name, inner in table.inner.items():
                yield inner.path, (example, name, None)
                for campaign, innermost in inner.inner.items():
                    yield innermost.path, (example, name, campaign)

    # -- asking -------------------------------------------------------------------------------

    def _layers(
        self, domain: str, tenant: str | None, campaign: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the options that apply to a queue, the most particular last, each with a name."""
        yield "", _IMPLIED
        yield "d", self._default.options
        found: QueueTable | None = self._domains.get(domain)
        if found is not None:
            yield shown(found.path), found.options
        known = self.tenants.get(tenant) if tenant else None
        if known is not None:
            yield f"t:{tenant}", known.options
            of_campaign = known.campaigns.get(campaign) if campaign else None
            if of_campaign is not None:
                yield f"c:{campaign}", of_campaign.options
        inner = found.inner.get(tenant) if found is not None and tenant else None
        if inner is not None:
            yield shown(inner.path), inner.options
            innermost = inner.inner.get(campaign) if campaign else None
            if innermost is not None:
                yield shown(innermost.path), innermost.options

    def routing_domain(self, domain: str, tenant: str | None, campaign: str | None) -> str | None:
        """Return where mail of a queue is routed instead of its domain, or None."""
        found: str | None = None
        for _, options in self._layers(domain, tenant, campaign):
            found = options.get(ROUTING, found)
        return found

    def config(self, domain: str, tenant: str | None, campaign: str | None) -> QueueConfig:
        """Return the configuration of a queue."""
        layers = list(self._layers(domain, tenant, campaign))
        # Few tables apply to many queues: what they amount to is made once.
        key = tuple(name for name, _ in layers)
        made = self._made.get(key)
        if made is None:
            composed: dict[str, Any] = {}
            for _, options in layers:
                composed.update(options)
            composed.pop(ROUTING, None)
            if "protocol" in composed:
                composed["protocol"] = _protocol(composed["protocol"])
            made = self._made[key] = make_queue_config(**composed)
        return made
