"""Three nodes with one script behind two proxies: no node has a public address of its own.

The nodes follow this file and those it names while they run. Try an edit before:
`cirrus check --policy init.py`.
"""

import mta
from helpers import queues, shaping, sources
from mta import on

# Who may send to anywhere, and who may administer a node: itself, and the network of the compose
# file, by whose gateway this host comes in. Nothing else reaches these ports.
TRUSTED = ["127.0.0.1", "::1", "172.30.4.0/24"]
TSA = ["http://tsa:8008"]
# Three nodes send from the same addresses: receivers see one sender, and limits count for all.
REDIS = "redis://redis:6379"

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
    mta.configure_redis_throttles(node=REDIS, nodes=3)
    mta.start_esmtp_listener(listen="0.0.0.0:2525", relay_hosts=TRUSTED)
    mta.start_http_listener(listen="0.0.0.0:8000", trusted_hosts=TRUSTED)


@on("message_received")
def message_received(msg):
    queues.apply(msg)
