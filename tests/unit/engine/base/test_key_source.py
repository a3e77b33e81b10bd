"""Keys and passwords from files, the environment, scripts and a Vault."""

from __future__ import annotations

import os

import pytest

from engine.base.key_source import SECRET_BYTES_MAX, KeySourceReader, waits
from engine.base.vault import VaultClient
from engine.model.errors import ConfigurationError
from tests.fakes.vault_server import TOKEN, VaultServer
from tests.fakes.web_server import web_server


@pytest.fixture
def environ():
    return {"SECRET": "from the environment", "EMPTY": ""}


@pytest.fixture
def reader(tmp_path, environ):
    (tmp_path / "key.pem").write_bytes(b"from a file\n")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "large").write_bytes(b"x" * (SECRET_BYTES_MAX + 1))
    os.mkfifo(tmp_path / "pipe")
    return KeySourceReader(VaultClient(lambda: 0.0), lambda: tmp_path, environ)


@pytest.mark.parametrize(
    ("source", "secret"),
    [
        ("key.pem", b"from a file\n"),
        ({"key_data": "given"}, b"given"),
        ({"key_data": b"\xff"}, b"\xff"),
        ({"env": "SECRET"}, b"from the environment"),
    ],
)
async def test_what_needs_no_waiting_is_read_either_way(reader, source, secret):
    assert reader.load_nowait(source) == secret
    assert await reader.load(source) == secret


async def test_a_vault_is_waited_for(reader, environ):
    async with web_server() as server:
        vault = VaultServer(server)
        vault.secrets["smtp"] = {"key": "k", "password": "p"}
        environ |= {"VAULT_ADDR": vault.address, "VAULT_TOKEN": TOKEN}
        source = {"vault_mount": "/secret/", "vault_path": "smtp"}

        assert waits(source)
        assert await reader.load(source) == b"k"
        assert await reader.load(source | {"vault_key": "password"}) == b"p"
        with pytest.raises(ConfigurationError, match="may not read"):
            await reader.load(source | {"vault_token": "hvs.other"})
        with pytest.raises(ConfigurationError, match="has to be waited for"):
            reader.load_nowait(source)


async def test_a_vault_without_an_address_is_an_error(reader):
    with pytest.raises(ConfigurationError, match="VAULT_ADDR"):
        await reader.load({"vault_mount": "secret", "vault_path": "x", "vault_token": TOKEN})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.pem", "none.pem: No such file"),
        ("empty", "not empty"),
        ("large", "more than"),
        ("pipe", "no plain file"),
        (".", "directory|no plain file"),
        ("a\0b", "not the name of a file"),
        ("x" * 5000, "not the name of a file"),
        ({"key_data": ""}, "key_data wants text"),
        ({"key_data": 5}, "key_data wants text"),
        ({"env": "NONE"}, "the environment has no NONE"),
        ({"env": "EMPTY"}, "not empty"),
        ({"env": 5}, "env wants the name"),
        ({"vault_mount": "x"}, r"not \['vault_mount'\]"),
        ({"key_data": "hush", "env": "x"}, r"not \['env', 'key_data'\]"),
        (5, "wants the name of a file"),
        (None, "wants the name of a file"),
    ],
)
async def test_what_is_no_source_is_an_error_without_a_secret(reader, source, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        await reader.load(source)

    assert "hush" not in str(caught.value)
