"""The policy that the measured node runs: what an operator with pools and tenants has at least.

Place in flow: written into the node's folder by ``node_process``, with ports and folders filled in.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

_TEMPLATE = Template("""\
import mta
from mta import on


@on("init")
def init():
    mta.define_spool(path="$folder/spool", durability="strict")
    mta.configure_local_logs(log_dir="$folder/log")
    mta.start_esmtp_listener(listen="127.0.0.1:$smtp_port", relay_hosts=["127.0.0.1"])
    mta.start_http_listener(listen="127.0.0.1:$http_port")


@on("message_received")
def message_received(msg):
    tenant = msg.get_first_named_header_value("X-Tenant")
    if tenant:
        msg.set_meta("tenant", tenant)


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(
        egress_pool="pool-a",
        protocol={"smtp": {"mx_list": ["127.0.0.1:$sink_port"]}},
    )


@on("get_egress_pool")
def get_egress_pool(name):
    return mta.make_egress_pool(name=name, entries=[{"name": "ip-1"}])


@on("get_egress_source")
def get_egress_source(name):
    return mta.make_egress_source(name=name, ehlo_domain="node.bench.example")


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    return mta.make_egress_path(
        prohibited_hosts=[],
        enable_tls="Disabled",
        connection_limit=50,
        max_ready=$max_ready,
    )


throttle = mta.make_throttle("whole-node", "1000000/s")


@on("throttle_insert_ready_queue")
def throttle_insert_ready_queue(msg):
    throttle.delay_message_if_throttled(msg)
""")


def policy_text(
    folder: Path, *, smtp_port: int, http_port: int, sink_port: int, max_ready: int = 20_000
) -> str:
    """Return the script."""
    return _TEMPLATE.substitute(
        folder=folder,
        smtp_port=smtp_port,
        http_port=http_port,
        sink_port=sink_port,
        max_ready=max_ready,
    )
