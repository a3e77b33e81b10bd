"""Where a Redis is, as scripts say it."""

from __future__ import annotations

import pytest

from engine.model.redis_options import NODES_MAX, read_redis_options

URL = "redis://127.0.0.1:6379"


def test_one_node_is_a_server_and_several_are_a_cluster():
    assert not read_redis_options("f", {"node": URL}).is_cluster
    assert read_redis_options("f", {"node": [URL, URL]}).is_cluster
    assert read_redis_options("f", {"node": [URL], "cluster": True}).is_cluster


def test_what_is_not_given_has_the_defaults_of_the_caller():
    read = read_redis_options("f", {"node": URL, "wait_timeout": "3s"}, connect_s=1.0, wait_s=1.0)

    assert (read.connect_s, read.wait_s, read.response_s) == (1.0, 3.0, 5.0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "node is missing"),
        ({"node": "http://x"}, "redis://"),
        ({"node": []}, f"1 to {NODES_MAX}"),
        ({"node": [URL, URL], "cluster": False}, "several nodes are a cluster"),
        ({"node": URL, "wait_timeout": 0}, "above zero"),
        ({"node": URL, "colour": "red"}, "unknown option 'colour'"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(options, text):
    with pytest.raises((TypeError, ValueError), match=text):
        read_redis_options("f", options)


def test_no_text_of_the_options_holds_a_password():
    read = read_redis_options("f", {"node": "redis://u:hush@x:1", "password": "hush"})
    assert "hush" not in repr(read)
