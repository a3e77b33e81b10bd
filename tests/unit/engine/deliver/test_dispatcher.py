"""One outgoing session against hosts that do anything: every message ends exactly once."""

import asyncio
import contextlib
import errno
import socket

import pytest

from engine.deliver.dispatcher import SmtpDispatcher
from engine.model.disposition import Disposition
from engine.model.errors import SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.throttle_spec import parse_throttle
from engine.route.mx_plan import RouteHost
from tests.fakes.dispatch import DamagedStore, DispatchWorld, host
from tests.fakes.scripted_peer import CLOSE, RESET, SILENCE, Trickle, Wait, scripted_peer

HEARD = "250 2.0.0 taken"


@contextlib.asynccontextmanager
async def world_of(playbook=None, *, peer_options=None, **path):
    async with scripted_peer(playbook, **(peer_options or {})) as peer:
        yield DispatchWorld(hosts=[host(peer)], **path), peer


async def run(world):
    dispatcher = SmtpDispatcher(world, world.services)
    await dispatcher.run()
    return dispatcher


def lines_of(world):
    return world.lines


async def test_delivers_and_says_what_the_host_said():
    async with world_of() as (world, peer):
        message = world.add("b@y.test", "c@y.test")
        await run(world)

    assert lines_of(world) == ["b@y.test DELIVERED " + HEARD, "c@y.test DELIVERED " + HEARD]
    assert world.ends(message) == 1
    (mail,) = peer.mails
    assert (mail.sender, mail.recipients) == ("a@x.test", ["b@y.test", "c@y.test"])
    where = world.settled[0].where
    assert where.peer == ("mx.test", "127.0.0.1")
    assert where.delivery_protocol == "ESMTP"
    assert peer.said("QUIT")


async def test_a_message_is_taken_before_a_connection_is_opened():
    async with world_of() as (world, peer):
        await run(world)

    assert peer.connections == 0


# -- slow and silent hosts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "option", "extensions"),
    [
        ("banner", "banner_timeout", None),
        ("EHLO", "ehlo_timeout", None),
        ("AUTH", "auth_timeout", None),
        ("MAIL", "mail_from_timeout", ()),
        ("RCPT", "rcpt_to_timeout", ()),
        ("DATA", "data_timeout", ()),
        ("dot", "data_dot_timeout", ()),
        ("MAIL", "mail_from_timeout", None),
        ("RCPT", "rcpt_to_timeout", None),
        ("DATA", "data_timeout", None),
        ("dot", "data_dot_timeout", None),
    ],
)
@pytest.mark.parametrize(
    "answer", [SILENCE, Wait(3600), Trickle(b"250-still thinking\r\n", 30)], ids=type
)
async def test_a_slow_step_ends_at_its_time_as_a_deferral(step, option, extensions, answer):
    options = {} if extensions is None else {"extensions": extensions}
    others = {"smtp_auth_plain_username": "u", "smtp_auth_plain_password": {"key_data": "p"}}
    others["allow_smtp_auth_plain_without_tls"] = True
    async with world_of({step: answer}, peer_options=options, **{option: "70s"}, **others) as (
        world,
        peer,
    ):
        message = world.add()
        loop = asyncio.get_running_loop()
        started = loop.time()
        await run(world)
        took_s = loop.time() - started

    assert world.dispositions(message) == {"b@y.test": Disposition.DEFERRED}
    assert world.ends(message) == 1
    assert peer.mails == []
    assert 69 <= took_s < 80


async def test_a_slow_host_that_answers_in_time_is_waited_for():
    slow = {step: (Wait(200), "250 ok") for step in ("MAIL", "RCPT", "dot")}
    async with world_of({**slow, "DATA": (Wait(200), "354 go")}) as (world, _):
        world.add("b@y.test", "c@y.test")
        await run(world)

    assert [line.split()[1] for line in world.lines] == ["DELIVERED", "DELIVERED"]


