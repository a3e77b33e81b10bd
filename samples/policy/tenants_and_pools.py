"""Several tenants on one node: each with its pool, its rate and its own queues.

A tenant and a campaign come in headers that are removed before the message goes on. Who is not in
TENANTS is refused. The tables are plain Python: keep them in a file beside this one, if you like
(`from tenants import TENANTS`); it is watched and reloaded with this script.
"""

import mta
from mta import on

SPOOL = "/var/spool/cirrus"
LOGS = "/var/log/cirrus"
SMTP_LISTEN = "127.0.0.1:2525"
HTTP_LISTEN = "127.0.0.1:8000"

# Who may send, by which pool, how fast in all, and how long mail is tried.
TENANTS = {
    "shop": {"pool": "shared", "rate": "50/s", "max_age": "3d"},
    "bank": {"pool": "bank-only", "rate": "10/s", "max_age": "1d"},
}

# Sources of each pool, with their share of its mail. A weight of 0 rests a source.
POOLS = {
    "shared": {"ip-1": 3, "ip-2": 1},
    "bank-only": {"ip-3": 1},
}

# What each source calls itself. With several addresses, add a table of them and pass
# source_address=... below.
EHLO_DOMAINS = {
    "ip-1": "out1.example.com",
    "ip-2": "out2.example.com",
    "ip-3": "bank.example.com",
}

# Receivers that want few connections and a low rate.
SLOW = {"slow.example"}


@on("init")
def init():
    mta.define_spool(path=SPOOL)
    mta.configure_local_logs(log_dir=LOGS, headers=["Subject"], meta=["tenant", "campaign"])
    mta.start_esmtp_listener(listen=SMTP_LISTEN, relay_hosts=["127.0.0.1", "::1"])
    mta.start_http_listener(listen=HTTP_LISTEN)


@on("message_received")
def message_received(msg):
    tenant = msg.get_first_named_header_value("X-Tenant")
    if tenant not in TENANTS:
        mta.reject(550, "5.7.1 X-Tenant names nobody who may send here")
    msg.set_meta("tenant", tenant)
    msg.set_meta("campaign", msg.get_first_named_header_value("X-Campaign"))
    msg.remove_all_named_headers("X-Tenant")
    msg.remove_all_named_headers("X-Campaign")


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    known = TENANTS.get(tenant)
    if known is None:
        # A tenant that left the table while its mail waited: the mail still goes, by "shared".
        return mta.make_queue_config(egress_pool="shared")
    return mta.make_queue_config(
        egress_pool=known["pool"],
        retry_interval="10m",
        max_retry_interval="2h",
        max_age=known["max_age"],
    )


@on("throttle_insert_ready_queue")
def throttle_insert_ready_queue(msg):
    # One rate for a tenant, however many domains it writes to. A message over it waits its turn.
    tenant = msg.get_meta("tenant")
    if tenant in TENANTS:
        throttle = mta.make_throttle("tenant-" + tenant, TENANTS[tenant]["rate"])
        throttle.delay_message_if_throttled(msg)


@on("get_egress_pool")
def get_egress_pool(name):
    if name not in POOLS:
        return None
    entries = [{"name": source, "weight": share} for source, share in POOLS[name].items()]
    return mta.make_egress_pool(name=name, entries=entries)


@on("get_egress_source")
def get_egress_source(name):
    if name not in EHLO_DOMAINS:
        return None
    return mta.make_egress_source(name=name, ehlo_domain=EHLO_DOMAINS[name])


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    # The limits hold for a source and a site: all domains with the same MX hosts together.
    slow = routing_domain in SLOW
    return mta.make_egress_path(
        enable_tls="OpportunisticInsecure",
        connection_limit=2 if slow else 32,
        max_message_rate="60/min" if slow else "100/s",
    )
