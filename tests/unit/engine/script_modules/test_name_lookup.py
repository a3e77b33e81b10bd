"""Look-ups of scripts, through the resolver of the node."""

from __future__ import annotations

import pytest

from policy.errors import HookFailedError
from tests.fakes.script_world import script_world

ZONES = [
    """
    $ORIGIN example.com.
    @ 600 MX 20 b.mx
    @ 600 MX 10 a1.mx
    @ 600 MX 10 a2.mx
    @ TXT "v=spf1 " "-all"
    @ TXT "other"
    a1.mx A 127.0.0.1
    a1.mx AAAA ::1
    plain A 127.0.0.3
    null MX 0 .
    text A 127.0.0.4
    """,
    """
    $ORIGIN list.test.
    9.0.0.127 A 127.0.0.2
    9.0.0.127 TXT "seen sending"
    8.0.0.127 A 127.0.0.3
    """,
    "9.0.0.127.in-addr.arpa. PTR Mail.Example.com.",
]


@pytest.fixture
async def world(tmp_path):
    async with script_world(tmp_path, ZONES) as made:
        yield made


async def test_addresses_come_in_the_order_of_the_strategy(world):
    assert await world.ask("""
        name = "a1.mx.example.com"
        return [
            await mta.dns.lookup_addr(name),
            await mta.dns.lookup_addr(name, strategy="Ipv6Only"),
            await mta.dns.lookup_addr("127.0.0.7"),
        ]
    """) == [["127.0.0.1", "::1"], ["::1"], ["127.0.0.7"]]


async def test_mx_says_who_takes_mail_and_in_which_order(world):
    assert await world.ask("return await mta.dns.lookup_mx('EXAMPLE.com.')") == {
        "domain_name": "example.com",
        "hosts": ["a1.mx.example.com", "a2.mx.example.com", "b.mx.example.com"],
        "site_name": "(a1|a2|b).mx.example.com",
        "by_pref": {10: ["a1.mx.example.com", "a2.mx.example.com"], 20: ["b.mx.example.com"]},
        "is_domain_literal": False,
        "is_mx": True,
    }


@pytest.mark.parametrize(
    ("domain", "hosts", "is_mx", "is_literal"),
    [
        ("plain.example.com", ["plain.example.com"], False, False),
        ("null.example.com", [], True, False),
        ("[127.0.0.1]", ["127.0.0.1"], False, True),
        ("[IPv6:::1]", ["::1"], False, True),
    ],
)
async def test_mx_of_domains_without_hosts_of_their_own(world, domain, hosts, is_mx, is_literal):
    found = await world.ask("return await mta.dns.lookup_mx(given)", domain)

    assert (found["hosts"], found["is_mx"], found["is_domain_literal"]) == (
        hosts,
        is_mx,
        is_literal,
    )


async def test_the_parts_of_a_text_are_joined(world):
    texts = await world.ask("return await mta.dns.lookup_txt('example.com')")

    assert sorted(texts) == ["other", "v=spf1 -all"]


async def test_a_name_without_texts_has_none(world):
    assert await world.ask("return await mta.dns.lookup_txt('text.example.com')") == []


async def test_an_address_leads_to_its_names(world):
    assert await world.ask("return await mta.dns.lookup_ptr('127.0.0.9')") == ["mail.example.com"]


@pytest.mark.parametrize(
    ("ip", "answer"),
    [
        ("127.0.0.9", ("127.0.0.2", "seen sending")),
        ("127.0.0.9:2525", ("127.0.0.2", "seen sending")),
        ("127.0.0.8", ("127.0.0.3", None)),
        ("127.0.0.7", (None, None)),
    ],
)
async def test_a_list_of_hosts_says_code_and_reason(world, ip, answer):
    assert await world.ask("return await mta.dns.rbl_lookup(given, 'list.test')", ip) == answer


async def test_names_of_addresses_are_made_without_waiting(world):
    world.load_body("return [mta.dns.ptr_host(given), mta.dns.reverse_ip('[::1]:25')]", kind="def")

    assert world.runtime.fire_nowait("ask", "127.0.0.9") == [
        "9.0.0.127.in-addr.arpa",
        "1." + "0." * 30 + "0",
    ]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("lookup_mx('gone.test')", "LookupError"),
        ("lookup_addr('gone.test')", "LookupError"),
        ("lookup_txt('gone.test')", "LookupError"),
        ("lookup_ptr('127.0.0.1')", "LookupError"),
        ("lookup_mx('bad.test')", "OSError"),
        ("lookup_txt('bad.test')", "OSError"),
        ("lookup_addr(5)", "TypeError"),
        ("lookup_ptr('nonsense')", "ValueError"),
        ("lookup_mx('a..b')", "ValueError"),
        ("lookup_addr('x.test', strategy='Ipv9')", "ValueError"),
        ("rbl_lookup('127.0.0.1', 'a b')", "ValueError"),
    ],
)
async def test_what_fails_is_an_error_that_a_script_can_catch(world, call, kind):
    answer = await world.ask(f"""
        try:
            await mta.dns.{call}
        except {kind} as error:
            return "caught"
    """)

    assert answer == "caught"


async def test_an_error_that_is_not_caught_names_the_line(world):
    with pytest.raises(HookFailedError, match=r"init.py:6: LookupError: .*gone.test"):
        await world.ask("await mta.dns.lookup_mx('gone.test')")


async def test_in_a_def_handler_it_is_an_error_with_its_line(world):
    world.load_body("mta.dns.lookup_mx('example.com')", kind="def")

    with pytest.raises(HookFailedError, match=r"init.py:6: .*mta.dns.lookup_mx\(\) waits"):
        world.runtime.fire_nowait("ask", None)


async def test_without_await_it_is_an_error_with_its_line(world):
    with pytest.raises(HookFailedError, match=r"init.py:6: .*must be awaited"):
        await world.ask("mta.dns.lookup_mx('example.com')")


async def test_a_new_resolver_of_the_node_is_asked_at_once(world):
    await world.ask("return await mta.dns.lookup_addr('plain.example.com')")
    world.resolver = type(world.resolver)(
        clock=world.clock.mono, zones=["plain.example.com. A 127.0.0.99"]
    )

    assert await world.again() == ["127.0.0.99"]