async def test_progress_shows_while_a_long_transaction_goes_on():
    recipients = [f"r{number}@y.test" for number in range(10)]
    async with world_of({"RCPT": (Wait(250), "250 ok")}) as (world, _):
        world.add(*recipients)
        dispatcher = SmtpDispatcher(world, world.services)
        task = asyncio.ensure_future(dispatcher.run())
        worst = 0.0
        while not task.done():
            await asyncio.sleep(10)
            worst = max(worst, world.services.clock.mono() - dispatcher.progress_mono)

    assert world.path.watchdog_s == 600
    assert worst < 300
    assert len(world.lines) == 10


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("playbook", "expected"),
    [
        ({"MAIL": "550 5.7.1 not you"}, Disposition.FAILED),
        ({"MAIL": "451 4.3.0 later"}, Disposition.DEFERRED),
        ({"MAIL": "503 5.5.1 what"}, Disposition.DEFERRED),
        ({"MAIL": "354 what"}, Disposition.DEFERRED),
        ({"RCPT": "550 5.1.1 who"}, Disposition.FAILED),
        ({"RCPT": "450 4.2.1 later"}, Disposition.DEFERRED),
        ({"RCPT": "552 full"}, Disposition.DEFERRED),
        ({"RCPT": "552 5.2.2 full"}, Disposition.FAILED),
        ({"RCPT": "354 what"}, Disposition.DEFERRED),
        ({"DATA": "554 5.7.1 no"}, Disposition.FAILED),
        ({"DATA": "451 4.3.0 later"}, Disposition.DEFERRED),
        ({"DATA": "250 taken"}, Disposition.DEFERRED),
        ({"DATA": "399 what"}, Disposition.DEFERRED),
        ({"dot": "554 5.6.0 no"}, Disposition.FAILED),
        ({"dot": "450 4.6.0 later"}, Disposition.DEFERRED),
        ({"dot": "503 5.5.1 what"}, Disposition.DEFERRED),
        ({"dot": "354 more"}, Disposition.DEFERRED),
        ({"dot": "200 fine"}, Disposition.DELIVERED),
        ({"dot": "252 perhaps"}, Disposition.DELIVERED),
        ({"dot": b"what is this\r\n"}, Disposition.DEFERRED),
        ({"dot": b"\x00" * 9000}, Disposition.DEFERRED),
    ],
    ids=str,
)
@pytest.mark.parametrize("pipelining", [True, False])
async def test_each_refusal_means_what_it_says(playbook, expected, pipelining):
    async with world_of(playbook, enable_pipelining=pipelining) as (world, _):
        message = world.add()
        await run(world)

    assert world.dispositions(message) == {"b@y.test": expected}
    assert world.ends(message) == 1


async def test_each_recipient_gets_its_own_verdict():
    async with world_of({"RCPT": ["250 ok", "550 5.1.1 who", "450 4.2.1 later"]}) as (world, _):
        message = world.add("a@y.test", "b@y.test", "c@y.test")
        await run(world)

    assert world.dispositions(message) == {
        "a@y.test": Disposition.DELIVERED,
        "b@y.test": Disposition.FAILED,
        "c@y.test": Disposition.DEFERRED,
    }
    assert message.recipients == ["c@y.test"]


@pytest.mark.parametrize(
    ("step", "refusal"), [("MAIL", "550 5.7.1 no"), ("RCPT", "550 5.1.1 no"), ("DATA", "554 no")]
)
async def test_the_session_goes_on_after_a_refusal(step, refusal):
    async with world_of({step: [refusal, {"DATA": "354 go"}.get(step, "250 ok")]}) as (world, peer):
        first, second = world.add(), world.add()
        await run(world)

    assert world.dispositions(first) == {"b@y.test": Disposition.FAILED}
    assert world.dispositions(second) == {"b@y.test": Disposition.DELIVERED}
    assert peer.connections == 1
    assert peer.said("RSET")


async def test_data_wanted_for_nobody_is_empty_and_the_session_goes_on():
    async with world_of({"RCPT": ["550 5.1.1 who", "250 ok"], "DATA": "354 go"}) as (world, peer):
        first, second = world.add(), world.add()
        await run(world)

    assert world.dispositions(first) == {"b@y.test": Disposition.FAILED}
    assert world.dispositions(second) == {"b@y.test": Disposition.DELIVERED}
    assert [mail.recipients for mail in peer.mails] == [["b@y.test"]]
    assert peer.connections == 1


async def test_a_reply_too_many_does_not_shift_the_others():
    async with world_of({"RCPT": b"250 ok\r\n250 ok\r\n"}) as (world, peer):
        message = world.add()
        await run(world)

    assert world.dispositions(message) == {"b@y.test": Disposition.DEFERRED}
    assert peer.mails == []


