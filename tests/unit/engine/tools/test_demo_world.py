"""The files and processes of the demonstration."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from engine.policy_check import check_policy
from engine.shaping_check import check_shaping
from engine.tools.demo_world import REPLIES, DemoFailedError, World, _unsignalled
from engine.tools.sink_rules import load_rules


@pytest.mark.parametrize("refused", [(), ("news.example",)])
def test_the_policy_of_the_demonstration_has_no_findings(tmp_path, refused):
    world = World(tmp_path, deadline_mono=0.0)

    world.write_shaping()
    world.write_policy(refused=refused)

    assert check_policy(world.policy) == []
    assert check_shaping([str(world.shaping)], with_dns=False) == []
    assert {path.name for path in tmp_path.iterdir()} == {"policy.py", "shaping.toml"}


def test_the_replies_of_the_demonstration_are_read(tmp_path):
    (tmp_path / "replies.toml").write_text(REPLIES)
    load_rules(tmp_path / "replies.toml")


def test_records_can_be_read_before_there_is_a_log(tmp_path):
    assert World(tmp_path, deadline_mono=0.0).read_records() == []


def test_a_world_that_does_not_come_up_ends_in_time(tmp_path):
    world = World(tmp_path, deadline_mono=time.monotonic())
    with pytest.raises(DemoFailedError, match="waited too long for the moon"):
        world.wait("the moon", lambda: False)


@pytest.mark.real_time
@pytest.mark.slow
def test_a_process_that_cannot_start_is_named_with_its_last_words(tmp_path):
    with World(tmp_path, deadline_mono=time.monotonic() + 20) as world:
        world._start("node", "engine", "--policy", str(tmp_path / "none.py"))

        with pytest.raises(DemoFailedError, match=r"did not come up: .*none\.py"):
            world.wait("the node", world.is_live, needs="node")


@pytest.mark.real_time
@pytest.mark.slow
def test_no_process_outlives_its_world(tmp_path):
    with World(tmp_path, deadline_mono=time.monotonic() + 20) as world:
        world.start_tsa()
        world.start_proxy()
        world.start_node()
        for name in ("tsa", "proxy"):
            world.await_listener(name)
        processes = dict(world._processes)

    assert {name: one.returncode for name, one in processes.items()} == {
        "node": 0,
        "tsa": 0,
        "proxy": 0,
    }


def test_what_a_process_counted_must_be_there(tmp_path):
    with pytest.raises(DemoFailedError, match="the sink did not say what it counted"):
        World(tmp_path, deadline_mono=0.0).sink_stats()


def test_ports_are_different_and_free(tmp_path):
    world = World(tmp_path, deadline_mono=0.0)
    ports = {world.sink_port, world.smtp_port, world.http_port, world.tsa_port}
    ports |= {world.proxy_port, world.proxy_http_port}

    assert len(ports) == 6
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_held_back_while_processes_are_started_or_ended(number):
    seen: list[int] = []
    before = signal.signal(number, lambda got, _frame: seen.append(got))
    try:
        with _unsignalled():
            signal.raise_signal(number)
            assert seen == []
        assert seen == [number]
    finally:
        signal.signal(number, before)
