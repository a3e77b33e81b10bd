"""The ports between dispatchers and the stages above."""

from engine.ready.ready_queue import ReadyQueue


def test_a_ready_queue_has_what_dispatchers_ask_for():
    wanted = {"take_nowait", "wait_message", "connected", "connect_failed", "return_all"}

    assert wanted | {"may_work", "renew_slots"} <= set(dir(ReadyQueue))
