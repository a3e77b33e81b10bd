"""A node that only receives: it takes mail for any domain and drops it, or keeps it in maildirs.

For tests of what sends to it. Mail for the domains of KEPT goes into a maildir each; all other mail
is answered 250 and forgotten, with a record. Recipients whose name begins with tempfail or permfail
are refused.
"""

import mta
from mta import on

SPOOL = "/var/spool/cirrus-sink"
LOGS = "/var/log/cirrus-sink"
SMTP_LISTEN = "127.0.0.1:2600"
HTTP_LISTEN = "127.0.0.1:8600"

# Domains whose mail is kept, and the folder of the maildir.
MAILDIRS = "/var/lib/cirrus-sink"
KEPT = {"kept.example"}


@on("init")
def init():
    # Nothing here is worth waiting for the disk.
    mta.define_spool(path=SPOOL, durability="relaxed")
    mta.configure_local_logs(log_dir=LOGS)
    # Nobody may relay; get_listener_domain says what is taken.
    mta.start_esmtp_listener(listen=SMTP_LISTEN, relay_hosts=[])
    mta.start_http_listener(listen=HTTP_LISTEN)


@on("get_listener_domain")
def get_listener_domain(domain, listener, conn):
    return mta.make_listener_domain(relay_to=True)


@on("smtp_rcpt_to")
def smtp_rcpt_to(recipient, conn):
    if recipient.user.startswith("tempfail"):
        mta.reject(450, "4.2.1 try later")
    if recipient.user.startswith("permfail"):
        mta.reject(550, "5.1.1 nobody of this name")


@on("message_received")
def message_received(msg):
    if msg.recipient.domain not in KEPT:
        # The queue of this name swallows what it gets.
        msg.set_meta("queue", "null")


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(protocol={"maildir": {"path": MAILDIRS + "/" + domain}})
