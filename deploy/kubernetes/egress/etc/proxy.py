"""The proxy of each host that holds public addresses: nodes say which one a connection leaves from.

Try an edit before: `cirrus check --policy proxy.py`.
"""

import mta.proxy
from mta import on

# Who may use it: pods, and the hosts they run on, as which many networks show them outside. It
# listens on all addresses of its host, public ones too, where others are closed without a word; a
# firewall in front does no harm.
CLIENTS = ["127.0.0.1", "10.244.0.0/16", "10.0.0.0/24"]
# The addresses that mail leaves from, those of all hosts together: one that is not on the host that
# is asked is refused there.
SOURCES = ["192.0.2.10", "192.0.2.11"]


@on("proxy_init")
def proxy_init():
    mta.proxy.start_proxy_listener(
        listen="0.0.0.0:1080", allow_clients=CLIENTS, allow_sources=SOURCES
    )
    mta.proxy.start_http_listener(listen="127.0.0.1:8009")
