"""The daemon as a whole, in this process: what it brings up, follows, forgets and keeps."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

import aiohttp
import pytest

from engine.base.clock import Clock
from engine.model.cidr import CidrSet
from tests.fakes.tsa_world import NOON, record_line, rule_text
from tsa.app import Tsa
from tsa.errors import ConfigurationError, StoreUnavailableError
from tsa.settings import TsaListener, TsaSettings

pytestmark = pytest.mark.real_time
ANYWHERE = TsaListener(("127.0.0.1", 0))
SCRIPT = """\
import mta.tsa
from mta import on


@on("tsa_init")
def tsa_init():
    mta.tsa.configure_state(path="state")
    mta.tsa.start_http_listener(listen="127.0.0.1:0")


@on("load_shaping_data")
def load_shaping_data():
    return ["rules.toml"]
"""
OVERRIDE = '{SetConfig={name="connection_limit", value=2}}'


class World:
    """A folder with rules, and daemons that run on them at the time the test says."""

    def __init__(self, folder):
        self.folder = folder
        self.now = NOON
        self.rules = folder / "rules.toml"
        self.policy = folder / "policy.py"
        self.rules.write_text(rule_text('"Bounce"'))

    @contextlib.asynccontextmanager
    async def running(self, *, script=None, listeners=(ANYWHERE,)):
        clock = Clock(wall=lambda: self.now)
        if script is not None:
            self.policy.write_text(script)
            tsa = Tsa(script=self.policy, clock=clock)
        else:
            settings = TsaSettings(listeners, (str(self.rules),), self.folder / "state")
            tsa = Tsa(settings, clock=clock)
        await tsa.start()
        try:
            yield tsa
        finally:
            await tsa.stop()
        assert tsa.supervisor.defects == 0

    def edit(self, tsa, text):
        """Give the daemon another script, as its watcher would."""
        self.policy.write_text(text)
        return tsa.script.runtime.reload_if_changed()

    async def see(self, tsa, count=1, domain="big.example", **fields):
        lines = [record_line(self.now, queue=domain, **fields) for _ in range(count)]
        assert await tsa.intake.take(lines) == []


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def domains(tsa):
    return sorted(one["scope"].get("domain", "") for one in tsa.publication.decisions())


def metric(tsa, name):
    text = "".join(tsa.metrics.iter_text())
    return {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in text.splitlines()}[name]


# -- start and end


async def test_it_listens_where_it_is_told_and_answers(world):
    async with (
        world.running(listeners=(ANYWHERE, TsaListener(("::1", 0)))) as tsa,
        aiohttp.ClientSession() as session,
    ):
        for host, (_, service) in zip(("127.0.0.1", "[::1]"), tsa.services, strict=True):
            async with session.get(f"http://{host}:{service.port}/tsa/status") as answer:
                assert (answer.status, await answer.text()) == (200, "OK")


async def test_it_speaks_tls_where_it_is_told(world):
    listener = TsaListener(("127.0.0.1", 0), use_tls=True)
    async with world.running(listeners=(listener,)) as tsa, aiohttp.ClientSession() as session:
        ((_, service),) = tsa.services
        async with session.get(f"https://127.0.0.1:{service.port}/decisions", ssl=False) as answer:
            assert (answer.status, await answer.json()) == (200, [])


async def test_a_port_in_use_ends_the_start_with_its_name(world):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}: Address already in use"):
            async with world.running(listeners=(TsaListener(("127.0.0.1", port)),)):
                pass


async def test_a_certificate_that_is_not_there_ends_the_start_with_its_reason(world):
    listener = TsaListener(("127.0.0.1", 0), use_tls=True, tls_certificate="/nowhere/tls.pem")

    with pytest.raises(ConfigurationError, match=r"/nowhere/tls\.pem"):
        async with world.running(listeners=(listener,)):
            pass


async def test_rules_with_errors_end_the_start_with_file_and_line(world):
    world.rules.write_text(rule_text('"Suspnd"'))

    with pytest.raises(ConfigurationError, match=r"rules\.toml:3: error"):
        async with world.running():
            pass


@pytest.mark.slow
async def test_a_second_daemon_does_not_take_the_state_of_the_first(world):
    async with world.running():
        with pytest.raises(ConfigurationError, match="locked"):
            async with world.running():
                pass


async def test_what_was_decided_and_counted_is_there_after_a_restart(world):
    world.rules.write_text(
        rule_text('"Bounce"') + rule_text('"SuspendTenant"', trigger='{Threshold="3/hour"}')
    )
    async with world.running() as tsa:
        await world.see(tsa, 2, "acme@a.example")

    async with world.running() as tsa:
        assert domains(tsa) == ["a.example"]
        await world.see(tsa, 1, "acme@a.example")
        assert domains(tsa) == ["a.example", "a.example"]


async def test_what_rules_counted_that_are_gone_is_left_out_after_a_restart(world):
    world.rules.write_text(rule_text('"Bounce"', trigger='{Threshold="3/hour"}'))
    async with world.running() as tsa:
        await world.see(tsa, 2)
    world.rules.write_text(rule_text('"Bounce"', trigger='{Threshold="4/hour"}'))

    async with world.running() as tsa:
        await world.see(tsa, 3)
        assert domains(tsa) == []
        await world.see(tsa)
        assert domains(tsa) == ["big.example"]


async def test_an_end_with_a_full_disk_is_an_end_all_the_same(world, caplog):
    async with world.running() as tsa:

        def fail(_batch):
            raise StoreUnavailableError("full")

        tsa.store.save = fail
        with pytest.raises(StoreUnavailableError):
            await tsa.intake.take([record_line(world.now)])

    assert "not told they are safe" in caplog.text


# -- rules and script


async def test_rules_are_followed_by_content(world, caplog):
    caplog.set_level(logging.INFO, "cirrus.tsa")
    async with world.running() as tsa:
        await tsa.refresh()
        await tsa.refresh()
        assert "rules loaded anew" not in caplog.text

        world.rules.write_text(rule_text('"Bounce"', regex="gone"))
        await tsa.refresh()
        await world.see(tsa, domain="a.example")
        await world.see(tsa, domain="b.example", reply="550 gone")
        assert domains(tsa) == ["b.example"]
        assert metric(tsa, 'tsa_rule_reloads{outcome="loaded"}') == "1"


async def test_what_is_wrong_is_said_once_and_again_when_it_changes(world, caplog):
    async with world.running() as tsa:
        world.rules.write_text("[broken")
        for _ in range(3):
            await tsa.refresh()
        assert caplog.text.count("rules.toml:1: error") == 1
        assert caplog.text.count("the last good rules stay") == 1
        assert metric(tsa, "tsa_rules_failing") == "1"

        world.rules.write_text("\n[broken")
        await tsa.refresh()
        assert caplog.text.count("rules.toml:2: error") == 1

        world.rules.write_text(rule_text('"Bounce"'))
        await tsa.refresh()
        assert metric(tsa, "tsa_rules_failing") == "0"
        await world.see(tsa)
        assert domains(tsa) == ["big.example"]


async def test_other_files_are_taken_when_the_script_names_them(world):
    (world.folder / "more.toml").write_text(rule_text('"Bounce"', regex="gone"))
    async with world.running(script=SCRIPT) as tsa:
        world.edit(tsa, SCRIPT.replace('["rules.toml"]', '["rules.toml", "more.toml"]'))
        await tsa.refresh()
        await world.see(tsa, domain="b.example", reply="550 gone")

        assert domains(tsa) == ["b.example"]


async def test_names_may_change_without_an_edit_of_the_script(world):
    (world.folder / "more.toml").write_text(rule_text('"Bounce"', regex="gone"))
    # It is asked by the check of the script, by the start, then at each look.
    script = SCRIPT.replace(
        'return ["rules.toml"]',
        'asked.append(1)\n    return ["rules.toml", "more.toml"][: len(asked) // 2]',
    ).replace("from mta import on\n", "from mta import on\nasked = [1]\n")
    async with world.running(script=script) as tsa:
        assert tsa.settings.shaping == (str(world.rules),)
        await tsa.refresh()
        await world.see(tsa, reply="550 gone")

        assert domains(tsa) == ["big.example"]


async def test_the_switch_counts_at_once_and_decisions_run_out(world):
    off = SCRIPT.replace("    mta.tsa.start", "    mta.tsa.switch_off()\n    mta.tsa.start")
    async with world.running(script=SCRIPT) as tsa:
        await world.see(tsa, domain="a.example")
        world.edit(tsa, off)
        await tsa.refresh()
        await world.see(tsa, domain="b.example")
        assert domains(tsa) == ["a.example"]

        world.edit(tsa, SCRIPT)
        await tsa.refresh()
        await world.see(tsa, domain="c.example")
        assert domains(tsa) == ["a.example", "c.example"]


async def test_a_listener_that_is_declared_as_before_stays_open(world):
    keyed = SCRIPT.replace(':0")', ':0", trusted_hosts=["127.0.0.1"], hostname="tsa.test")')
    async with world.running(script=keyed) as tsa, aiohttp.ClientSession() as session:
        ((_, service),) = tsa.services
        url = f"http://127.0.0.1:{service.port}/subscribe_event_v1"
        async with session.ws_connect(url) as socket_:
            await socket_.receive_json(timeout=5)
            world.edit(tsa, keyed + "\n# edited\n")
            await tsa.refresh()
            await world.see(tsa)
            frame = await socket_.receive_json(timeout=5)

    assert list(frame) == ["SchedQBounce"]


async def test_listeners_come_and_go_with_the_script(world):
    other = SCRIPT.replace("127.0.0.1:0", "[::1]:0")
    async with world.running(script=SCRIPT) as tsa:
        ((_, first),) = tsa.services
        port = first.port
        world.edit(tsa, other)
        await tsa.refresh()

        assert [listener.listen[0] for listener, _ in tsa.services] == ["::1"]
        with pytest.raises(OSError, match="refused|Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_listener_that_cannot_be_opened_is_tried_again(world, caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        more = f'    mta.tsa.start_http_listener(listen="127.0.0.1:{port}")\n\n\n@on("load'
        async with world.running(script=SCRIPT) as tsa:
            world.edit(tsa, SCRIPT.replace('\n\n@on("load', more))
            world.rules.write_text(rule_text('"Bounce"', regex="gone"))
            for _ in range(2):
                await tsa.refresh()
            assert caplog.text.count(f"cannot listen on 127.0.0.1:{port}") == 1
            await world.see(tsa, reply="550 gone")
            assert domains(tsa) == ["big.example"]

            taken.close()
            await tsa.refresh()
            assert [listener.listen[1] for listener, _ in tsa.services] == [0, port]


async def test_another_folder_for_decisions_is_said_to_want_a_restart(world, caplog):
    async with world.running(script=SCRIPT) as tsa:
        world.edit(tsa, SCRIPT.replace('"state"', '"elsewhere"'))
        await tsa.refresh()

    assert "counts from the next start" in caplog.text
    assert not (world.folder / "elsewhere").exists()


async def test_two_looks_at_once_open_no_listener_twice(world):
    more = '    mta.tsa.start_http_listener(listen="[::1]:0")\n\n\n@on("load'
    async with world.running(script=SCRIPT) as tsa:
        world.edit(tsa, SCRIPT.replace('\n\n@on("load', more))
        await asyncio.gather(tsa.refresh(), tsa.refresh())

        assert len(tsa.services) == 2


# -- time


async def test_what_expires_is_gone_and_an_override_that_ends_is_told(world):
    world.rules.write_text(rule_text(OVERRIDE))
    async with world.running() as tsa:
        await world.see(tsa)
        subscriber = tsa.publication.subscribe()
        assert subscriber is not None
        before = [await subscriber.next() for _ in range(2)][-1]
        assert "connection_limit" in tsa.publication.overlay()

        world.now += 3601
        await tsa.tick()

        after = await subscriber.next()
        assert "ShapingChanged" in after
        assert after != before
        assert "connection_limit" not in tsa.publication.overlay()
        assert tsa.store.in_force == {}


async def test_a_bounce_that_ends_is_told_to_nobody(world):
    async with world.running() as tsa:
        await world.see(tsa)
        subscriber = tsa.publication.subscribe()
        for _ in range(2):
            await subscriber.next()

        world.now += 3601
        await tsa.tick()

        assert domains(tsa) == []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await subscriber.next()


async def test_what_could_not_be_saved_is_saved_by_the_next_tick(world):
    async with world.running() as tsa:
        save = tsa.store.save

        def fail(_batch):
            raise StoreUnavailableError("full")

        tsa.store.save = fail
        with pytest.raises(StoreUnavailableError):
            await tsa.intake.take([record_line(world.now)])
        with pytest.raises(StoreUnavailableError):
            await tsa.tick()
        assert metric(tsa, "tsa_store_failing") == "1"

        tsa.store.save = save
        await tsa.tick()
        assert metric(tsa, "tsa_store_failing") == "0"
    async with world.running() as tsa:
        assert domains(tsa) == ["big.example"]


async def test_an_adjusted_value_comes_back_while_it_is_quiet(world):
    adjust = '{AdjustConfig={name="connection_limit", factor=0.5, floor=1, quiet="10m", step=0.25}}'
    world.rules.write_text("[default]\nconnection_limit = 16\n" + rule_text(adjust))
    async with world.running() as tsa:
        await world.see(tsa)
        assert tsa.publication.decisions() == [], "more records of that second may come"
        seen = []
        for wait_s in (4, 600, 600, 600):
            world.now += wait_s
            await tsa.tick()
            seen += [one["value"] for one in tsa.publication.decisions()]

    assert seen == [8, 12]


async def test_metrics_count_what_is_there(world):
    async with world.running() as tsa:
        await world.see(tsa, 3)
        await tsa.intake.take([b"{"])
        tsa.publication.subscribe()

        assert metric(tsa, "tsa_records_received") == "3"
        assert metric(tsa, "tsa_records_refused") == "1"
        assert metric(tsa, "tsa_records_waiting") == "0"
        assert metric(tsa, 'tsa_decisions{kind="SchedQBounce"}') == "1"
        assert metric(tsa, 'tsa_decisions{kind="ConfigOverride"}') == "0"
        assert metric(tsa, "tsa_subscribers") == "1"
        assert metric(tsa, "tsa_rules") == "1"


async def test_the_file_is_kept_as_far_back_as_the_longest_period(world):
    world.rules.write_text(
        rule_text(trigger='{Threshold="3/2h"}')
        + rule_text(trigger='{Proportion={over="10%", within="5h", at_least=10}}')
    )
    async with world.running() as tsa:
        assert tsa.intake.engine.longest_window_s == 5 * 3600


async def test_trusted_networks_are_those_of_the_listener(world):
    listener = TsaListener(("127.0.0.1", 0), trusted_hosts=CidrSet.parse(["192.0.2.0/24"]))
    async with world.running(listeners=(listener,)) as tsa, aiohttp.ClientSession() as session:
        ((_, service),) = tsa.services
        async with session.get(f"http://127.0.0.1:{service.port}/decisions") as answer:
            assert answer.status == 403
