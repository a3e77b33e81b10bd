"""Secrets of a Vault, against a stand-in that answers as a recorded one (see its module)."""

from __future__ import annotations

import asyncio

import pytest

from engine.base.vault import CACHE_S, PAUSE_S, STALE_S, TIMEOUT_S, VaultClient, VaultPlace
from engine.model.errors import ConfigurationError
from tests.fakes.vault_server import TOKEN, VaultServer
from tests.fakes.web_server import web_server


@pytest.fixture
async def vault():
    async with web_server() as server:
        yield VaultServer(server)


@pytest.fixture
async def client():
    return VaultClient(asyncio.get_running_loop().time)


def place(vault, path="dkim/example", token=TOKEN):
    return VaultPlace(vault.address, "secret", path, token)


async def test_a_value_is_read(vault, client):
    assert await client.read(place(vault), "key") == b"the key"


async def test_many_who_ask_at_once_ask_once(vault, client):
    await asyncio.gather(*(client.read(place(vault), "key") for _ in range(20)))

    assert vault.asked == 1


async def test_an_answer_is_kept_for_a_while(vault, client):
    await client.read(place(vault), "key")
    vault.secrets["dkim/example"] = {"key": "changed"}
    await asyncio.sleep(CACHE_S / 2)
    kept = await client.read(place(vault), "key")
    await asyncio.sleep(CACHE_S)

    assert (kept, await client.read(place(vault), "key")) == (b"the key", b"changed")


@pytest.mark.parametrize("trouble", ["sealed", "slow", "odd", "large", "downgrade", "circle"])
async def test_a_known_secret_goes_on_while_vault_is_in_trouble(vault, client, trouble):
    await client.read(place(vault), "key")
    vault.trouble = trouble
    await asyncio.sleep(CACHE_S + 1)

    assert await client.read(place(vault), "key") == b"the key"


async def test_meanwhile_vault_is_not_asked_by_each(vault, client):
    await client.read(place(vault), "key")
    vault.trouble = "sealed"
    await asyncio.sleep(CACHE_S + 1)
    for _ in range(10):
        await client.read(place(vault), "key")
    asked = vault.asked
    vault.trouble = ""
    vault.secrets["dkim/example"] = {"key": "changed"}
    await asyncio.sleep(PAUSE_S + 1)

    assert (asked, await client.read(place(vault), "key")) == (2, b"changed")


async def test_a_known_secret_does_not_go_on_for_ever(vault, client):
    await client.read(place(vault), "key")
    vault.trouble = "sealed"
    await asyncio.sleep(STALE_S + 1)

    with pytest.raises(ConfigurationError, match="sealed"):
        await client.read(place(vault), "key")


async def test_a_refusal_ends_a_known_secret(vault, client):
    await client.read(place(vault), "key")
    del vault.secrets["dkim/example"]
    await asyncio.sleep(CACHE_S + 1)

    with pytest.raises(ConfigurationError, match="no such secret"):
        await client.read(place(vault), "key")


async def test_a_token_that_is_wrong_gets_nothing_that_another_one_read(vault, client):
    await client.read(place(vault), "key")

    with pytest.raises(ConfigurationError, match="may not read it"):
        await client.read(place(vault, token="hvs.wrong"), "key")


async def test_a_standby_server_leads_to_the_active_one(vault, client):
    vault.trouble = "standby"

    assert await client.read(place(vault), "key") == b"the key"


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("sealed", "sealed or under maintenance"),
        ("slow", f"no answer in {TIMEOUT_S:g} s"),
        ("odd", "not one of a key-value store, version 2"),
        ("large", "ValueError"),
        ("downgrade", "ValueError"),
        ("circle", "ValueError"),
    ],
)
async def test_trouble_at_first_is_an_error_that_shows_no_token(vault, client, trouble, message):
    vault.trouble = trouble

    with pytest.raises(ConfigurationError, match=message) as caught:
        await client.read(place(vault), "key")

    assert "secret/dkim/example of Vault at 127.0.0.1" in str(caught.value)
    assert TOKEN not in str(caught.value)


async def test_nobody_there_is_an_error(client):
    with pytest.raises(ConfigurationError, match="ClientConnectorError"):
        await client.read(VaultPlace("http://127.0.0.1:1", "secret", "x", TOKEN), "key")


@pytest.mark.parametrize(
    ("path", "name"), [("gone", "key"), ("dkim/example", "n"), ("dkim/example", "x")]
)
async def test_what_is_not_there_is_an_error(vault, client, path, name):
    with pytest.raises(ConfigurationError):
        await client.read(place(vault, path), name)


@pytest.mark.parametrize(
    "given",
    [
        ("ftp://x.test", "secret", "p", TOKEN),
        ("https://", "secret", "p", TOKEN),
        ("https://x.test", "", "p", TOKEN),
        ("https://x.test", "secret", "a/../b", TOKEN),
        ("https://x.test", "secret", "a//b", TOKEN),
        ("https://x.test", "secret", "p", ""),
        ("https://x.test", "secret", "p", "a\r\nX: y"),
    ],
)
def test_a_place_that_cannot_be_is_an_error(given):
    with pytest.raises(ConfigurationError):
        VaultPlace(*given)


def test_a_place_shows_no_token():
    assert TOKEN not in repr(VaultPlace("https://x.test", "secret", "p", TOKEN))
