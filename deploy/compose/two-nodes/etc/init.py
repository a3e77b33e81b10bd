"""Two nodes with one script, a shaping automation beside each, limits shared in a Redis.

The nodes follow this file and those it names while they run. Try an edit before:
`cirrus check --policy init.py`.
"""

import mta
from helpers import queues, shaping, sources
from mta import on

# Who may send to anywhere, and who may administer a node: itself, and the network of the compose
# file, by whose gateway this host comes in. Nothing else reaches these ports.
TRUSTED = ["127.0.0.1", "::1", "172.30.2.0/24"]
# Each node gives its records to both, and follows the first that answers.
TSA = ["http://tsa-a:8008", "http://tsa-b:8008"]
# Rates and connections count for both nodes together. While the Redis is away each goes on with
# half of every limit.
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
    mta.configure_redis_throttles(node=REDIS, nodes=2)
    mta.start_esmtp_listener(listen="0.0.0.0:2525", relay_hosts=TRUSTED)
    mta.start_http_listener(listen="0.0.0.0:8000", trusted_hosts=TRUSTED)


@on("message_received")
def message_received(msg):
    queues.apply(msg)
