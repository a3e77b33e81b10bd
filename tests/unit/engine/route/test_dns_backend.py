"""Answers from given zones, and from a name server."""

import asyncio

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

from engine.model.errors import ConfigurationError, DnsFailureError
from engine.route.dns_backend import AnswerKind, NameServerBackend, ZoneBackend
from engine.route.resolver_options import ResolverOptions

ZONE = """
$ORIGIN example.com.
@ 600 MX 10 mx1
mx1 A 127.0.0.1
mx1 A 127.0.0.2
www CNAME web
web CNAME mx1
loop1 CNAME loop2
loop2 CNAME loop1
out CNAME gone.example.net.
deep.sub A 127.0.0.3
*.wild MX 5 mx1
*.walias CNAME mx1
$ORIGIN other.test.
@ A 127.0.0.9
"""


async def ask(backend, name, rdtype):
    return await backend.ask(dns.name.from_text(name), rdtype)


@pytest.fixture
def zones():
    return ZoneBackend([ZONE], ["broken.test"])


async def test_finds_records_whatever_the_case(zones):
    answer = await ask(zones, "EXAMPLE.com", "MX")

    assert answer.kind is AnswerKind.FOUND
    assert answer.records[0].exchange.to_text() == "mx1.example.com."
    assert answer.ttl_s == 600


async def test_one_text_holds_several_zones(zones):
    assert (await ask(zones, "other.test", "A")).records[0].address == "127.0.0.9"


async def test_several_texts_add_up():
    zones = ZoneBackend(["$ORIGIN a.test.\n@ A 127.0.0.1", "$ORIGIN a.test.\n@ A 127.0.0.2"])

    assert len((await ask(zones, "a.test", "A")).records) == 2


async def test_follows_chains_of_aliases(zones):
    answer = await ask(zones, "www.example.com", "A")

    assert {record.address for record in answer.records} == {"127.0.0.1", "127.0.0.2"}
    assert answer.canonical.to_text() == "mx1.example.com."


async def test_an_alias_of_nothing_is_nothing(zones):
    assert (await ask(zones, "out.example.com", "A")).kind is AnswerKind.NO_NAME


async def test_aliases_in_a_circle_are_a_failure(zones):
    with pytest.raises(DnsFailureError):
        await ask(zones, "loop1.example.com", "A")


async def test_knows_absent_data_from_absent_names(zones):
    assert (await ask(zones, "mx1.example.com", "MX")).kind is AnswerKind.NO_DATA
    assert (await ask(zones, "sub.example.com", "A")).kind is AnswerKind.NO_DATA
    assert (await ask(zones, "nope.example.com", "A")).kind is AnswerKind.NO_NAME
    assert (await ask(zones, "elsewhere.test", "A")).kind is AnswerKind.NO_NAME


async def test_wildcards_answer_for_names_that_do_not_exist(zones):
    assert (await ask(zones, "a.wild.example.com", "MX")).kind is AnswerKind.FOUND
    assert (await ask(zones, "a.b.wild.example.com", "MX")).kind is AnswerKind.FOUND
    assert (await ask(zones, "x.walias.example.com", "A")).kind is AnswerKind.FOUND
    assert (await ask(zones, "wild.example.com", "MX")).kind is AnswerKind.NO_DATA


async def test_declared_failures_fail(zones):
    with pytest.raises(DnsFailureError, match="SERVFAIL"):
        await ask(zones, "broken.test", "MX")


async def test_what_is_below_a_declared_failure_fails_unless_a_zone_has_it():
    zones = ZoneBackend(["$ORIGIN mx.broken.test.\n@ 60 IN A 192.0.2.1\n"], ["broken.test"])

    with pytest.raises(DnsFailureError, match="SERVFAIL"):
        await ask(zones, "deep.in.broken.test", "A")
    assert (await ask(zones, "mx.broken.test", "A")).kind is AnswerKind.FOUND
    assert (await ask(zones, "notbroken.test", "A")).kind is AnswerKind.NO_NAME


async def test_each_zone_of_a_text_may_have_its_soa():
    zones = ZoneBackend(
        [
            "$ORIGIN a.test.\n$TTL 60\n"
            "@ IN SOA ns hostmaster (\n  1 7200 900\n  1209600 60 )\n"
            "@ IN NS ns\n@ IN MX 10 mx\n"
            "$ORIGIN b.test.\n@ SOA ns. h. 1 2 3 4 5\n@ MX 10 mx.a.test.\n"
        ]
    )

    assert [len((await ask(zones, name, "MX")).records) for name in ("a.test", "b.test")] == [1, 1]
    assert (await ask(zones, "a.test", "SOA")).records[0].serial == 1


def test_says_in_which_line_a_zone_is_wrong():
    with pytest.raises(ConfigurationError, match="line 3: unknown rdatatype 'mix'"):
        ZoneBackend(["\n$ORIGIN a.test.\n@ mix 10 mx\n@ A 127.0.0.1\n"])


@pytest.mark.parametrize(
    "text", ["$ORIGIN example.com.\n@ MX ten mx", "$INCLUDE /etc/passwd", "@ A 1.2.3"]
)
def test_refuses_what_is_no_zone(text):
    with pytest.raises(ConfigurationError):
        ZoneBackend([text])


def test_refuses_a_failing_name_that_is_no_name():
    with pytest.raises(ConfigurationError):
        ZoneBackend([], ["a..b"])


@pytest.mark.parametrize("text", ["localhost", "127.0.0.1:x", "127.0.0.1:99999", "[::1", ""])
def test_refuses_what_is_no_name_server(text):
    with pytest.raises(ConfigurationError):
        NameServerBackend([text], ResolverOptions())


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.1:5353", "::1", "[::1]:5353", "[::1]"])
def test_takes_name_servers_with_and_without_ports(text):
    NameServerBackend([text], ResolverOptions())


class ScriptedServer(asyncio.DatagramProtocol):
    """Answers by the first label of the name."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        name = query.question[0].name
        match name.labels[0]:
            case b"good":
                reply.answer.append(dns.rrset.from_text(name, 77, "IN", "A", "127.0.0.5"))
            case b"gone":
                reply.set_rcode(dns.rcode.NXDOMAIN)
            case b"broken":
                reply.set_rcode(dns.rcode.SERVFAIL)
            case b"silent":
                return
        self.transport.sendto(reply.to_wire(), peer)


@pytest.fixture
async def server():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(ScriptedServer, local_addr=("127.0.0.1", 0))
    yield NameServerBackend(
        [f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"], ResolverOptions(timeout_s=0.3)
    )
    transport.close()


@pytest.mark.real_time
async def test_a_name_server_answers(server):
    answer = await ask(server, "good.example", "A")

    assert (answer.kind, answer.records[0].address, answer.ttl_s) == (
        AnswerKind.FOUND,
        "127.0.0.5",
        77,
    )
    assert (await ask(server, "gone.example", "A")).kind is AnswerKind.NO_NAME
    assert (await ask(server, "empty.example", "A")).kind is AnswerKind.NO_DATA


@pytest.mark.real_time
@pytest.mark.parametrize("name", ["broken.example", "silent.example"])
async def test_a_name_server_that_cannot_say_is_a_temporary_failure(server, name):
    with pytest.raises(DnsFailureError) as caught:
        await ask(server, name, "A")

    assert caught.value.temporary
