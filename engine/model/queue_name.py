"""Queue names: ``[campaign:][tenant]@domain[!routing_domain]``, written and read in one place.

Place in flow: ``engine.script_views.queue_name_of`` names the queue of each message here;
admission, suspensions and the queues read the parts back.

Invariants:
    * ``parse_queue_name(format_queue_name(...))`` gives the parts back, whatever the tenant holds:
      the separators and control characters are percent-escaped in tenant and campaign.
    * An empty part is an absent part.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_ESCAPED = re.compile(r"[%:@!\x00-\x20\x7f]")
_ESCAPE = re.compile(r"%([0-7][0-9A-Fa-f])")


class QueueName(NamedTuple):
    """The parts of a queue name; an absent part is None."""

    domain: str
    tenant: str | None
    campaign: str | None
    routing_domain: str | None


def _escape(part: str) -> str:
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", part)


def _unescape(part: str) -> str | None:
    if "%" in part:
        part = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), part)
    return part or None


@lru_cache(maxsize=65536)
def format_queue_name(
    domain: str,
    tenant: str | None = None,
    campaign: str | None = None,
    routing_domain: str | None = None,
) -> str:
    """Return the name of the scheduled queue for these parts.

    Args:
        domain: The recipient's domain in its normal form.
        tenant: Whose mail it is.
        campaign: Which mailing it belongs to.
        routing_domain: Whose MX is used instead of the domain's.
    """
    name = domain
    if campaign:
        name = f"{_escape(campaign)}:{_escape(tenant or '')}@{domain}"
    elif tenant:
        name = f"{_escape(tenant)}@{domain}"
    return f"{name}!{routing_domain}" if routing_domain else name


@lru_cache(maxsize=65536)
def parse_queue_name(name: str) -> QueueName:
    """Return the parts of a queue name; every text has a reading, so nothing is raised."""
    prefix, at, rest = name.partition("@")
    if not at:
        prefix, rest = "", name
    campaign, colon, tenant = prefix.partition(":")
    if not colon:
        campaign, tenant = "", prefix
    domain, _, routing_domain = rest.partition("!")
    return QueueName(domain, _unescape(tenant), _unescape(campaign), routing_domain or None)
