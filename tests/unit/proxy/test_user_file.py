"""Users in a file: hashed, followed by content, and no help to who guesses."""

from __future__ import annotations

import asyncio
import hashlib
import os

import pytest

from proxy import user_file
from proxy.errors import ConfigurationError
from proxy.user_file import PasswordHash, UserFile, check_name, parse_users

pytestmark = pytest.mark.real_time
#: Cheap, so that tests are fast; the hash is a real one.
CHEAP = PasswordHash(4, 8, 1, b"0123456789abcdef", bytes(32))


def hashed(password, cheap=CHEAP):
    made = PasswordHash(4, 8, 1, cheap.salt, cheap.derive(password.encode()))
    return str(made)


class World:
    def __init__(self, folder):
        self.path = folder / "users"

    def write(self, *lines):
        new = self.path.with_suffix(".new")
        new.write_text("\n".join(lines) + "\n")
        new.rename(self.path)

    def open(self):
        return UserFile(self.path)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(user_file, "_COST_LOG2", 4)
    return World(tmp_path)


# -- hashes


def test_a_hash_is_of_its_password_and_of_no_other():
    made = PasswordHash.make(b"secret")

    assert made.is_of(b"secret")
    assert not made.is_of(b"Secret")
    assert PasswordHash.parse(str(made)) == made


def test_two_hashes_of_one_password_differ():
    assert str(PasswordHash.make(b"secret")) != str(PasswordHash.make(b"secret"))


def test_the_key_is_that_of_the_standard():
    # RFC 7914, section 12, the third vector.
    known = PasswordHash(14, 8, 1, b"SodiumChloride", bytes(64))

    assert known.derive(b"pleaseletmein").hex().startswith("7023bdcb3afd7348461c06cd81fd38eb")


def test_a_hash_that_another_program_wrote_is_understood():
    key = hashlib.scrypt(b"secret", salt=b"saltsaltsalt", n=256, r=8, p=2, dklen=32)
    foreign = PasswordHash(8, 8, 2, b"saltsaltsalt", key)

    assert PasswordHash.parse(str(foreign)).is_of(b"secret")
    assert str(foreign).startswith("$scrypt$ln=8,r=8,p=2$c2FsdHNhbHRzYWx0$")


def test_neither_salt_nor_key_show_where_a_hash_is_printed():
    assert "secret" not in repr(PasswordHash(4, 8, 1, b"secret", b"secret"))


GOOD = hashed("secret")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("secret", "not a hash"),
        (GOOD.replace("scrypt", "argon2id"), "not a hash"),
        (GOOD + "$", "not a hash"),
        (GOOD.replace("ln=4", "ln=0"), "no sense"),
        (GOOD.replace("ln=4", "ln=21"), "no sense"),
        (GOOD.replace("r=8", "r=0"), "no sense"),
        (GOOD.replace("p=1", "p=0"), "no sense"),
        (GOOD.replace("p=1", "p=17"), "no sense"),
        (GOOD.replace("ln=4,r=8", "ln=20,r=8"), "too much memory"),
        (GOOD.rpartition("$")[0] + "$AAAA", "no sense"),
        (GOOD[:-2], "cut off"),
    ],
)
def test_what_is_no_hash_or_costs_too_much_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        PasswordHash.parse(text)


# -- lines


def test_lines_hold_users_and_their_groups():
    users = parse_users(f"# ours\n\nnode-1:{GOOD}\n  node-2:{GOOD}:nodes, big \n")

    assert list(users) == ["node-1", "node-2"]
    assert users["node-1"].groups == frozenset()
    assert users["node-2"].groups == {"nodes", "big"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("node", "a line is"),
        (f"node:{GOOD}:a:b", "a line is"),
        (f":{GOOD}", "not a user's name"),
        (f"no de\u200b:{GOOD}", "not a user's name"),
        (f"{'n' * 256}:{GOOD}", "not a user's name"),
        ("node:secret", "not a hash"),
        (f"node:{GOOD}:", "without a name"),
        (f"node:{GOOD}:a,,b", "without a name"),
        (f"first:{GOOD}", "a second line for first"),
    ],
)
def test_a_line_with_a_mistake_is_named(line, said):
    with pytest.raises(ValueError, match=f"^3: .*{said}"):
        parse_users(f"first:{GOOD}\n\n{line}")


@pytest.mark.parametrize("name", ["", "#x", " x", "a:b", "a\nb"])
def test_names_that_could_not_stand_in_the_file_are_refused(name):
    with pytest.raises(ValueError, match="not a user's name"):
        check_name(name)


# -- the file


async def test_who_shows_the_right_password_is_known(world):
    world.write(f"node:{hashed('secret')}:nodes")
    users = world.open()

    found = await users.verify(b"node", b"secret")

    assert (found.name, found.groups) == ("node", {"nodes"})


