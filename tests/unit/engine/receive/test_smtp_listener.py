"""The listening socket and the TLS contexts of listeners."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from engine.model.errors import ConfigurationError
from engine.model.listener_options import ListenerOptions
from engine.receive.smtp_listener import SmtpListener, TlsContexts
from engine.receive.smtp_session import SmtpSession
from tests.fakes.smtp_node import smtp_node


async def test_an_address_in_use_is_an_error_that_names_it(tmp_path):
    async with smtp_node(tmp_path) as node:
        host, port = node.listener.address
        second = SmtpListener(ListenerOptions(listen=(host, port)), node)

        with pytest.raises(ConfigurationError) as caught:
            await second.start()

    assert str(caught.value) == f"cannot listen on {host}:{port}: Address already in use"


async def test_changed_options_hold_for_new_connections_only(tmp_path):
    async with smtp_node(tmp_path) as node:
        old = await node.connect()
        await old.reply()
        node.listener.options = ListenerOptions(hostname="new.test")
        fresh = await node.connect()

        assert (await fresh.reply()).text == "new.test Cirrus"
        assert (await old.command(b"HELO x")).text == "mx.test Hello x!"


async def test_connections_are_counted_and_forgotten(tmp_path):
    async with smtp_node(tmp_path) as node:
        gauge = node.metrics.gauge("connection_count").labels("esmtp_listener")
        total = node.metrics.counter("total_connection_count").labels("esmtp_listener")
        client = await node.greeted()
        assert (gauge.value, total.value) == (1, 1)

        await client.command(b"QUIT")
        await client.rest()

        assert (gauge.value, total.value) == (0, 1)


async def test_a_session_that_cannot_be_closed_gives_its_place_back(tmp_path, monkeypatch):
    async with smtp_node(tmp_path) as node:
        client = await node.greeted()

        def close(session):
            session.transport.abort()
            raise AttributeError("the transport is gone")

        monkeypatch.setattr(SmtpSession, "close", close)
        await client.send(b"QUIT\r\n")
        await client.rest()
        await asyncio.sleep(0.01)

        assert not node.listener.sessions
        assert node.supervisor.defects == 1
        node.supervisor.defects = 0


def test_listeners_of_one_name_share_a_context_and_others_do_not():
    contexts = TlsContexts(lambda: 0.0)

    first = contexts.context(ListenerOptions(hostname="a.test"))

    assert isinstance(first, ssl.SSLContext)
    assert contexts.context(ListenerOptions(hostname="a.test", banner="x")) is first
    assert contexts.context(ListenerOptions(hostname="b.test")) is not first


def test_a_missing_certificate_is_our_error():
    with pytest.raises(ConfigurationError):
        TlsContexts(lambda: 0.0).context(ListenerOptions(tls_certificate="/nonexistent.pem"))