async def test_an_answer_to_data_that_was_not_sent_yet_delivers_nothing():
    async with world_of({"DATA": b"354 go\r\n250 taken\r\n", "dot": "554 5.6.0 no"}) as (world, _):
        message = world.add()
        await run(world)

    assert world.dispositions(message) == {"b@y.test": Disposition.DEFERRED}


@pytest.mark.parametrize("pipelining", [True, False])
async def test_replies_may_come_octet_by_octet(pipelining):
    playbook = {
        "RCPT": ["250-2.1.5 a\n250 2.1.5 b", "550-5.1.1 who\n550 5.1.1 is that", "250 ok"],
        "dot": ["250 2.0.0 taken", "451-4.3.0 not\n451 4.3.0 now"],
    }
    options = {"by_octet": True}
    async with world_of(playbook, peer_options=options, enable_pipelining=pipelining) as (world, _):
        world.add("a@y.test", "b@y.test")
        world.add("c@y.test")
        await run(world)

    assert world.lines == [
        "b@y.test FAILED 550 5.1.1 who is that",
        "a@y.test DELIVERED 250 2.0.0 taken",
        "c@y.test DEFERRED 451 4.3.0 not now",
    ]


# -- 421 and lost connections ---------------------------------------------------------------------


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "dot"])
@pytest.mark.parametrize("ending", [("421 4.3.2 closing", CLOSE), CLOSE, RESET], ids=str)
@pytest.mark.parametrize("pipelining", [True, False])
async def test_the_end_of_a_connection_hurts_one_message_once(step, ending, pipelining):
    usual = {"DATA": "354 go", "dot": HEARD}.get(step, "250 ok")
    async with world_of({step: [ending, usual]}, enable_pipelining=pipelining) as (world, peer):
        first, second = world.add(), world.add()
        await run(world)

    assert world.dispositions(first) == {"b@y.test": Disposition.DEFERRED}
    assert world.ends(first) == 1
    assert list(world.messages) == [second] or world.ends(second) == 1
    assert peer.mails == []


async def test_a_421_for_one_recipient_leaves_the_verdicts_of_the_others():
    playbook = {"RCPT": ["250 ok", "550 5.1.1 who", ("421 4.3.2 bye", CLOSE)]}
    async with world_of(playbook) as (world, _):
        message = world.add("a@y.test", "b@y.test", "c@y.test", "d@y.test")
        await run(world)

    assert world.lines == [
        "b@y.test FAILED 550 5.1.1 who",
        "c@y.test DEFERRED 421 4.3.2 bye",
        "a@y.test DEFERRED 421 4.3.2 bye",
        "d@y.test DEFERRED 421 4.3.2 bye",
    ]
    assert message.recipients == ["a@y.test", "c@y.test", "d@y.test"]


async def test_the_next_message_goes_to_the_next_host_after_a_421():
    async with scripted_peer({"MAIL": ("421 4.3.2 bye", CLOSE)}) as bad, scripted_peer() as good:
        world = DispatchWorld(hosts=[host(bad, "bad.test"), host(good, "good.test", 1)])
        first, second = world.add(), world.add()
        await run(world)

    assert world.dispositions(first) == {"b@y.test": Disposition.DEFERRED}
    assert world.dispositions(second) == {"b@y.test": Disposition.DELIVERED}


@pytest.mark.parametrize(
    ("strategy", "connections"),
    [("TerminateSession", (1, 0)), ("ReconnectSameHost", (3, 0)), ("ConnectNextHost", (1, 1))],
)
async def test_the_strategy_says_what_follows_a_lost_connection(strategy, connections):
    async with scripted_peer({"MAIL": ("421 4.3.2 bye", CLOSE)}) as bad, scripted_peer() as good:
        hosts = [host(bad, "bad.test"), host(good, "good.test", 1)]
        world = DispatchWorld(hosts=hosts, reconnect_strategy=strategy)
        for _ in range(3):
            world.add()
        await run(world)

    assert (bad.connections, good.connections) == connections


