"""The shaping automations of the cluster: they read what receivers answer, and slow nodes
down. All run this one script: with the same records they come to the same decisions.

Try an edit before: `cirrus check --policy tsa.py`.
"""

import mta.tsa
from mta import on

# Whoever may publish records can have mail held or bounced: the network of the pods.
NODES = ["127.0.0.1", "::1", "10.244.0.0/16"]


@on("tsa_init")
def tsa_init():
    mta.tsa.configure_state(path="/var/lib/cirrus-tsa")
    mta.tsa.start_http_listener(listen="0.0.0.0:8008", trusted_hosts=NODES)


@on("load_shaping_data")
def load_shaping_data():
    # The same files in the same order as on the nodes.
    return ["/usr/share/cirrus/shaping/base.toml", "shaping.toml"]
