"""Which domains a tenant may send as: the From header and MAIL FROM held against lists.

Place in flow: ``queue_rules`` reads the lists; ``queue_helper`` asks when a message is given to a
tenant.

Invariants:
    * Every address of every From field counts: a second field, or a second address, gets nobody
      past the guard. A From that cannot be read is refused.
    * The null sender names no domain: a bounce passes the guard of MAIL FROM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.model import header_block
from engine.model.address import normal_domain
from engine.model.address_header import parse_address_header
from engine.model.keyword_options import Option, list_of
from engine.model.option_error import OptionError
from engine.script_modules.domain_map import DomainMap, normal_key
from engine.script_refusals import reject
from engine.script_views import MessageView

FROM = "allowed_from_domains"
MAIL_FROM = "allowed_mail_from_domains"
_FIELDS_MAX = 20


def _pattern(value: Any) -> str:
    """Return a domain, or ``*.`` and a domain."""
    if not isinstance(value, str):
        raise OptionError(f"a domain is expected, not {value!r}")
    return normal_key(value)


GUARD_OPTIONS: dict[str, Option] = {
    FROM: Option(list_of(_pattern)),
    MAIL_FROM: Option(list_of(_pattern)),
}


@dataclass(frozen=True, slots=True)
class TenantGuard:
    """The domains of one tenant; None where anything goes."""

    tenant: str
    from_domains: DomainMap | None
    mail_from_domains: DomainMap | None

    def check(self, msg: MessageView) -> None:
        """Refuse a message that pretends to come from elsewhere.

        Raises:
            SmtpRefusal: 550 5.7.1, with the domain that is not allowed.
        """
        if self.mail_from_domains is not None:
            sender = msg.sender.domain
            if sender:
                self._check(self.mail_from_domains, sender, "MAIL FROM")
        if self.from_domains is not None:
            for domain in _readable_domains(msg):
                self._check(self.from_domains, domain, "From")

    def _check(self, allowed: DomainMap, domain: str, where: str) -> None:
        try:
            name = normal_domain(domain)
        except ValueError:
            reject(550, f"5.7.1 {where} holds no valid domain")
        if name not in allowed:
            reject(550, f"5.7.1 this tenant may not send as {name} ({where})")


def make_guard(tenant: str, lists: Mapping[str, Any]) -> TenantGuard:
    """Return the guard of a tenant.

    Args:
        tenant: Its name.
        lists: The options of ``GUARD_OPTIONS``, None where one is not given.
    """
    return TenantGuard(tenant, _allowed(lists.get(FROM)), _allowed(lists.get(MAIL_FROM)))


def _allowed(domains: Any) -> DomainMap | None:
    return None if domains is None else DomainMap(dict.fromkeys(domains, True))


def from_domains(msg: MessageView) -> list[str]:
    """Return the domains of all addresses in all From fields, as they are written.

    Raises:
        ValueError: A field cannot be read as a list of addresses.
    """
    fields = header_block.find_all(msg._head(), "From")
    if len(fields) > _FIELDS_MAX:
        raise ValueError(f"{len(fields)} From fields")
    domains: list[str] = []
    for raw in fields:
        value = raw.decode("utf-8", "replace").replace("\r\n", "")
        domains += [entry.domain for entry in parse_address_header("From", value).list]
    return domains


def _readable_domains(msg: MessageView) -> list[str]:
    try:
        domains = from_domains(msg)
    except ValueError:
        domains = []
    if not domains:
        reject(550, "5.7.1 the From header holds no address that could be read")
    return domains