async def test_the_same_message_may_go_to_the_next_host_at_once():
    async with scripted_peer({"dot": ("421 4.3.2 bye", CLOSE)}) as bad, scripted_peer() as good:
        world = DispatchWorld(
            hosts=[host(bad, "bad.test"), host(good, "good.test", 1)],
            try_next_host_on_transport_error=True,
        )
        message = world.add()
        await run(world)

    assert [line.split()[1] for line in world.lines] == ["DEFERRED", "DELIVERED"]
    assert world.ends(message) == 1


async def test_trying_the_next_host_ends_with_the_hosts():
    playbook = {"MAIL": ("421 4.3.2 bye", CLOSE)}
    async with scripted_peer(playbook) as one, scripted_peer(playbook) as two:
        world = DispatchWorld(
            hosts=[host(one), host(two, pref=1)],
            try_next_host_on_transport_error=True,
            reconnect_strategy="ReconnectSameHost",
        )
        message = world.add()
        await run(world)

    assert (one.connections, two.connections) == (1, 1)
    assert world.ends(message) == 1


# -- kept connections -----------------------------------------------------------------------------


async def test_messages_share_a_connection_with_rset_between_them():
    async with world_of() as (world, peer):
        for _ in range(3):
            world.add()
        await run(world)

    assert peer.connections == 1
    verbs = [line.split()[0] for line in peer.commands]
    assert verbs[1:] == ["MAIL", "RCPT", "DATA", *["RSET", "MAIL", "RCPT", "DATA"] * 2, "QUIT"]


async def test_no_rset_where_the_path_wants_none():
    async with world_of(enable_rset=False) as (world, peer):
        world.add()
        world.add()
        await run(world)

    assert not peer.said("RSET")
    assert len(peer.mails) == 2


async def test_a_session_ends_after_its_share_of_deliveries():
    async with world_of(max_deliveries_per_connection=2) as (world, peer):
        for _ in range(5):
            world.add()
        await run(world)

    assert len(peer.mails) == 2
    assert len(world.messages) == 3


async def test_an_idle_session_waits_its_time_and_takes_what_comes():
    async with world_of(idle_timeout="60s") as (world, peer):
        world.add()
        task = asyncio.ensure_future(run(world))
        await asyncio.sleep(50)
        world.add()
        await asyncio.sleep(50)
        assert not task.done()
        await asyncio.sleep(20)
        assert task.done()

    assert peer.connections == 1
    assert len(peer.mails) == 2


@pytest.mark.parametrize(
    "end", [CLOSE, RESET, ("421 4.4.2 idle too long", CLOSE), (b"noise", SILENCE)], ids=str
)
@pytest.mark.parametrize("step", ["dot", "RSET"])
@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_kept_connection_that_ends_costs_no_attempt(step, end, pipelining):
    parts = end if isinstance(end, tuple) else (end,)
    answer = (HEARD, *parts) if step == "dot" else parts
    async with world_of({step: [answer, HEARD]}, enable_pipelining=pipelining) as (world, peer):
        first = world.add()
        task = asyncio.ensure_future(run(world))
        if step == "dot":
            while len(world.settled) < 1:
                await asyncio.sleep(0.1)
        second = world.add()
        await task

    assert world.dispositions(first) == {"b@y.test": Disposition.DELIVERED}
    assert world.dispositions(second) == {"b@y.test": Disposition.DELIVERED}
    assert (len(world.lines), peer.connections, world.connect_failures) == (2, 2, 0)


@pytest.mark.parametrize("answer", ["502 5.5.1 no", "451 4.3.0 no", SILENCE], ids=str)
@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_refused_rset_moves_the_message_to_a_clean_connection(answer, pipelining):
    async with world_of({"RSET": answer}, enable_pipelining=pipelining) as (world, peer):
        for _ in range(3):
            world.add()
        await run(world)

    assert [line.split()[1] for line in world.lines] == ["DELIVERED"] * 3
    assert peer.connections == 3


async def test_silence_after_rset_is_about_the_message():
    async with world_of({"MAIL": ["250 ok", SILENCE]}) as (world, _):
        world.add()
        second = world.add()
        await run(world)

    assert world.dispositions(second) == {"b@y.test": Disposition.DEFERRED}


# -- many recipients ------------------------------------------------------------------------------


