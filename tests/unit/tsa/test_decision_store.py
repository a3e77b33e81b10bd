"""Decisions in force and on disk: all of a batch or nothing, and never a shorter end."""

from __future__ import annotations

import logging
import sqlite3

import msgspec
import pytest

from engine.model.decision import Decision, DecisionKind, DecisionScope
from engine.model.shaping_action import Adjustment
from tests.fakes.tsa_world import NOON
from tsa.adjustment import begin_adjustment
from tsa.decision_store import FORMAT, Batch, DecisionStore
from tsa.errors import ConfigurationError, StoreUnavailableError
from tsa.rule_engine import Mark
from tsa.seen_record import Cause
from tsa.settled_window import WindowState

SCOPE = DecisionScope(site_name="mx.test", source="ip-1", option="connection_limit")
ADJUSTMENT = Adjustment("max_message_rate", "1/min", factor=0.5, step=0.1, quiet_s=60.0)
CAUSE = Cause("r1", NOON, "a.test", "a.test", "ip-1", "mx.test", "mx.test")
WINDOW = WindowState(
    DecisionKind.OVERRIDE,
    SCOPE,
    "default",
    {30_000_000: [5, 2]},
    [NOON - 1, NOON],
    {int(NOON): (3, 1, [NOON], CAUSE), int(NOON) + 1: (1, 0, [], None)},
)


def decision(at=NOON, *, domain="a.test", record="r1", lasts_s=600.0, **more):
    facts = {
        "kind": DecisionKind.BOUNCE,
        "scope": DecisionScope(domain=domain),
        "rule_hash": "abc-0",
        "reason": "automation rule: gone",
        "expires_at": at + lasts_s,
        "first_record_at": at,
        "last_record_at": at,
        "first_record_id": record,
        "last_record_id": record,
    }
    return Decision(**(facts | more))


def override(value, at=NOON, **more):
    return decision(at, kind=DecisionKind.OVERRIDE, scope=SCOPE, value=value, **more)


@pytest.fixture
def store(tmp_path):
    opened = DecisionStore(tmp_path / "state")
    opened.open()
    yield opened
    opened.close()


def reopened(store):
    """Return another store on the same folder, and what it found."""
    store.close()
    again = DecisionStore(store._path.parent)
    return again, again.open()


# -- in force


def test_a_new_decision_is_news(store):
    assert store.take(decision()) == (decision(), True)
    assert list(store.active(NOON)) == [decision()]


def test_a_repeat_counts_and_is_news_only_when_it_holds_noticeably_longer(store):
    store.take(decision())

    made, is_news = store.take(decision(NOON + 20, record="r2"))
    assert (made.count, made.expires_at, is_news) == (2, NOON + 620, False)

    made, is_news = store.take(decision(NOON + 100, record="r3"))
    assert (made.count, made.expires_at, is_news) == (3, NOON + 700, True)
    assert (made.first_record_id, made.last_record_id) == ("r1", "r3")


def test_an_older_record_never_shortens_and_is_the_first(store):
    store.take(decision())

    made, is_news = store.take(decision(NOON - 300, record="r0"))

    assert (made.expires_at, is_news) == (NOON + 600, False)
    assert (made.first_record_id, made.last_record_id) == ("r0", "r1")


def test_another_value_is_news(store):
    store.take(override(10))

    made, is_news = store.take(override(5, NOON + 1, record="r2"))

    assert (made.value, is_news) == (5, True)


def test_what_time_did_takes_the_place_and_counts_no_record(store):
    store.take(override(10))

    made, is_news = store.take(override(15, count=0, lasts_s=30.0))

    assert (made.value, made.expires_at, is_news) == (15, NOON + 30, True)
    assert (made.count, made.last_record_id) == (1, "r1")


def test_expired_decisions_are_not_active_and_go(store):
    store.take(decision())
    store.take(decision(domain="b.test", lasts_s=900.0))

    assert [one.scope.domain for one in store.active(NOON + 600)] == ["b.test"]
    assert [one.scope.domain for one in store.forget_expired(NOON + 600)] == ["a.test"]
    assert len(store.in_force) == 1


# -- on disk


