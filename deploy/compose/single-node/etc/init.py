"""One node with its shaping automation: takes mail from this host, delivers it to the world.

The node follows this file and those it names while it runs. Try an edit before:
`cirrus check --policy init.py`.
"""

import mta
from helpers import queues, shaping, sources
from mta import on

# Who may send to anywhere, and who may administer the node: itself, and the network of the compose
# file, by whose gateway this host comes in. Nothing else reaches these ports.
TRUSTED = ["127.0.0.1", "::1", "172.30.1.0/24"]
TSA = ["http://tsa:8008"]

sources.setup(["sources.toml"])
queues.setup(["queues.toml"])
# What the large providers want is common knowledge; what is ours is laid over it.
shaping.setup(
    ["/usr/share/cirrus/shaping/base.toml", "shaping.toml"],
    publish=TSA,
    subscribe=TSA,
)


@on("init")
def init():
    mta.define_spool(path="/var/spool/cirrus")
    mta.configure_local_logs(log_dir="/var/log/cirrus", meta=["tenant", "campaign"])
    mta.start_esmtp_listener(listen="0.0.0.0:2525", relay_hosts=TRUSTED)
    mta.start_http_listener(listen="0.0.0.0:8000", trusted_hosts=TRUSTED)


@on("message_received")
def message_received(msg):
    queues.apply(msg)
