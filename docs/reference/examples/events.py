"""One handler for each event, small as in the reference, which shows them; a test fires them all.

This is no policy for a node: see samples/policy for those.
"""

import mta
from mta import on

USERS = {"acme": "acme-password"}
TOKENS = {"token-of-acme": "acme"}
MOVED = {"old.example": "new.example"}
greeted = mta.make_counter("greeted", labels=["domain"])


@on("init")
def init():
    mta.define_spool(path="/var/spool/cirrus")
    mta.configure_local_logs(log_dir="/var/log/cirrus")
    mta.start_esmtp_listener(listen="127.0.0.1:2525", relay_hosts=["127.0.0.1"])
    mta.start_http_listener(listen="127.0.0.1:8000")


@on("shutdown")
def shutdown():
    mta.log_info("the last message has been moved")


@on("get_listener_parameters")
def get_listener_parameters(listener, conn):
    # Clients of our own network may send larger messages.
    if conn.get_meta("received_from").startswith("10."):
        return {"max_message_size": 100_000_000}
    return None


@on("smtp_connection_accepted")
def smtp_connection_accepted(conn):
    client = conn.get_meta("received_from").rpartition(":")[0]
    if mta.make_throttle("connections-" + client, "60/min").throttle()["throttled"]:
        mta.disconnect(421, "4.7.0 too many connections, please come back later")


@on("smtp_ehlo")
def smtp_ehlo(domain, conn, extensions):
    greeted.inc(domain=domain)
    # Nothing is said of CHUNKING to a client that gets it wrong.
    if domain == "old-appliance.example":
        return [name for name in extensions if name != "CHUNKING"]
    return None


@on("smtp_auth_plain")
def smtp_auth_plain(authz, authc, password, conn):
    wanted = USERS.get(authc)
    return wanted is not None and mta.digest.equal(wanted, password)


@on("smtp_mail_from")
def smtp_mail_from(sender, conn):
    if sender.domain == "blocked.example":
        mta.reject(550, "5.7.1 no mail from blocked.example")


@on("smtp_rcpt_to")
async def smtp_rcpt_to(recipient, conn):
    # What waits is awaited, in an `async def`.
    client = conn.get_meta("received_from")
    code, reason = await mta.dns.rbl_lookup(client, "bl.example.org")
    if code is not None:
        mta.reject(550, "5.7.1 listed: " + (reason or code))


@on("smtp_data")
def smtp_data(msg, conn):
    if msg.from_header() is None:
        mta.reject(550, "5.6.0 a message needs a From")


@on("smtp_split_transaction")
def smtp_split_transaction(msg, conn):
    # One message for each recipient domain.
    groups = {}
    for recipient in msg.recipient_list:
        groups.setdefault(recipient.domain, []).append(recipient)
    return list(groups.values())


@on("smtp_rewrite_response")
def smtp_rewrite_response(status, response, command, conn):
    if status == 550:
        return None, response + " (see https://postmaster.example.com)"
    return None


@on("get_listener_domain")
def get_listener_domain(domain, listener, conn):
    if domain == "example.com":
        return mta.make_listener_domain(relay_to=True)
    return None


@on("message_received")
def message_received(msg):
    msg.set_meta("tenant", msg.get_first_named_header_value("X-Tenant"))
    msg.remove_x_headers(["X-Tenant"])


@on("http_auth_basic")
def http_auth_basic(user, password):
    wanted = USERS.get(user)
    return wanted is not None and mta.digest.equal(wanted, password)


@on("http_auth_bearer")
def http_auth_bearer(token):
    return token in TOKENS


@on("get_acl_definition")
def get_acl_definition(resource):
    if resource == "http_listener/*/metrics":
        prometheus = {"MachineSet": ["192.0.2.0/24"]}
        return mta.make_access_control_list(
            [{"criteria": prometheus, "privilege": "GET", "access": "Allow"}]
        )
    return None


@on("xfer_message_received")
def xfer_message_received(msg):
    msg.set_meta("moved", True)


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(egress_pool=tenant or "shared", retry_interval="20m", max_age="7d")


@on("get_egress_pool")
def get_egress_pool(name):
    return mta.make_egress_pool(
        name=name, entries=[{"name": "ip-1", "weight": 2}, {"name": "ip-2"}]
    )


@on("get_egress_source")
def get_egress_source(name):
    return mta.make_egress_source(name=name, ehlo_domain=name + ".example.com")


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    return mta.make_egress_path(connection_limit=10, max_message_rate="100/s")


@on("throttle_insert_ready_queue")
def throttle_insert_ready_queue(msg):
    tenant = msg.get_meta("tenant") or "shared"
    mta.make_throttle("tenant-" + tenant, "100/min").delay_message_if_throttled(msg)


@on("message_requeued")
def message_requeued(msg, response, reasons, attempt_counted, delay):
    # After three attempts, by another pool: a queue of its own.
    if msg.num_attempts >= 3:
        msg.set_meta("campaign", "slow")


@on("message_enumerated")
def message_enumerated(msg):
    target = MOVED.get(msg.recipient_list[0].domain)
    if target is not None:
        msg.set_meta("routing_domain", target)


@on("rebind_message")
def rebind_message(msg, data):
    for name, value in data.items():
        msg.set_meta(name, value)


@on("rewrite_delivery_status")
def rewrite_delivery_status(response, domain, tenant, campaign, routing_domain):
    # This receiver says 550 when it means "later".
    if domain == "strange.example" and "try again" in response:
        return 450
    return None


@on("should_enqueue_log_record")
def should_enqueue_log_record(msg, hook_name):
    if msg.get_meta("log_record")["type"] == "Reception":
        return False
    # A queue that get_queue_config gives to a sender of this script.
    msg.set_meta("queue", f"{hook_name}.records")
    return True


@on("log_disposition")
def log_disposition(msg, record):
    if record["type"] == "Bounce":
        mta.log_warn(record["recipient"] + " bounced", every="1m")