@pytest.mark.parametrize(
    ("name", "password"),
    [
        (b"node", b"Secret"),
        (b"node", b""),
        (b"nobody", b"secret"),
        (b"", b"secret"),
        (b"nod\xff", b"secret"),
        (b"node", b"secret\0"),
    ],
)
async def test_anybody_else_is_not(world, name, password):
    world.write(f"node:{hashed('secret')}")
    users = world.open()

    assert await users.verify(name, password) is None


async def test_a_password_that_was_right_is_not_hashed_again(world, monkeypatch):
    world.write(f"node:{hashed('secret')}")
    users = world.open()
    await users.verify(b"node", b"secret")
    monkeypatch.setattr(PasswordHash, "is_of", lambda *_: False)

    assert (await users.verify(b"node", b"secret")).name == "node"
    assert await users.verify(b"node", b"other") is None


async def test_what_was_right_is_forgotten_with_the_line_it_was_right_for(world):
    world.write(f"node:{hashed('secret')}")
    users = world.open()
    await users.verify(b"node", b"secret")
    world.write(f"node:{hashed('changed')}")
    users.refresh()

    assert await users.verify(b"node", b"secret") is None
    assert await users.verify(b"node", b"changed")


async def test_no_more_than_so_many_are_remembered(world, monkeypatch):
    monkeypatch.setattr(user_file, "_REMEMBERED_MAX", 2)
    world.write(*(f"node-{number}:{hashed('secret')}" for number in range(4)))
    users = world.open()
    for number in range(4):
        assert await users.verify(b"node-%d" % number, b"secret")

    assert len(users._remembered) == 2


async def test_a_wrong_name_costs_what_a_wrong_password_does(world, monkeypatch):
    world.write(f"node:{hashed('secret')}")
    users = world.open()
    asked = []
    monkeypatch.setattr(PasswordHash, "is_of", lambda one, _: asked.append(one.cost_log2))
    await users.verify(b"node", b"wrong")
    await users.verify(b"nobody", b"wrong")

    assert len(asked) == 2


async def test_only_so_many_are_hashed_at_once(world, monkeypatch):
    import threading
    import time

    world.write(f"node:{hashed('secret')}")
    users = world.open()
    lock, running, most = threading.Lock(), 0, 0

    def slow(_self, _password):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return False

    monkeypatch.setattr(PasswordHash, "is_of", slow)
    await asyncio.gather(*(users.verify(b"node", b"%d" % number) for number in range(8)))

    assert most == user_file.AT_ONCE


async def test_a_change_is_taken_at_the_next_look(world):
    world.write(f"node:{hashed('secret')}")
    users = world.open()
    world.write(f"node:{hashed('secret')}", f"more:{hashed('secret')}")
    assert await users.verify(b"more", b"secret") is None
    users.refresh()

    assert await users.verify(b"more", b"secret")


async def test_a_file_with_a_mistake_is_not_taken_and_is_told_once(world, caplog):
    world.write(f"node:{hashed('secret')}")
    users = world.open()
    world.write("node:")
    users.refresh()
    users.refresh()

    assert users.failing == f"{world.path}:1: not a hash as `cirrus proxy hash-password` writes it"
    assert await users.verify(b"node", b"secret")
    assert [record.levelname for record in caplog.records] == ["ERROR"]

    world.write(f"node:{hashed('new')}")
    users.refresh()
    assert users.failing is None
    assert await users.verify(b"node", b"new")


async def test_a_file_that_vanishes_is_missed_and_its_return_noticed(world):
    world.write(f"node:{hashed('secret')}")
    users = world.open()
    content = world.path.read_text()
    world.path.unlink()
    users.refresh()
    assert "No such file" in users.failing
    assert await users.verify(b"node", b"secret")
    world.path.write_text(content)
    users.refresh()

    assert users.failing is None


async def test_a_file_that_is_only_touched_is_no_news(world, caplog):
    caplog.set_level("INFO")
    world.write(f"node:{hashed('secret')}")
    users = world.open()
    os.utime(world.path, (1, 1))
    users.refresh()

    assert caplog.records == []


async def test_an_edit_that_leaves_size_and_times_is_seen_when_the_file_is_read(world):
    world.write(f"a:{hashed('secret')}")
    status = world.path.stat()
    users = world.open()
    world.path.write_text(world.path.read_text().replace("a:", "b:"))
    os.utime(world.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    users.refresh(rehash=False)
    assert await users.verify(b"b", b"secret") is None
    users.refresh()

    assert await users.verify(b"b", b"secret")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"node\n", "users:1: a line is"), (b"\xff\xfe", "not UTF-8"), (None, "No such file")],
)
def test_a_file_that_cannot_be_used_ends_the_start(world, content, said):
    if content is not None:
        world.path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=said):
        world.open()


def test_a_file_that_is_too_large_is_not_read(world, monkeypatch):
    monkeypatch.setattr(user_file, "_FILE_MAX", 10)
    world.write(f"node:{hashed('secret')}")

    with pytest.raises(ConfigurationError, match="larger than"):
        world.open()
