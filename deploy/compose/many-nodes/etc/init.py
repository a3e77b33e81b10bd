"""Three nodes with one script, two shaping automations, limits shared in a Redis Cluster.

The nodes follow this file and those it names while they run. Try an edit before:
`cirrus check --policy init.py`.
"""

import mta
from helpers import queues, shaping, sources
from mta import on

# Who may send to anywhere, and who may administer a node: itself, and the network of the compose
# file, by whose gateway this host comes in. Nothing else reaches these ports.
TRUSTED = ["127.0.0.1", "::1", "172.30.3.0/24"]
# Each node gives its records to both, and follows the first that answers.
TSA = ["http://tsa-a:8008", "http://tsa-b:8008"]
# Any of them tells where the others are. Rates and connections count for all nodes together; while
# the cluster is away each node goes on with a third of every limit.
REDIS = [f"redis://redis-{number}:6379" for number in range(1, 7)]

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
