"""An egress proxy for a few nodes: which tenant's mail leaves from which address, and to where.

Run it with `cirrus proxy --policy egress.py` on the host that holds the addresses, and look at it
with `curl http://127.0.0.1:8009/proxy/status`. The script and the users it names are followed while
it runs; what is wrong stays out, with file and line in the log.
"""

import mta.proxy
from mta import on

# Where nodes reach the proxy, and from where they may.
LISTEN = "127.0.0.1:1080"
NODES = ["127.0.0.1", "::1"]

# Lines as `cirrus proxy hash-password NAME` prints them, groups in the third column.
USERS = "users"

# The addresses of this host that mail leaves from, by the group of users that may use them. The
# first one is for clients that ask for none.
SOURCES = {
    "transactional": ["192.0.2.10", "2001:db8::10"],
    "newsletters": ["192.0.2.20", "192.0.2.21"],
}
# Mail goes to MX hosts at port 25, to the smart host of one partner at its own port, and nowhere
# else. "*" is every address but those of this host and of this link.
DESTINATIONS = ["*:25", "198.51.100.25:2600"]


@on("proxy_init")
def proxy_init():
    mta.proxy.start_proxy_listener(
        listen=LISTEN,
        allow_clients=NODES,
        users_file=USERS,
        rules=[
            {"groups": [group], "sources": sources, "destinations": DESTINATIONS}
            for group, sources in SOURCES.items()
        ],
        # One node that opens too many connections leaves room for the others.
        max_connections_per_client=2000,
    )
    # For this host only: whoever sees the sessions sees who writes to whom.
    mta.proxy.start_http_listener(listen="127.0.0.1:8009")