async def test_recipients_go_in_batches_over_one_connection():
    recipients = [f"r{number}@y.test" for number in range(5)]
    async with world_of(max_recipients_per_batch=2) as (world, peer):
        message = world.add(*recipients)
        await run(world)

    assert [mail.recipients for mail in peer.mails] == [
        recipients[:2],
        recipients[2:4],
        recipients[4:],
    ]
    assert world.ends(message) == 1
    assert set(world.dispositions(message).values()) == {Disposition.DELIVERED}


@pytest.mark.parametrize(
    "reply", ["452 4.5.3 too many", "552 5.5.3 too many", "452 many", "552 many"]
)
async def test_too_many_recipients_go_on_in_another_transaction(reply):
    async with world_of({"RCPT": ["250 ok", "250 ok", reply, reply, "250 ok"]}) as (world, peer):
        message = world.add("a@y.test", "b@y.test", "c@y.test", "d@y.test")
        await run(world)

    assert [mail.recipients for mail in peer.mails] == [
        ["a@y.test", "b@y.test"],
        ["c@y.test", "d@y.test"],
    ]
    assert [line.split()[1] for line in world.lines] == ["DELIVERED"] * 4
    assert peer.connections == 1
    assert world.ends(message) == 1


async def test_a_host_that_takes_one_at_a_time_gets_one_at_a_time():
    many = "452 4.5.3 one"
    async with world_of({"RCPT": ["250 ok", many, many, "250 ok", many, "250 ok"]}) as (
        world,
        peer,
    ):
        world.add("a@y.test", "b@y.test", "c@y.test")
        await run(world)

    assert [mail.recipients for mail in peer.mails] == [["a@y.test"], ["b@y.test"], ["c@y.test"]]


async def test_a_host_that_takes_nobody_is_not_asked_again_and_again():
    recipients = [f"r{number}@y.test" for number in range(50)]
    async with world_of({"RCPT": "452 4.5.3 none"}) as (world, peer):
        message = world.add(*recipients)
        await run(world)

    assert len(peer.said("RCPT")) == 50
    assert set(world.dispositions(message).values()) == {Disposition.DEFERRED}


async def test_who_was_not_reached_before_the_end_is_deferred_with_a_record():
    async with world_of({"dot": [HEARD, CLOSE]}, max_recipients_per_batch=1) as (world, _):
        message = world.add("a@y.test", "b@y.test", "c@y.test")
        await run(world)

    assert world.dispositions(message) == {
        "a@y.test": Disposition.DELIVERED,
        "b@y.test": Disposition.DEFERRED,
        "c@y.test": Disposition.DEFERRED,
    }
    assert message.recipients == ["b@y.test", "c@y.test"]


async def test_a_batch_on_a_dead_connection_goes_on_where_it_was():
    async with world_of({"RSET": ["250 ok", CLOSE, "250 ok"]}, max_recipients_per_batch=1) as (
        world,
        peer,
    ):
        message = world.add("a@y.test", "b@y.test", "c@y.test")
        await run(world)

    assert [mail.recipients for mail in peer.mails] == [["a@y.test"], ["b@y.test"], ["c@y.test"]]
    assert [line.split()[1] for line in world.lines] == ["DELIVERED"] * 3
    assert world.ends(message) == 1


# -- hosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "playbook",
    [
        {"banner": "554 5.3.2 no service"},
        {"banner": "421 4.3.2 busy"},
        {"banner": "250 odd"},
        {"banner": CLOSE},
        {"banner": RESET},
        {"banner": b"\xff\xfe\r\n"},
        {"banner": b"220-" + b"x" * 5000},
        {"EHLO": "502 5.5.1 what"},
        {"EHLO": "550 5.7.1 not you"},
        {"EHLO": CLOSE},
    ],
    ids=str,
)
async def test_a_host_that_does_not_greet_is_passed_over(playbook):
    async with scripted_peer(playbook) as bad, scripted_peer() as good:
        world = DispatchWorld(hosts=[host(bad, "bad.test"), host(good, "good.test", 1)])
        message = world.add()
        await run(world)

    assert world.dispositions(message) == {"b@y.test": Disposition.DELIVERED}
    assert len(world.lines) == 1
    assert len(good.mails) == 1


