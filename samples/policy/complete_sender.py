"""A sender with tenants: pools, queues, domains, DKIM, shaping, a log hook, each from its own file.

What changes often stands in complete_sender/*.toml, and this script seldom has to. Edit a file
while the node runs and it counts within seconds; a mistake is reported with file and line, and mail
flows on by what was before. Try an edit without a node: `cirrus check --policy complete_sender.py`.

The order matters twice: a log hook is set up before queues, which answer for every queue that is
left; and mail is given to its tenant before it is signed, because that removes headers.
"""

import mta
from helpers import dkim, listener_domains, log_hooks, policy_utils, queues, shaping, sources
from mta import on

SPOOL = "/var/spool/cirrus"
LOGS = "/var/log/cirrus"
SMTP_LISTEN = "127.0.0.1:2525"
HTTP_LISTEN = "127.0.0.1:8000"

# Who gets a copy of each record as JSON, a hundred at a time or what there is after two seconds.
WEBHOOK = "http://127.0.0.1:8080/records"

# The traffic shaping automation (cirrus tsa): gets the records, and slows down or holds back what a
# provider asks to. While it is away its last decisions stay in force, and records wait on disk.
TSA = ["http://127.0.0.1:8008"]

FILES = "complete_sender/"
USERS = policy_utils.load_json_or_toml_file(FILES + "users.toml")

log_hooks.new_json(
    name="webhook",
    url=WEBHOOK,
    batch_size=100,
    min_batch_size=100,
    max_batch_latency="2s",
    log_parameters={"headers": ["Subject"], "meta": ["tenant", "campaign"]},
)
sources.setup([FILES + "sources.toml"])
queues.setup([FILES + "queues.toml"])
listener_domains.setup([FILES + "listener_domains.toml"])
dkim.setup([FILES + "dkim.toml"])
# What the large providers want is common knowledge; what is ours is laid over it.
shaping.setup(["../shaping/base.toml", FILES + "shaping.toml"], publish=TSA, subscribe=TSA)


@on("init")
def init():
    mta.define_spool(path=SPOOL)
    mta.configure_local_logs(log_dir=LOGS, headers=["Subject"], meta=["tenant", "campaign"])
    # Nobody relays by address alone but this machine; others authenticate over TLS.
    mta.start_esmtp_listener(listen=SMTP_LISTEN, relay_hosts=["127.0.0.1", "::1"])
    mta.start_http_listener(listen=HTTP_LISTEN)


@on("smtp_auth_plain")
def smtp_auth_plain(authz, authc, password, conn):
    # Who authenticated is authz_id, which a tenant of queues.toml may require.
    user = USERS["user"].get(authc)
    if user is None or authz != authc:
        return False
    return mta.digest.sha256(user["salt"] + password).hex == user["sha256"]


@on("message_received")
def message_received(msg):
    # Sets tenant and campaign by X-Tenant and X-Campaign, removes these, and refuses mail that
    # pretends to come from a domain that is not the tenant's.
    queues.apply(msg)
    dkim.sign(msg)
