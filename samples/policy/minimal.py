"""The smallest complete policy: take mail from this machine, deliver it to the MX of each domain.

Run it with `cirrus run --policy minimal.py`. Change a line while it runs and the next message is
handled by the new text; break it and mail flows on under the old one.
"""

import mta
from mta import on

# Where mail and logs are kept, and where the node listens.
SPOOL = "/var/spool/cirrus"
LOGS = "/var/log/cirrus"
SMTP_LISTEN = "127.0.0.1:2525"
HTTP_LISTEN = "127.0.0.1:8000"

# What the node calls itself: a name that the DNS resolves to the address it sends from.
EHLO_DOMAIN = "mta.example.com"


@on("init")
def init():
    # Accepted mail is here until it is delivered, bounced or expired: on a disk that survives.
    mta.define_spool(path=SPOOL)
    # One line of JSON for whatever happens to a message, in compressed files.
    mta.configure_local_logs(log_dir=LOGS)
    # Who may send to anywhere; everyone else may only send where get_listener_domain allows it.
    mta.start_esmtp_listener(listen=SMTP_LISTEN, relay_hosts=["127.0.0.1", "::1"])
    # Injection by HTTP, liveness, metrics and administration, for this machine only.
    mta.start_http_listener(listen=HTTP_LISTEN)


@on("message_received")
def message_received(msg):
    # Runs before the message is stored; the client waits for the answer.
    if msg.recipient.domain == "blocked.example":
        mta.reject(550, "5.7.1 not from here")
    # The tenant becomes part of the queue's name: its mail waits apart from that of others.
    msg.set_meta("tenant", msg.get_first_named_header_value("X-Tenant"))


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    # First retry after 20 minutes, then 40, 80, ...; given up after a week.
    return mta.make_queue_config(egress_pool="pool-a", retry_interval="20m", max_age="7d")


@on("get_egress_pool")
def get_egress_pool(name):
    # Two of three messages leave by ip-1.
    entries = [{"name": "ip-1", "weight": 2}, {"name": "ip-2", "weight": 1}]
    return mta.make_egress_pool(name=name, entries=entries)


@on("get_egress_source")
def get_egress_source(name):
    # Give each source its own source_address="..." when the machine has several addresses.
    return mta.make_egress_source(name=name, ehlo_domain=EHLO_DOMAIN)


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    # TLS where it is offered, whatever the certificate: few hosts have one that fits.
    return mta.make_egress_path(
        enable_tls="OpportunisticInsecure",
        connection_limit=10,
        max_message_rate="100/s",
    )
