"""Databases of scripts: where they may lie, and what scripts get from them."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from policy.errors import HookFailedError
from tests.fakes.script_world import script_world

pytestmark = pytest.mark.real_time

TOP = "db = mta.sqlite.open('data.db')"
NUMBERS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "


@pytest.fixture
async def world(tmp_path):
    (tmp_path / "policy").mkdir()
    async with script_world(tmp_path / "policy") as made:
        yield made


async def test_rows_come_as_values_tables_or_a_count(world):
    assert await world.ask(
        """
        await db.execute("CREATE TABLE t (a, b)")
        return [
            await db.execute("INSERT INTO t VALUES (?, ?), (?, ?)", 1, "x", 2.5, b"y"),
            await db.execute("SELECT a FROM t ORDER BY a"),
            await db.execute("SELECT * FROM t WHERE b = :b", {"b": "x"}),
            await db.execute("SELECT a FROM t WHERE a = 7"),
            await db.execute("UPDATE t SET b = ?", None),
            await db.execute("DELETE FROM t WHERE a = 7"),
            await db.execute("INSERT INTO t VALUES (3, 4) RETURNING a, b"),
        ]
        """,
        top=TOP,
    ) == [2, [1, 2.5], [{"a": 1, "b": "x"}], [], 2, 0, [{"a": 3, "b": 4}]]


async def test_what_was_written_is_there_for_the_next_epoch_and_others(world):
    await world.ask(
        "await db.execute('CREATE TABLE t (a)')\nawait db.execute('INSERT INTO t VALUES (5)')",
        top=TOP,
    )

    assert await world.ask("return await db.execute('SELECT a FROM t')", top=TOP) == [5]
    with sqlite3.connect(world.folder / "data.db") as other:
        assert other.execute("SELECT a FROM t").fetchall() == [(5,)]
    other.close()


async def test_handlers_that_use_a_file_at_once_take_turns(world):
    await world.ask("await db.execute('CREATE TABLE t (a)')", top=TOP)
    world.load_body("await db.execute('INSERT INTO t VALUES (?)', given)", top=TOP)
    await asyncio.gather(*(world.again(n) for n in range(8)))

    assert await world.ask("return await db.execute('SELECT sum(a) FROM t')", top=TOP) == [28]


async def test_a_folder_that_init_allowed_can_be_used(world, tmp_path):
    (tmp_path / "data").mkdir()
    world.data_folders = (tmp_path / "data",)

    await world.ask(
        "await mta.sqlite.open(given).execute('CREATE TABLE t (a)')", str(tmp_path / "data/x.db")
    )

    assert (tmp_path / "data" / "x.db").is_file()


@pytest.mark.parametrize("path", ["../x.db", "{tmp}/x.db", "link/x.db", "link.db"])
async def test_other_places_are_refused(world, tmp_path, path):
    (world.folder / "link").symlink_to(tmp_path)
    (world.folder / "link.db").symlink_to(tmp_path / "x.db")

    with pytest.raises(HookFailedError, match=r"lies outside .*allow its folder"):
        await world.ask(
            "await mta.sqlite.open(given).execute('CREATE TABLE t (a)')",
            path.format(tmp=tmp_path),
        )

    assert not (tmp_path / "x.db").exists()


async def test_a_script_is_no_database(world):
    (world.folder / "helper.py").touch()

    with pytest.raises(HookFailedError, match="is the name of a script"):
        await world.ask("await mta.sqlite.open('helper.py').execute('CREATE TABLE t (a)')")

    assert (world.folder / "helper.py").read_bytes() == b""


async def test_another_kind_of_file_is_left_alone(world):
    (world.folder / "notes.txt").write_text("important" * 1000)

    with pytest.raises(HookFailedError, match="OSError: sqlite: notes.txt: file is not a database"):
        await world.ask("await mta.sqlite.open('notes.txt').execute('CREATE TABLE t (a)')")


@pytest.mark.slow
async def test_a_statement_that_takes_too_long_ends_with_its_line(world):
    with pytest.raises(
        HookFailedError, match="init.py:6: TimeoutError: sqlite: the statement took"
    ):
        await world.ask(
            f"await db.execute('{NUMBERS} SELECT count(*) FROM n')",
            top="db = mta.sqlite.open('data.db', statement_timeout='200ms')",
        )

    assert await world.ask("return await db.execute('SELECT 1')", top=TOP) == [1]


@pytest.mark.slow
async def test_a_statement_of_a_handler_that_is_gone_ends_too(world):
    world.load_body(f"await db.execute('{NUMBERS} SELECT count(*) FROM n')", top=TOP)
    firing = asyncio.ensure_future(world.again())
    await asyncio.sleep(0.1)
    firing.cancel()

    async with asyncio.timeout(1):
        assert await world.ask("return await db.execute('SELECT 1')", top=TOP) == [1]


@pytest.mark.slow
async def test_a_file_that_others_hold_is_an_error_in_time(world):
    await world.ask("await db.execute('CREATE TABLE t (a)')", top=TOP)
    other = sqlite3.connect(world.folder / "data.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(HookFailedError, match="TimeoutError: sqlite: others hold the file"):
            await world.ask(
                "await db.execute('INSERT INTO t VALUES (1)')",
                top="db = mta.sqlite.open('data.db', '100ms')",
            )
    finally:
        other.close()


@pytest.mark.slow
async def test_the_loop_goes_on_while_a_statement_runs(world):
    world.load_body(
        f"await db.execute('{NUMBERS} SELECT count(*) FROM (SELECT x FROM n LIMIT 500000)')",
        top=TOP,
    )
    await world.ask("await db.execute('SELECT 1')", top=TOP)
    world.load_body(
        f"await db.execute('{NUMBERS} SELECT count(*) FROM (SELECT x FROM n LIMIT 500000)')",
        top=TOP,
    )
    turns = 0
    firing = asyncio.ensure_future(world.again())
    while not firing.done():
        turns += 1
        await asyncio.sleep(0.001)

    assert turns > 5


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEKT 1", "ValueError: sqlite: near"),
        ("SELECT 1; SELECT 2", "ValueError: sqlite: You can only execute one"),
        ("SELECT ?", "ValueError: sqlite: Incorrect number of bindings"),
        ("BEGIN", "each statement is a transaction of its own"),
        ("SAVEPOINT a", "each statement is a transaction of its own"),
        ("ATTACH '/tmp/other.db' AS other", "ATTACH and VACUUM INTO reach other files"),
        ("VACUUM INTO '/tmp/copy.db'", "ATTACH and VACUUM INTO reach other files"),
        ("PRAGMA writable_schema = 1", "the pragma writable_schema is not for scripts"),
        ("SELECT load_extension('x')", "ValueError: sqlite: "),
        ("SELECT zeroblob(100000000)", "ValueError: sqlite: .*too big"),
        (NUMBERS + "SELECT x FROM n LIMIT 20000", "more than 10000 rows; use LIMIT"),
        (NUMBERS + "SELECT x, zeroblob(100000) FROM n LIMIT 1000", "octets; use LIMIT"),
    ],
)
async def test_statements_that_cannot_be_are_errors(world, sql, message):
    with pytest.raises(HookFailedError, match=message):
        await world.ask("await db.execute(given)", sql, top=TOP)


async def test_vacuum_is_allowed(world):
    assert await world.ask("return await db.execute('VACUUM')", top=TOP) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("db.execute('SELECT ?', [1])", "text, bytes, numbers or None, not list"),
        ("db.execute('SELECT :a', {1: 2})", "the names of values are text"),
        ("db.execute('SELECT ?', 1 << 70)", "ValueError: sqlite: .*too large"),
        ("db.execute('')", "a statement is expected"),
        ("db.execute(5)", "a statement is expected"),
        ("db.execute('SELECT 1', *[1] * 10001)", "more than 10000 values"),
    ],
)
async def test_values_that_cannot_be_are_errors(world, call, message):
    with pytest.raises(HookFailedError, match=message):
        await world.ask(f"await {call}", top=TOP)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("mta.sqlite.open('')", "the name of a file"),
        ("mta.sqlite.open(':memory:')", "mta.memoize keeps in memory"),
        ("mta.sqlite.open('file:x?mode=ro')", "the name of a file"),
        ("mta.sqlite.open('x', '1h')", "busy_timeout: at most 5 s"),
        ("mta.sqlite.open('x', statement_timeout=0)", "statement_timeout: more than 0"),
        ("db.execute('SELECT 1')", r"sqlite.execute\(\) waits: await it"),
    ],
)
async def test_wrong_use_is_an_error_at_the_call(world, call, message):
    world.load_body(call, top=TOP, kind="def")

    with pytest.raises(HookFailedError, match=message):
        world.runtime.fire_nowait("ask", None)


async def test_without_await_a_statement_is_an_error_with_its_line(world):
    with pytest.raises(HookFailedError, match=r"init.py:6: .*sqlite.execute\(\) without await"):
        await world.ask("db.execute('SELECT 1')", top=TOP)