async def test_when_no_host_greets_the_message_in_hand_is_deferred_and_the_rest_waits():
    async with world_of({"banner": "554 5.3.2 no service"}) as (world, _):
        first, second = world.add(), world.add()
        await run(world)

    (line,) = world.lines
    assert line.startswith("b@y.test DEFERRED 451 4.4.1 failed to connect to any candidate hosts")
    assert "554 5.3.2 no service" in line
    assert world.ends(first) == 1
    assert list(world.messages) == [second]
    assert world.connect_failures == 1


async def test_the_text_of_many_hosts_stays_short():
    async with world_of({"banner": "554 " + "x" * 3000}) as (world, peer):
        world.route = type(world.route)("site", (host(peer),) * 20, is_null=False, domain="y.test")
        world.add()
        await run(world)

    assert len(world.lines[0]) < 4000


async def test_a_host_that_refuses_connections_is_passed_over():
    async with world_of() as (world, peer):
        closed = RouteHost(0, "closed.test", 1, ("127.0.0.1",))
        world.route = type(world.route)(
            "site", (closed, host(peer, pref=1)), is_null=False, domain="y"
        )
        message = world.add()
        await run(world)

    assert world.dispositions(message) == {"b@y.test": Disposition.DELIVERED}


@pytest.mark.parametrize(
    ("path", "reason", "disposition"),
    [
        ({"prohibited_hosts": ["127.0.0.0/8"]}, InsertReason.MX_WAS_PROHIBITED, "FAILED 550 5.4.4"),
        ({"skip_hosts": ["127.0.0.0/8"]}, InsertReason.MX_WAS_SKIPPED, "DEFERRED 451 4.4.4"),
    ],
)
async def test_a_route_that_may_not_be_taken_settles_the_whole_queue(path, reason, disposition):
    async with world_of(**path) as (world, peer):
        messages = [world.add() for _ in range(3)]
        await run(world)

    assert all(line.startswith(f"b@y.test {disposition}") for line in world.lines)
    assert [world.ends(message) for message in messages] == [1, 1, 1]
    assert all(message.context & reason for message in messages)
    assert peer.connections == 0


async def test_a_route_without_addresses_defers_the_whole_queue():
    world = DispatchWorld(hosts=[RouteHost(0, "gone.test")])
    messages = [world.add() for _ in range(2)]
    await run(world)

    assert [world.ends(message) for message in messages] == [1, 1]
    assert all("4.4.4" in line for line in world.lines)


async def test_a_source_that_is_not_on_this_machine_is_a_failed_connection():
    async with world_of() as (world, _):
        world.source = type(world.source)(name="s", source_address="192.0.2.1")
        message = world.add()
        await run(world)

    assert "the source address is not on this machine" in world.lines[0]
    assert world.ends(message) == 1


async def test_what_this_machine_lacks_costs_no_attempt(monkeypatch):
    def refuse(*_args):
        raise OSError(errno.EADDRNOTAVAIL, "no port is left")

    async with world_of() as (world, _):
        monkeypatch.setattr(socket.socket, "connect", refuse)
        messages = [world.add() for _ in range(3)]
        await run(world)

    assert world.settled == []
    assert [world.ends(message) for message in messages] == [1, 1, 1]
    assert {back.delay_s for back in world.given_back} == {None}
    assert world.connect_failures == 0


# -- rates ----------------------------------------------------------------------------------------


async def test_a_message_rate_that_is_soon_free_is_waited_for():
    async with world_of(max_message_rate="1/s", idle_timeout="5s") as (world, peer):
        for _ in range(4):
            world.add()
        started = asyncio.get_running_loop().time()
        await run(world)

    assert len(peer.mails) == 4
    assert asyncio.get_running_loop().time() - started >= 3


async def test_a_message_rate_that_takes_longer_gives_the_queue_back():
    async with world_of(max_message_rate="1/min", idle_timeout="5s") as (world, peer):
        messages = [world.add() for _ in range(3)]
        await run(world)

    assert len(peer.mails) == 1
    assert [world.ends(message) for message in messages] == [1, 1, 1]
    assert {back.reason for back in world.given_back} == {InsertReason.MESSAGE_RATE_THROTTLE}
    assert all(back.delay_s > 50 for back in world.given_back)


