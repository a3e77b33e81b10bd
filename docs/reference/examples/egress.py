"""One handler for each event of the egress proxy, as the reference shows them; a test runs them.

A script to begin with is samples/proxy/egress.py.
"""

import hashlib

import mta.proxy
from mta import on

# By user, the SHA-256 of a password long enough that it cannot be guessed.
DIGESTS = {"node-1": "9dca666eb54730714630d1519264a7bf1eeaad00b8f2edc90d3ecbfad928d163"}


@on("proxy_init")
def proxy_init():
    mta.proxy.start_proxy_listener(listen="192.0.2.1:1080", allow_clients=["192.0.2.0/24"])


@on("proxy_auth")
def proxy_auth(user, password, conn):
    if not conn.get_meta("received_from").startswith("192.0.2."):
        return False
    if DIGESTS.get(user) != hashlib.sha256(password.encode()).hexdigest():
        return False
    return {"identities": [user], "groups": ["nodes"]}
