"""Everything leaves by one host: a provider, or the outer gateway of a company.

The host is asked to prove itself: without TLS and a certificate that fits, mail waits. Mail of this
machine and its network is taken; a list of own domains keeps typing mistakes from leaving. A host
in the own network needs prohibited_hosts=[] below: without it, loopback is never connected to.
"""

import mta
from mta import on

SPOOL = "/var/spool/cirrus"
LOGS = "/var/log/cirrus"
SMTP_LISTEN = "127.0.0.1:2525"
HTTP_LISTEN = "127.0.0.1:8000"

# A name, "name:port" or "[address]:port"; several are tried in this order.
SMART_HOSTS = ["smtp.provider.example:587"]
USER = "account"
# A file that only the node can read, or {"env": "NAME"}.
PASSWORD = "/etc/cirrus/smart-host.password"

RELAY_HOSTS = ["127.0.0.1", "::1", "10.0.0.0/8"]
SENDER_DOMAINS = {"example.com", "example.org"}


@on("init")
def init():
    mta.define_spool(path=SPOOL)
    mta.configure_local_logs(log_dir=LOGS)
    mta.start_esmtp_listener(listen=SMTP_LISTEN, relay_hosts=RELAY_HOSTS)
    mta.start_http_listener(listen=HTTP_LISTEN)


@on("smtp_mail_from")
def smtp_mail_from(sender, conn):
    # The null sender is a bounce, which everybody may send.
    if sender.domain and sender.domain not in SENDER_DOMAINS:
        mta.reject(550, "5.7.1 mail of " + sender.domain + " is not sent from here")


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    # Each domain has a queue to look at and to stop; they share the connections to these hosts.
    return mta.make_queue_config(
        protocol={"smtp": {"mx_list": SMART_HOSTS}},
        retry_interval="5m",
        max_retry_interval="1h",
        max_age="2d",
    )


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    return mta.make_egress_path(
        # Not in clear, and not to somebody else. For a gateway of one's own with a certificate of
        # one's own there is "RequiredInsecure"; the password then goes to whoever answers there,
        # which has to be allowed: allow_smtp_auth_plain_without_valid_certificate=True.
        enable_tls="Required",
        smtp_auth_plain_username=USER,
        smtp_auth_plain_password=PASSWORD,
        connection_limit=5,
        max_message_rate="20/s",
    )
