"""Where something happened to a message."""

from engine.model.circumstances import NOWHERE, Circumstances


def test_what_is_not_known_of_an_attempt_stays_open():
    where = Circumstances("queue", "site", "source", "ESMTP")

    assert (where.peer, where.tls, where.session_id) == (None, None, None)


def test_what_happened_on_the_node_alone_names_no_other_place():
    assert (NOWHERE.ready_queue, NOWHERE.peer, NOWHERE.site) == ("", None, None)
