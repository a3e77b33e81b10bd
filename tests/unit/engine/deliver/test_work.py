"""The ports between dispatchers and the stages above."""

from engine.deliver.work import Circumstances
from engine.ready.ready_queue import ReadyQueue


def test_a_ready_queue_has_what_dispatchers_ask_for():
    wanted = {"take_nowait", "wait_message", "connected", "connect_failed", "return_all"}

    assert wanted | {"may_work", "renew_slots"} <= set(dir(ReadyQueue))


def test_what_is_not_known_of_an_attempt_stays_open():
    where = Circumstances("queue", "site", "source", "ESMTP")

    assert (where.peer, where.tls, where.session_id) == (None, None, None)