def full_batch():
    value = begin_adjustment(ADJUSTMENT, "10/s", NOON)
    return Batch(
        {decision().key: decision(), override([1, {"a": 2}]).key: override([1, {"a": 2}])},
        [Mark("w1", NOON, "r1"), Mark("w1", NOON - 5, "r0")],
        {"w2": WINDOW},
        {"w3": (value, override("5/s"))},
    )


def test_what_was_saved_is_found_again(store):
    batch = full_batch()
    store.save(batch)

    again, kept = reopened(store)

    assert again.in_force == batch.decisions
    assert kept.marks == [Mark("w1", NOON - 5, "r0"), Mark("w1", NOON, "r1")], "oldest first"
    assert kept.windows == batch.windows
    assert kept.adjusted == batch.adjusted
    again.close()


def test_what_is_saved_again_takes_its_place_and_what_is_none_goes(store):
    batch = full_batch()
    store.save(batch)
    newer = msgspec.structs.replace(WINDOW, instants=[])
    later = decision(lasts_s=900.0)

    store.save(Batch({later.key: later}, [], {"w2": newer, "w9": None}, {"w3": None}))
    again, kept = reopened(store)
    assert again.in_force[later.key] == later
    assert (kept.windows, kept.adjusted, len(kept.marks)) == ({"w2": newer}, {}, 2)

    again.save(Batch(windows={"w2": None}))
    last, kept = reopened(again)
    assert kept.windows == {}
    last.close()


def test_an_empty_batch_has_no_length():
    assert not Batch()
    assert len(full_batch()) == 6


def test_pruning_drops_what_expired_and_what_counts_no_more(store):
    store.save(full_batch())

    store.prune(NOON + 1000, NOON - 1)

    again, kept = reopened(store)
    assert again.in_force == {}
    assert kept.marks == [Mark("w1", NOON, "r1")]
    assert kept.windows
    again.close()


def test_a_batch_that_fails_leaves_nothing_of_it(store):
    good = full_batch()
    broken = Batch(good.decisions, [*good.marks, ("too", "short")], good.windows)

    with pytest.raises(StoreUnavailableError, match="cannot be written"):
        store.save(broken)

    again, kept = reopened(store)
    assert (again.in_force, kept.marks, kept.windows) == ({}, [], {})
    again.save(good)
    again.close()


def test_a_store_that_is_closed_says_so(store):
    store.close()

    with pytest.raises(StoreUnavailableError, match="closed"):
        store.save(full_batch())
    store.close()


def test_a_folder_has_one_store(store, tmp_path):
    with pytest.raises(ConfigurationError, match=r"tsa\.db cannot be used: database is locked"):
        DecisionStore(tmp_path / "state").open()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match=r"file/state/tsa\.db cannot be used"):
        DecisionStore(tmp_path / "file" / "state").open()


def test_a_damaged_file_is_set_aside_and_an_empty_one_begins(store, caplog):
    store.save(full_batch())
    store.close()
    path = store._path
    path.write_bytes(b"no database, certainly" * 500)

    again = DecisionStore(path.parent)
    kept = again.open()

    assert (again.in_force, kept.marks, kept.windows, kept.adjusted) == ({}, [], {}, {})
    assert path.with_suffix(".damaged").read_bytes().startswith(b"no database")
    assert [one.levelno for one in caplog.records] == [logging.ERROR]
    again.save(full_batch())
    again.close()


def test_a_file_of_a_newer_format_is_left_alone(store):
    store.save(full_batch())
    store.close()
    with sqlite3.connect(store._path) as database:
        database.execute(f"PRAGMA user_version = {FORMAT + 1}")
    database.close()

    with pytest.raises(ConfigurationError, match=f"has format {FORMAT + 1}, not {FORMAT}"):
        DecisionStore(store._path.parent).open()


def test_of_the_first_format_decisions_and_matches_are_kept(store):
    store.save(full_batch())
    store.close()
    with sqlite3.connect(store._path) as database:
        database.execute("DROP TABLE counted")
        database.execute("CREATE TABLE share (window TEXT PRIMARY KEY, body BLOB NOT NULL)")
        database.execute("INSERT INTO share VALUES ('w', 'old')")
        database.execute("PRAGMA user_version = 1")
    database.close()

    again = DecisionStore(store._path.parent)
    kept = again.open()

    assert len(again.in_force) == 2
    assert (len(kept.marks), len(kept.adjusted), kept.windows) == (2, 1, {})
    again.close()
