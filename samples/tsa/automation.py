"""A traffic shaping daemon for a few nodes: who may talk to it, and whose rules it follows.

Run it with `cirrus tsa --policy automation.py`, and look at what it decides with
`curl http://127.0.0.1:8008/decisions`. Script and rules are followed while it runs; what is wrong
stays out, with file and line in the log.
"""

import mta.tsa
from mta import on

# Where decisions are kept: they outlive the daemon.
STATE = "/var/spool/cirrus/tsa"
# Where nodes reach it, and from where they may.
LISTEN = "127.0.0.1:8008"
NODES = ["127.0.0.1", "::1"]

# The same files, in the same order, as on the nodes: a file here is laid over those before it.
RULES = ["rules.toml"]

# True while somebody finds out what the automation did: the rules then decide nothing, and what
# they decided so far runs out.
SWITCHED_OFF = False


@on("tsa_init")
def tsa_init():
    mta.tsa.configure_state(path=STATE)
    # Whoever may publish records can have mail held or bounced: name the nodes and nobody else.
    mta.tsa.start_http_listener(listen=LISTEN, trusted_hosts=NODES)
    # An edit of the rules acts within this time.
    mta.tsa.set_refresh_interval("5s")
    if SWITCHED_OFF:
        mta.tsa.switch_off()


@on("load_shaping_data")
def load_shaping_data():
    return RULES
