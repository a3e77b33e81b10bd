"""Operations are performed in one place, which leaves a record."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.operation import Operation
from engine.model.errors import SpoolUnavailableError
from tests.fakes.admin_world import ANN, admin_world


class Wish(msgspec.Struct, frozen=True):
    id: str


def operation(run, **options):
    return Operation("wish", run, Wish, Wish, "Wish", **options)


async def grant(_node, _caller, request):
    return Wish(f"granted {request.id}")


async def test_an_act_is_recorded_with_what_it_made(tmp_path):
    async with admin_world(tmp_path) as world:
        answer = await world.act(operation(grant), id="a horse")

        (entry,) = world.audited()
        assert answer == Wish("granted a horse")
        assert (entry.act, entry.identity, entry.channel) == ("wish", ANN.identity, "console")
        assert (entry.result, entry.arguments) == ("done", {"id": "a horse"})
        assert entry.detail == "granted a horse"


async def test_looking_leaves_no_record(tmp_path):
    async with admin_world(tmp_path) as world:
        await world.act(operation(grant, leaves_record=False), id="x")

        assert world.audited() == []


@pytest.mark.parametrize(
    ("error", "refusal", "result"),
    [
        (OperationRefusedError(Refusal.NOT_FOUND, "none"), Refusal.NOT_FOUND, "refused"),
        (OperationRefusedError(Refusal.WRONG, "none", "id"), Refusal.WRONG, "refused"),
        (OperationRefusedError(Refusal.FAILED, "none"), Refusal.FAILED, "failed"),
        (SpoolUnavailableError("none"), Refusal.UNAVAILABLE, "failed"),
    ],
)
async def test_a_no_is_recorded_with_its_reason(tmp_path, error, refusal, result):
    async def refuse(_node, _caller, _request):
        raise error

    async with admin_world(tmp_path) as world:
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(operation(refuse), id="x")

        (entry,) = world.audited()
        assert refused.value.refusal is refusal
        assert (entry.result, entry.detail) == (result, "none")


async def test_a_defect_is_recorded_and_goes_on_as_one(tmp_path):
    async def fail(_node, _caller, _request):
        raise RuntimeError("secret path")

    async with admin_world(tmp_path) as world:
        with pytest.raises(RuntimeError):
            await world.act(operation(fail), id="x")

        (entry,) = world.audited()
        assert (entry.result, entry.detail) == ("failed", "internal error")


async def test_an_act_whose_caller_left_is_recorded(tmp_path):
    async def wait(_node, _caller, _request):
        await asyncio.sleep(3600)

    async with admin_world(tmp_path) as world:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await world.act(operation(wait), id="x")

        (entry,) = world.audited()
        assert (entry.result, entry.detail) == ("failed", "the caller left")
