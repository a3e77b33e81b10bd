"""Maildirs: where a message goes, that it stays there, and what happens when it cannot."""

import asyncio
import contextlib
import errno
import os
import threading
from pathlib import Path

import pytest

from engine.deliver import maildir_dispatcher
from engine.deliver.maildir_dispatcher import MaildirDispatcher, expand_path, store_in_maildir
from engine.model.disposition import Disposition
from engine.model.insert_reason import InsertReason
from engine.model.queue_config import MaildirProtocol
from tests.fakes.dispatch import DamagedStore, DispatchWorld

pytestmark = pytest.mark.real_time
AT = 1_700_000_000.5


@pytest.fixture
async def world(tmp_path):
    made = DispatchWorld(idle_timeout="0s")
    made.protocol = MaildirProtocol(str(tmp_path / "{{ domain_part }}" / "{{ local_part }}"))
    return made


async def run(world):
    await MaildirDispatcher(world, world.services).run()


def files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.is_file())


# -- the path -------------------------------------------------------------------------------------


def path_of(message, template, recipient="bob@y.test"):
    return str(expand_path(template, message, recipient))


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/m/{{ domain_part }}/{{local_part}}", "/m/y.test/bob"),
        ("/m/{email}", "/m/bob@y.test"),
        ("/m/{domain}/{sender_local_part}@{sender_domain_part}", "/m/y.test/a@x.test"),
        ("/m/{{ meta.tenant }}", "/m/shop"),
        ("/m/{queue}", "/m/y.test"),
    ],
)
async def test_a_template_is_filled_in(world, template, path):
    assert path_of(world.add(tenant="shop"), template) == path


@pytest.mark.parametrize(
    "evil", ["..", ".", "", "../../etc", "/etc/passwd", "a/../../b", "a\x00b", "..\n", "...", " .."]
)
@pytest.mark.parametrize("template", ["{m}", "{m}/x", "x{m}", "{m}x", "{m}{m}", ".{m}", "{m}."])
async def test_nothing_of_a_message_leaves_its_folder(world, evil, template):
    message = world.add()
    message.meta["m"] = evil
    filled = path_of(message, "/base/" + template.replace("{m}", "{meta.m}"))

    assert os.path.normpath(filled).startswith("/base/")
    assert ".." not in Path(filled).parts
    assert len(Path(filled).parts) == 3 + ("/x" in template)


@pytest.mark.parametrize("template", ["/m/{nonsense}", "/m/{{ meta.absent }}", "/m/{campaign}"])
async def test_a_name_without_a_value_is_an_error(world, template):
    with pytest.raises(ValueError, match="needs"):
        path_of(world.add(), template)


# -- the file -------------------------------------------------------------------------------------


def test_a_file_stands_in_new_and_nothing_in_tmp(tmp_path):
    store_in_maildir(tmp_path / "a" / "b", b"content\n", None, None, AT)

    (file,) = files(tmp_path)
    assert file.parent == tmp_path / "a" / "b" / "new"
    assert file.read_bytes() == b"content\n"
    assert file.name.startswith("1700000000.M500000P")
    assert file.stat().st_mode & 0o777 == 0o600


