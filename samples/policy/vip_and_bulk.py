"""Two lanes: what somebody waits for goes at once, newsletters go when there is room.

Password resets and invoices must not stand behind a million newsletters. Each lane has its own
queues, its own source with a reputation of its own, and bulk mail a rate; vip mail is tried again
sooner and given up sooner.
"""

from typing import Any

import mta
from mta import on

SPOOL = "/var/spool/cirrus"
LOGS = "/var/log/cirrus"
SMTP_LISTEN = "127.0.0.1:2525"
HTTP_LISTEN = "127.0.0.1:8000"

LANES: dict[str, dict[str, Any]] = {
    "vip": {
        "source": "ip-vip",
        "ehlo_domain": "vip.example.com",
        "retry_interval": "1m",
        "max_retry_interval": "10m",
        "max_age": "4h",
        "connections": 20,
    },
    "bulk": {
        "source": "ip-bulk",
        "ehlo_domain": "bulk.example.com",
        "retry_interval": "30m",
        "max_retry_interval": "6h",
        "max_age": "3d",
        "connections": 5,
    },
}
SOURCES = {lane["source"]: lane for lane in LANES.values()}

# All bulk mail together, and all bulk mail to one domain.
BULK_RATE = "200/s"
BULK_RATE_PER_DOMAIN = "20/s"


def find_lane(msg):
    """Bulk is what says so of itself: a list, or a campaign."""
    lane = msg.get_first_named_header_value("X-Lane")
    if lane in LANES:
        return lane
    if msg.get_first_named_header_value("List-Unsubscribe") is not None:
        return "bulk"
    precedence = msg.get_first_named_header_value("Precedence") or ""
    return "bulk" if precedence.lower() in ("bulk", "list") else "vip"


@on("init")
def init():
    mta.define_spool(path=SPOOL)
    mta.configure_local_logs(log_dir=LOGS, meta=["tenant"])
    mta.start_esmtp_listener(listen=SMTP_LISTEN, relay_hosts=["127.0.0.1", "::1"])
    mta.start_http_listener(listen=HTTP_LISTEN)


@on("message_received")
def message_received(msg):
    # A lane is a tenant: its mail waits in queues of its own, lane@domain.
    msg.set_meta("tenant", find_lane(msg))
    msg.remove_all_named_headers("X-Lane")


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    # Mail of before this script has no lane.
    name = tenant if tenant in LANES else "bulk"
    lane = LANES[name]
    return mta.make_queue_config(
        egress_pool=name,
        retry_interval=lane["retry_interval"],
        max_retry_interval=lane["max_retry_interval"],
        max_age=lane["max_age"],
        max_message_rate=BULK_RATE_PER_DOMAIN if name == "bulk" else None,
    )


@on("throttle_insert_ready_queue")
def throttle_insert_ready_queue(msg):
    # A message over the rate waits for its turn; no attempt is counted.
    if msg.get_meta("tenant") == "bulk":
        mta.make_throttle("bulk", BULK_RATE).delay_message_if_throttled(msg)


@on("get_egress_pool")
def get_egress_pool(name):
    if name not in LANES:
        return None
    return mta.make_egress_pool(name=name, entries=[{"name": LANES[name]["source"]}])


@on("get_egress_source")
def get_egress_source(name):
    # With two addresses on the machine, add source_address: reputation goes by address.
    if name not in SOURCES:
        return None
    return mta.make_egress_source(name=name, ehlo_domain=SOURCES[name]["ehlo_domain"])


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    lane = SOURCES.get(egress_source, LANES["bulk"])
    return mta.make_egress_path(
        enable_tls="OpportunisticInsecure",
        connection_limit=lane["connections"],
    )
