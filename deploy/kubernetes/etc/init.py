"""All nodes of the cluster: mail comes in from pods and leaves by the egress proxies.

The nodes follow this file and those it names while they run. Try an edit before:
`cirrus check --policy init.py`.
"""

import mta
from helpers import policy_utils, queues, shaping, sources
from mta import on

# The network of the pods: who may send to anywhere, and who may administer a node. Which pods reach
# which port at all is said in network-policy.yaml.
TRUSTED = ["127.0.0.1", "::1", "10.244.0.0/16"]
# Each node gives its records to both, and follows the first that answers.
TSA = ["http://cirrus-tsa-0.cirrus-tsa:8008", "http://cirrus-tsa-1.cirrus-tsa:8008"]
# Rates and connections count for all nodes together. While the Redis is away each node goes on with
# its part of every limit.
REDIS = policy_utils.load_json_or_toml_file("secrets/redis.toml")

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
    mta.configure_redis_throttles(**REDIS)
    mta.start_esmtp_listener(listen="0.0.0.0:2525", relay_hosts=TRUSTED)
    mta.start_http_listener(listen="0.0.0.0:8000", trusted_hosts=TRUSTED)


@on("message_received")
def message_received(msg):
    queues.apply(msg)
