"""SOCKS5 with programs of others: curl and netcat by our proxy, a node by Microsocks and Dante."""

from __future__ import annotations

import shutil

import pytest

from tests.fakes.redis_server import library_path
from tests.shapes.daemons import SHAPE, Node, Proxy, Sink, run_on
from tests.shapes.others import DANTE, MICROSOCKS, NETCAT, Dante, Microsocks, needs

pytestmark = SHAPE


#: Mail to dest.example leaves by a source that asks for no address, that to strict.example by one
#: that does.
SCRIPT = """\
import mta
from mta import on

PROXY = {"socks5_proxy_server": "192.0.2.21:1080"}
SOURCES = {
    "dest.example": PROXY,
    "strict.example": {**PROXY, "socks5_proxy_source_address": "198.51.100.12"},
}


@on("init")
def init():
    mta.define_spool(path="spool")
    mta.configure_local_logs(log_dir="logs", max_segment_duration="1s")
    mta.start_esmtp_listener(listen="127.0.0.1:2525", relay_hosts=["127.0.0.1"])
    mta.start_http_listener(listen="127.0.0.1:8000")


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(
        egress_pool=domain, protocol={"smtp": {"mx_list": ["198.51.100.31"]}}
    )


@on("get_egress_pool")
def get_egress_pool(name):
    return mta.make_egress_pool(name=name, entries=[{"name": name}])


@on("get_egress_source")
def get_egress_source(name):
    return mta.make_egress_source(name=name, **SOURCES.get(name, PROXY))


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    return mta.make_egress_path(enable_tls="Disabled", connect_timeout="5s")
"""


@pytest.fixture
def pair(world):
    """Return a host on the inside, one that is a gateway, and a receiving host on the outside."""
    client = world.add_host("client", "192.0.2.1/24")
    gateway = world.add_host("gateway", "192.0.2.21/24", "198.51.100.11/24", "198.51.100.12/24")
    sink = world.add(Sink, world.add_host("sink", "198.51.100.31/24"))
    return client, gateway, sink


MAIL = "Subject: hello\r\n\r\nhello\r\n"
DIALOGUE = (
    "EHLO nc.example\r\nMAIL FROM:<a@nc.example>\r\nRCPT TO:<nc@dest.example>\r\nDATA\r\n"
    f"{MAIL}.\r\nQUIT\r\n"
)


@needs(NETCAT)
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_curl_and_netcat_send_mail_through_our_proxy(world, pair):
    client, gateway, sink = pair
    proxy = world.add(
        Proxy,
        gateway,
        *("--allow-client", "192.0.2.0/24"),
        *("--allow-source", "198.51.100.12", "--allow-source", "198.51.100.11"),
    )
    world.start(sink, proxy)
    mail = world.folder / "mail.eml"
    mail.write_text(MAIL)
    curl = ["curl", "--silent", "--show-error", "--max-time", "10"]
    curl += ["-x", "socks5://192.0.2.21:1080", "smtp://198.51.100.31:25/curl.example"]
    curl += ["--mail-from", "a@curl.example", "--mail-rcpt", "curl@dest.example", "-T", str(mail)]

    done = run_on(client, *curl)
    assert done.returncode == 0, done.stderr
    lines = ["sh", "-c", 'printf "$1" | "$2" -N -X 5 -x 192.0.2.21:1080 198.51.100.31 25', "sh"]
    done = run_on(client, *lines, DIALOGUE, str(NETCAT), env={"LD_LIBRARY_PATH": library_path()})
    assert "250" in done.stdout, done.stderr

    taken = sink.wait_messages(2)
    assert [(one["recipients"], one["client"]) for one in taken] == [
        (["curl@dest.example"], "198.51.100.12"),
        (["nc@dest.example"], "198.51.100.12"),
    ]
    assert proxy.metric("proxy_connections_failed_total") == 0


@pytest.mark.parametrize(
    ("server", "shown", "why"),
    [
        # It does not say where it leaves from.
        pytest.param(
            Microsocks, "0.0.0.0", "it does not know the command", marks=needs(MICROSOCKS)
        ),
        # It knows BIND as the standard has it, which is not to be taken for ours.
        pytest.param(Dante, "198.51.100.11", "it gives 198.51.100.11", marks=needs(DANTE)),
    ],
)
def test_mail_passes_through_a_socks_server_of_others_when_no_source_is_asked_for(
    world, pair, server, shown, why
):
    client, gateway, sink = pair
    node = world.add(Node, client, SCRIPT)
    proxy = world.add(server, gateway)
    world.start(sink, proxy, node)

    node.send_each([f"to-{number}@dest.example" for number in range(10)])

    taken = sink.wait_messages(10)
    assert {one["client"] for one in taken} == {"198.51.100.11"}
    for record in node.wait_records("Delivery", 10):
        seen = record["source_address"]
        assert (seen["protocol"], seen["server"]) == ("socks5", "192.0.2.21:1080")
        assert seen["address"] == shown
    # What knows no source is not used where one was asked for.
    node.send("to@strict.example")
    (record,) = node.wait_records("TransientFailure", 1)
    assert f"does not give the source 198.51.100.12: {why}" in record["response"]["content"]
    assert len(sink.messages()) == 10
