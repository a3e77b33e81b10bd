"""One handler for each event of the automation, as the reference shows them; a test runs them.

A script to begin with is samples/tsa/automation.py.
"""

import mta.tsa
from mta import on


@on("tsa_init")
def tsa_init():
    mta.tsa.start_http_listener(listen="127.0.0.1:8008", trusted_hosts=["127.0.0.1"])
    mta.tsa.configure_state(path="/var/spool/cirrus/tsa")


@on("load_shaping_data")
def load_shaping_data():
    # Later files lie over earlier ones.
    return ["/etc/cirrus/shaping.toml", "https://shaping.example.com/receivers.toml"]
