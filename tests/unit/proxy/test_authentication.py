"""Who somebody is: the file's word where there is one, else the script's, else nobody's."""

from __future__ import annotations

import asyncio

import pytest

from proxy import user_file
from proxy.authentication import Authentication, Ends, Identity
from proxy.errors import ConfigurationError
from proxy.settings import SocksOptions
from proxy.socks5 import Credentials
from proxy.user_file import PasswordHash

pytestmark = pytest.mark.real_time
ENDS = Ends(("192.0.2.9", 4711), ("127.0.0.1", 1080))
GOOD = Credentials(b"node", b"secret")
PLAIN = SocksOptions()


@pytest.fixture
def judges():
    return Authentication()


@pytest.fixture
def users(tmp_path, monkeypatch):
    monkeypatch.setattr(user_file, "_COST_LOG2", 4)
    path = tmp_path / "users"
    path.write_text(f"node:{PasswordHash.make(b'secret')}:nodes\n")
    return path


async def anybody(name, _password, _ends):
    return Identity(frozenset({name}))


async def test_without_file_and_script_nothing_can_be_judged(judges):
    assert not judges.can_judge(PLAIN)
    assert await judges.judge(PLAIN, GOOD, ENDS) is None


async def test_the_file_says_who_it_is(judges, users):
    options = SocksOptions(users_file=users)
    judges.use([users])

    who = await judges.judge(options, GOOD, ENDS)

    assert (who.address, who.identities, who.groups) == ("192.0.2.9", {"node"}, {"nodes"})
    assert judges.can_judge(options)
    assert await judges.judge(options, Credentials(b"node", b"wrong"), ENDS) is None


async def test_where_there_is_a_file_the_script_is_not_asked(judges, users):
    judges.use([users])
    judges.ask_script = anybody

    assert await judges.judge(SocksOptions(users_file=users), Credentials(b"x", b"y"), ENDS) is None
    assert (await judges.judge(PLAIN, Credentials(b"x", b"y"), ENDS)).identities == {"x"}


async def test_what_is_no_text_is_not_shown_to_the_script(judges):
    judges.ask_script = anybody

    assert await judges.judge(PLAIN, Credentials(b"\xff", b"y"), ENDS) is None
    assert await judges.judge(PLAIN, Credentials(b"x", b"\xff"), ENDS) is None


async def test_a_script_that_takes_too_long_lets_nobody_in(judges, caplog):
    async def never(*_args):
        await asyncio.get_running_loop().create_future()

    judges.ask_script = never

    assert await judges.judge(SocksOptions(timeout_s=0.01), GOOD, ENDS) is None
    assert "could not be judged" in caplog.text


def test_a_file_that_cannot_be_used_changes_nothing(judges, users, tmp_path):
    judges.use([users])

    with pytest.raises(ConfigurationError, match="gone"):
        judges.use([tmp_path / "gone"])
    assert judges.failing == ()
    users.write_text("nonsense")
    judges.refresh()
    assert len(judges.failing) == 1


async def test_a_file_that_is_named_no_more_lets_nobody_in(judges, users):
    judges.use([users])
    judges.use([])

    assert await judges.judge(SocksOptions(users_file=users), GOOD, ENDS) is None
