"""The relay in front of a mail server: takes mail for own domains, and from users who authenticate.

From anybody it takes mail for the domains of DOMAINS and hands it to the server behind; from people
who gave their password over TLS, mail to everywhere. Everybody else is refused.
"""

import mta
from mta import on

SPOOL = "/var/spool/cirrus"
LOGS = "/var/log/cirrus"
SMTP_LISTEN = "127.0.0.1:2525"
HTTP_LISTEN = "127.0.0.1:8000"

# Own domains, and the server that has the mailboxes of each: "name:port" or "[address]:port".
DOMAINS = {
    "example.com": "[10.0.0.25]:25",
    "example.org": "[10.0.0.26]:25",
}

# Salt, and the SHA-256 of salt and password together. Long random passwords only: people's own
# words need a slower function than this. The password here is "wonderland of 42 rabbits".
USERS = {
    "alice@example.com": {
        "salt": "5d2f1c8e90b74a36",
        "sha256": "efc0bb686b7f413f9be15f4f5fa576c635671a22368f76cb94deff32f10af5ff",
    },
}
RECIPIENTS_MAX = 100
# Of one client address.
CONNECTION_RATE = "60/min"


@on("init")
def init():
    mta.define_spool(path=SPOOL)
    mta.configure_local_logs(log_dir=LOGS, meta=["authz_id"])
    # relay_hosts is empty: nobody relays for being somewhere. Without tls_certificate the node
    # makes one itself, which is enough to try this; users want one that their program accepts.
    mta.start_esmtp_listener(
        listen=SMTP_LISTEN,
        relay_hosts=[],
        max_recipients_per_message=RECIPIENTS_MAX,
        max_message_size=50_000_000,
    )
    mta.start_http_listener(listen=HTTP_LISTEN)


@on("smtp_connection_accepted")
def smtp_connection_accepted(conn):
    # One rate for each client address.
    peer = conn.get_meta("received_from").rpartition(":")[0]
    if mta.make_throttle("inbound-" + peer, CONNECTION_RATE).throttle()["throttled"]:
        mta.disconnect(421, "4.7.0 too many connections, please come back later")


@on("smtp_auth_plain")
def smtp_auth_plain(authz, authc, password, conn):
    user = USERS.get(authc)
    if user is None or authz != authc:
        return False
    return mta.digest.sha256(user["salt"] + password).hex == user["sha256"]


@on("smtp_mail_from")
def smtp_mail_from(sender, conn):
    user = conn.get_meta("authz_id")
    if user is not None and sender.email.lower() != user:
        mta.reject(550, "5.7.1 you may send as " + user + " only")
    if user is None and sender.domain in DOMAINS:
        # Our own people authenticate: who does not is somebody else.
        mta.reject(550, "5.7.1 please authenticate to send as " + sender.domain)


@on("get_listener_domain")
def get_listener_domain(domain, listener, conn):
    if domain in DOMAINS:
        return mta.make_listener_domain(relay_to=True)
    return None


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    inside = DOMAINS.get(domain)
    if inside is None:
        return mta.make_queue_config(retry_interval="15m", max_age="3d")
    # The server behind may be down for a night and nothing is lost.
    return mta.make_queue_config(
        protocol={"smtp": {"mx_list": [inside]}},
        retry_interval="1m",
        max_retry_interval="10m",
        max_age="5d",
    )


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    if routing_domain in DOMAINS:
        # The server behind is ours, and close by; loopback is prohibited unless said otherwise.
        return mta.make_egress_path(
            enable_tls="OpportunisticInsecure", prohibited_hosts=[], connection_limit=20
        )
    return mta.make_egress_path(enable_tls="OpportunisticInsecure", connection_limit=10)