def test_modes_are_those_of_the_protocol(tmp_path):
    before = os.umask(0)
    try:
        store_in_maildir(tmp_path / "box", b"x", 0o770, 0o660, AT)
    finally:
        os.umask(before)

    (file,) = files(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o660
    assert file.parent.stat().st_mode & 0o777 == 0o770


def test_names_never_repeat(tmp_path):
    for _ in range(50):
        store_in_maildir(tmp_path, b"x", None, None, AT)

    assert len(files(tmp_path)) == 50


def test_file_and_folders_are_synced_before_it_counts(tmp_path, monkeypatch):
    synced = []

    def fsync(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", fsync)
    store_in_maildir(tmp_path / "box", b"x", None, None, AT)

    assert synced[0] == str(tmp_path)
    assert synced[-1] == str(tmp_path / "box" / "new")
    assert synced[-2].startswith(str(tmp_path / "box" / "tmp") + "/")
    assert str(tmp_path / "box") in synced


@pytest.mark.parametrize("fails_at", range(6))
def test_a_failed_sync_leaves_no_file(tmp_path, monkeypatch, fails_at):
    calls = iter(range(100))

    def fsync(_descriptor):
        if next(calls) == fails_at:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output"):
        store_in_maildir(tmp_path / "box", b"x", None, None, AT)

    assert files(tmp_path) == []


# -- the dispatcher -------------------------------------------------------------------------------


async def test_each_recipient_gets_a_file(world, tmp_path):
    message = world.add("a@y.test", "b@y.test", body=b"Subject: x\r\n\r\n.dot\r\n")
    await run(world)

    assert [file.parents[1].name for file in files(tmp_path)] == ["a", "b"]
    assert files(tmp_path)[0].read_bytes() == b"Subject: x\n\n.dot\n"
    assert world.dispositions(message) == {
        "a@y.test": Disposition.DELIVERED,
        "b@y.test": Disposition.DELIVERED,
    }
    assert world.settled[0].where.delivery_protocol == "Maildir"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
async def test_a_disk_that_refuses_defers(world, monkeypatch, number):
    def refuse(*_args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(maildir_dispatcher, "store_in_maildir", refuse)
    message = world.add()
    await run(world)

    assert world.lines == ["b@y.test DEFERRED 451 4.3.0 the maildir cannot be written"]
    assert world.ends(message) == 1


async def test_a_recipient_that_cannot_be_stored_does_not_hold_up_the_other(world, tmp_path):
    (tmp_path / "y.test").mkdir()
    (tmp_path / "y.test" / "a").write_text("a file where the folder should be")
    message = world.add("a@y.test", "b@y.test")
    await run(world)

    assert world.dispositions(message) == {
        "a@y.test": Disposition.DEFERRED,
        "b@y.test": Disposition.DELIVERED,
    }


@pytest.mark.parametrize("local_part", ["x" * 60 * 5, "s\ud800"])
async def test_a_name_that_no_disk_takes_defers(world, tmp_path, local_part):
    world.protocol = MaildirProtocol(str(tmp_path / "{{ meta.folder }}"))
    world.add(folder=local_part)
    await run(world)

    assert [line.split()[1] for line in world.lines] == ["DEFERRED"]


async def test_a_cancellation_leaves_nobody_with_two_files(world, tmp_path, monkeypatch):
    started, may_end = threading.Event(), threading.Event()
    real = store_in_maildir

    def slow(folder, *args):
        if folder.name == "b":
            started.set()
            may_end.wait(5)
        real(folder, *args)

    monkeypatch.setattr(maildir_dispatcher, "store_in_maildir", slow)
    message = world.add("a@y.test", "b@y.test", "c@y.test")
    task = asyncio.ensure_future(run(world))
    while not started.is_set():
        await asyncio.sleep(0.01)
    task.cancel()
    may_end.set()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert world.given_back[0].recipients == ["c@y.test"]
    assert [file.parents[1].name for file in files(tmp_path)] == ["a", "b"]
    assert world.ends(message) == 1


async def test_a_settlement_that_fails_stores_nobody_twice(world):
    world.settle_error = RuntimeError("defect")
    message = world.add()
    await run(world)

    assert message.recipients == []
    assert world.given_back == []


async def test_a_damaged_message_is_dropped(world):
    world.services.store = DamagedStore(world.services.clock.wall_of)
    message = world.add()
    message.data = None
    await run(world)

    assert world.damaged == [message]
    assert world.ends(message) == 0


async def test_the_rate_of_the_path_holds(world):
    world.path = type(world.path)(**{**_options(world.path), "idle_timeout_s": 0.0})
    messages = [world.add() for _ in range(3)]
    await run(world)

    assert [world.ends(message) for message in messages] == [1, 1, 1]
    reasons = [back.reason for back in world.given_back]
    assert reasons == [InsertReason.MESSAGE_RATE_THROTTLE] * 2


def _options(path):
    from engine.model.throttle_spec import parse_throttle

    values = {name: getattr(path, name) for name in path.__dataclass_fields__}
    return {**values, "max_message_rate": parse_throttle("1/h")}


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OSError, match="file"):
        store_in_maildir(tmp_path / "file" / "box", b"x", None, None, AT)
