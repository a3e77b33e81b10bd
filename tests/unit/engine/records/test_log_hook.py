"""Records become messages, once each, whatever the spool does meanwhile."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from engine.base.clock import loop_clock
from engine.model.errors import SpoolUnavailableError
from engine.model.log_record import LogRecord, RecordKind, Response
from engine.model.message import FLAG_LOG_RECORD, Message
from engine.records.log_hook import LogHookSink, parse_hook_records


class Hook:
    """A hook that keeps what it submits, after failing as often as asked."""

    def __init__(
        self, back_pressure: int = 10, failures: int = 0, records: dict | None = None
    ) -> None:
        self.messages: list[Message] = []
        self.failures = failures
        self.delay_s = 0.0
        self.sink = LogHookSink(
            "hook",
            loop_clock(asyncio.get_running_loop()),
            self.submit,
            back_pressure=back_pressure,
            meta=(),
            headers=(),
            records=parse_hook_records({"Reception": {"enable": False}, **(records or {})}),
        )

    async def submit(self, message: Message, name: str) -> None:
        assert name == "hook"
        await asyncio.sleep(self.delay_s)
        if self.failures:
            self.failures -= 1
            raise SpoolUnavailableError("full")
        self.messages.append(message)


def record(recipient: str | list[str] = "b@y.test") -> LogRecord:
    return LogRecord(
        kind=RecordKind.DELIVERY,
        sender="a@x.test",
        recipient=recipient,
        response=Response(250, None, "fine", None),
    )


async def test_a_record_becomes_a_message_that_holds_it():
    hook = Hook()

    hook.sink.write(record(), None)
    await hook.sink.drain()

    (message,) = hook.messages
    assert (message.sender, message.recipients) == ("a@x.test", ["b@y.test"])
    assert message.flags & FLAG_LOG_RECORD
    assert message.meta["reception_protocol"] == "LogRecord"
    assert message.meta["log_record"]["response"]["content"] == "fine"
    assert message.data is not None
    assert msgspec.json.decode(message.data)["type"] == "Delivery"


async def test_kinds_that_are_not_wanted_are_none_of_its_business():
    hook = Hook()

    assert hook.sink.wants(RecordKind.DELIVERY)
    assert not hook.sink.wants(RecordKind.RECEPTION)


async def test_a_record_the_spool_cannot_take_is_tried_again():
    hook = Hook(failures=3)
    task = asyncio.get_running_loop().create_task(hook.sink.run())

    hook.sink.write(record(), None)
    await asyncio.sleep(10)
    task.cancel()

    assert len(hook.messages) == 1


async def test_a_stop_does_not_wait_for_a_spool_that_is_away(caplog):
    hook = Hook(failures=1)

    hook.sink.write(record(), None)
    hook.sink.write(record(), None)
    await hook.sink.drain()

    assert len(hook.messages) == 1
    assert "lost a record" in caplog.text


async def test_producers_wait_while_too_many_records_wait():
    hook = Hook(back_pressure=2)
    hook.sink.write(record(), None)
    assert not hook.sink.must_wait
    hook.sink.write(record(), None)
    assert hook.sink.must_wait

    task = asyncio.get_running_loop().create_task(hook.sink.run())
    async with asyncio.timeout(5):
        await hook.sink.wait_capacity()
    task.cancel()

    assert len(hook.messages) >= 1


@pytest.mark.parametrize("recipient", ["", []])
async def test_a_record_about_nobody_still_has_a_recipient(recipient):
    hook = Hook()

    hook.sink.write(record(recipient), None)
    await hook.sink.drain()

    assert hook.messages[0].recipients == ["log-record@localhost"]


async def test_a_template_makes_the_body():
    hook = Hook(records={"Any": {"template": "{{ type }} to {{ recipient }}"}})

    hook.sink.write(record(), None)
    await hook.sink.drain()

    assert hook.messages[0].data == b"Delivery to b@y.test\n"


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ({"Delivry": {}}, "no record type 'Delivry'"),
        ({"Delivery": {"enabled": False}}, "enabled"),
        ({"Delivery": {"template": "{{ x"}}, "template: line 1"),
        (["Delivery"], "object"),
    ],
)
def test_a_wrong_entry_is_named(records, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_hook_records(records)


async def test_the_end_of_a_hook_leaves_no_producer_waiting():
    hook = Hook(back_pressure=1)
    hook.sink.write(record(), None)
    producer = asyncio.get_running_loop().create_task(hook.sink.wait_capacity())
    await asyncio.sleep(0)

    await hook.sink.drain()

    async with asyncio.timeout(5):
        await producer


async def test_the_end_of_a_hook_waits_for_the_record_that_is_being_submitted():
    hook = Hook()
    hook.delay_s = 2.0
    task = asyncio.get_running_loop().create_task(hook.sink.run())
    hook.sink.write(record(), None)
    await asyncio.sleep(1)

    await hook.sink.drain()
    task.cancel()

    assert len(hook.messages) == 1
