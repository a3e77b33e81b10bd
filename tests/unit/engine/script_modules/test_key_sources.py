"""Secrets and where they come from; no message ever shows one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.base.key_source import SECRET_BYTES_MAX
from engine.model.errors import ConfigurationError
from engine.script_modules.key_sources import KeySources
from policy.errors import HookFailedError, PolicyLoadError


async def no_function(*_args):
    raise AssertionError


@pytest.fixture
def sources(tmp_path):
    return KeySources(lambda: tmp_path, no_function, {"TOKEN": "from-env", "EMPTY": ""})


@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_file_beside_the_policy_or_anywhere(sources, tmp_path, is_absolute):
    (tmp_path / "key").write_bytes(b"s3cret\n")

    assert sources.read(str(tmp_path / "key") if is_absolute else "key") == b"s3cret\n"


def test_inline_and_environment(sources):
    assert sources.read({"key_data": "s3cret"}) == sources.read({"key_data": b"s3cret"})
    assert sources.read({"env": "TOKEN"}) == b"from-env"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("gone", "gone: No such file"),
        ("", "Is a directory|no plain file"),
        ("\0", "not the name of a file"),
        (5, "wants the name of a file"),
        ({}, r"not \[\]"),
        ({"key_data": ""}, "not empty"),
        ({"key_data": 5}, "text or bytes"),
        ({"key_data": "x" * (SECRET_BYTES_MAX + 1)}, "more than"),
        ({"env": "EMPTY"}, "not empty"),
        ({"env": "GONE"}, "the environment has no GONE"),
        ({"env": 5}, "name of a variable"),
        ({"event_name": "x", "event_args": []}, "name the function instead"),
        ({"function": "x"}, "wants a function"),
        ({"key_data": "hunter2", "env": "x"}, r"not \['env', 'key_data'\]"),
        ({"vault_mount": "m"}, "not \\["),
        ({"vault_mount": "m", "vault_path": "p", "port": 1}, "not \\["),
        ({"vault_mount": "m", "vault_path": "p"}, "await mta.secrets.load"),
        ({"function": len}, "await mta.secrets.load"),
    ],
)
def test_what_gives_no_secret_says_why(sources, source, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        sources.read(source)

    assert "hunter2" not in str(caught.value)


def test_a_pipe_or_a_device_does_not_hold_the_node_up(sources, tmp_path):
    os.mkfifo(tmp_path / "pipe")

    for name in ("pipe", "/dev/zero", str(tmp_path)):
        with pytest.raises(ConfigurationError, match="no plain file|Is a directory"):
            sources.read(name)


def test_a_large_file_is_refused(sources, tmp_path):
    with Path(tmp_path / "large").open("wb") as file:
        file.truncate(1 << 32)

    with pytest.raises(ConfigurationError, match="holds more than"):
        sources.read("large")


async def test_a_vault_is_asked_through_its_port(sources):
    async def vault(source):
        return f"{source['vault_path']}/{source.get('vault_key')}".encode()

    sources.load_from_vault = vault

    assert await sources.load({"vault_mount": "m", "vault_path": "p"}) == b"p/None"


async def test_without_the_port_a_vault_is_an_error(sources):
    with pytest.raises(ConfigurationError, match="Vault is not available"):
        await sources.load({"vault_mount": "m", "vault_path": "p"})


LOAD = """
def key(name, *more):
    return name + str(len(more))
async def slow_key():
    await mta.time.sleep(1)
    return b"slow"
def nothing():
    return None
def broken():
    raise ValueError("no key today")
@on("get_queue_config")
async def ask(*args):
    return str(await mta.secrets.load({source}))
"""


@pytest.mark.parametrize(
    ("source", "secret"),
    [
        ("{'function': key, 'args': ['a', 1]}", "b'a1'"),
        ("{'function': slow_key}", "b'slow'"),
        ("{'key_data': 'x'}", "b'x'"),
    ],
)
async def test_a_script_loads_any_source(host, source, secret):
    host.load(LOAD.replace("{source}", source))

    assert await host.fire("a") == secret


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{'function': nothing}", "function wants text or bytes"),
        ("{'function': broken}", "no key today"),
        ("{'function': len}", "not a function of a policy script"),
        ("{'function': key, 'args': 'abc'}", "args wants a list"),
        ("{'function': nothing, 'args': [1]}", "takes one argument is expected"),
    ],
)
async def test_a_function_that_gives_none_is_an_error(host, source, reason):
    host.load(LOAD.replace("{source}", source))

    with pytest.raises(HookFailedError, match=reason):
        await host.fire("a")


def test_loading_waits_and_so_has_no_place_in_the_load_of_a_policy(host):
    with pytest.raises(PolicyLoadError, match="waits: await it"):
        host.load("mta.secrets.load({'key_data': 'x'})")


def test_reading_needs_no_waiting(host):
    (host.folder / "key").write_text("s3cret")

    assert host.value("mta.secrets.read('key')") == "b's3cret'"