async def test_a_turn_of_one_rate_comes_back_when_another_refuses():
    rates = {"small": "1/min", "large": "100/min"}
    async with world_of(additional_message_rate_throttles=rates) as (world, _):
        world.add()
        world.add()
        await run(world)
        left = world.limiter.peek_nowait("small", parse_throttle("1/min")).remaining
        large = world.limiter.peek_nowait("large", parse_throttle("100/min")).remaining

    assert left == 0
    assert large == 99


async def test_a_turn_comes_back_when_the_connection_proves_dead():
    async with world_of({"RSET": ["421 4.4.2 idle"]}, max_message_rate="100/h") as (world, _):
        world.add()
        world.add()
        await run(world)
        key = f"max_message_rate.{world.name}"
        left = world.limiter.peek_nowait(key, parse_throttle("100/h")).remaining

    assert len(world.lines) == 2
    assert left == 98


async def test_a_connection_rate_that_takes_longer_gives_the_queue_back():
    path = {"max_connection_rate": "1/h", "max_deliveries_per_connection": 1}
    async with world_of(**path) as (world, peer):
        messages = [world.add() for _ in range(3)]
        await run(world)
        await run(world)

    assert peer.connections == 1
    assert [world.ends(message) for message in messages] == [1, 1, 1]
    assert {back.reason for back in world.given_back} == {InsertReason.CONNECTION_RATE_THROTTLE}


# -- cancellation and defects ---------------------------------------------------------------------


async def cancelled_at(world, *, after_s):
    task = asyncio.ensure_future(SmtpDispatcher(world, world.services).run())
    await asyncio.sleep(after_s)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled() or task.done()


@pytest.mark.parametrize("step", ["banner", "EHLO", "MAIL", "RCPT", "DATA", "dot"])
async def test_a_cancellation_gives_the_message_back_once(step):
    async with world_of({step: SILENCE}) as (world, _):
        message = world.add("b@y.test", "c@y.test")
        await cancelled_at(world, after_s=10)

    assert world.ends(message) == 1
    assert world.given_back[0].recipients == ["b@y.test", "c@y.test"]
    assert world.settled == []


async def test_a_session_ended_for_no_progress_defers_its_message():
    async with world_of({"dot": [HEARD, SILENCE]}, max_recipients_per_batch=1) as (world, _):
        message = world.add("a@y.test", "b@y.test")
        dispatcher = SmtpDispatcher(world, world.services)
        task = asyncio.ensure_future(dispatcher.run())
        await asyncio.sleep(10)
        dispatcher.is_stuck = True
        task.cancel()
        await asyncio.wait([task])

    assert world.ends(message) == 1
    assert world.given_back == []
    assert world.dispositions(message) == {
        "a@y.test": Disposition.DELIVERED,
        "b@y.test": Disposition.DEFERRED,
    }
    assert "came no further" in world.lines[-1]


async def test_a_cancellation_at_any_moment_ends_each_message_once():
    for moment in range(60):
        async with world_of(max_message_rate="2/s", idle_timeout="2s") as (world, peer):
            messages = [world.add() for _ in range(3)]
            task = asyncio.ensure_future(SmtpDispatcher(world, world.services).run())
            for _ in range(moment):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            ends = [world.ends(message) for message in messages]
            waiting = [message in world.messages for message in messages]
            assert [end + wait for end, wait in zip(ends, waiting, strict=True)] == [1, 1, 1]


async def test_who_got_the_message_is_not_given_back_with_the_others():
    async with world_of({"dot": [HEARD, SILENCE]}, max_recipients_per_batch=1) as (world, _):
        message = world.add("a@y.test", "b@y.test", "c@y.test")
        await cancelled_at(world, after_s=10)

    assert world.given_back[0].recipients == ["b@y.test", "c@y.test"]
    assert world.dispositions(message) == {"a@y.test": Disposition.DELIVERED}


async def test_an_lmtp_recipient_that_was_answered_is_not_given_back():
    options = {"lmtp": True}
    async with world_of({"dot": [HEARD, SILENCE]}, peer_options=options, use_lmtp=True) as (
        world,
        _,
    ):
        world.add("a@y.test", "b@y.test")
        await cancelled_at(world, after_s=10)

    assert world.given_back[0].recipients == ["b@y.test"]
    assert world.lines == ["a@y.test DELIVERED " + HEARD]


async def test_a_cancellation_in_the_settlement_leaves_the_message_to_it():
    async with world_of({"dot": "451 4.3.0 later"}) as (world, _):
        world.settle_gate = asyncio.Event()
        message = world.add()
        await cancelled_at(world, after_s=10)

    assert world.ends(message) == 1
    assert world.given_back == []


async def test_a_defect_after_the_reply_does_not_send_to_those_who_have_the_message():
    async def stumble(*_args):
        raise RuntimeError("defect")

    async with world_of({"RCPT": ["250 ok", "450 4.2.1 later"]}) as (world, _):
        world.runtime.rewrite = stumble
        message = world.add("a@y.test", "b@y.test")
        await run(world)

    assert world.dispositions(message) == {
        "a@y.test": Disposition.DELIVERED,
        "b@y.test": Disposition.DEFERRED,
    }
    assert world.ends(message) == 1


async def test_nothing_is_said_into_the_middle_of_a_message_at_the_end():
    async with world_of({"dot": SILENCE}) as (world, peer):
        world.add()
        await cancelled_at(world, after_s=10)

    assert not peer.said("QUIT")


@pytest.mark.parametrize("error", [RuntimeError("defect"), SpoolUnavailableError("gone")], ids=str)
async def test_what_was_delivered_is_not_sent_again_when_settlement_fails(error):
    async with world_of({"RCPT": ["250 ok", "450 4.2.1 later"]}) as (world, _):
        world.settle_error = error
        message = world.add("a@y.test", "b@y.test")
        await run(world)

    assert world.ends(message) == 1
    assert message.recipients == ["b@y.test"]


async def test_a_wholly_delivered_message_whose_settlement_fails_is_let_go():
    async with world_of() as (world, _):
        world.settle_error = RuntimeError("defect")
        message = world.add()
        await run(world)

    assert world.ends(message) == 0
    assert message.recipients == []


async def test_a_spool_that_cannot_be_read_gives_the_message_back():
    class Gone(type(DispatchWorld().store)):
        def load_body(self, body_id):
            raise SpoolUnavailableError("gone")

    async with world_of() as (world, peer):
        world.services.store = Gone(world.services.clock.wall_of)
        message = world.add()
        message.data = None
        await run(world)

    assert [back.reason for back in world.given_back] == [InsertReason.SPOOL_UNHEALTHY]
    assert peer.connections == 0


async def test_a_damaged_message_is_dropped_and_the_next_one_goes():
    async with world_of() as (world, _):
        world.services.store = DamagedStore(world.services.clock.wall_of)
        damaged, sound = world.add(), world.add()
        damaged.data = None
        await run(world)

    assert world.damaged == [damaged]
    assert world.dispositions(sound) == {"b@y.test": Disposition.DELIVERED}


async def test_a_queue_that_stops_ends_the_session_after_the_message_in_hand():
    async with world_of({"dot": (Wait(5), HEARD)}) as (world, peer):
        world.add()
        world.add()
        task = asyncio.ensure_future(run(world))
        await asyncio.sleep(1)
        world.is_open = False
        await task

    assert len(peer.mails) == 1
    assert len(world.messages) == 1


# -- the script's word ----------------------------------------------------------------------------


async def test_the_script_may_change_a_code_before_it_is_judged():
    async def soften(response, *_where):
        return 450 if "5.1.1" in response else None

    async with world_of({"RCPT": ["550 5.1.1 who", "550 5.7.1 no"]}) as (world, _):
        world.runtime.rewrite = soften
        message = world.add("a@y.test", "b@y.test")
        await run(world)

    assert world.dispositions(message) == {
        "a@y.test": Disposition.DEFERRED,
        "b@y.test": Disposition.FAILED,
    }
    assert "(status rewritten from 550 to 450)" in world.lines[0]


async def test_a_delivery_survives_a_cancellation_while_the_script_thinks():
    async def think(*_args):
        await asyncio.get_running_loop().create_future()

    async with world_of({"RCPT": ["250 ok", "550 5.1.1 who"]}) as (world, _):
        world.runtime.rewrite = think
        message = world.add("a@y.test", "b@y.test")
        await cancelled_at(world, after_s=10)

    assert world.dispositions(message)["a@y.test"] is Disposition.DELIVERED
    assert world.ends(message) == 1
