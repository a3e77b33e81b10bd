"""The URL of another node, and the queue that is named after it."""

import pytest

from engine.model.queue_name import parse_queue_name
from engine.model.transfer_target import (
    TransferTarget,
    is_transfer_queue,
    parse_target,
    parse_transfer_queue,
    target_of,
)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://10.0.0.2:8000", "http://10.0.0.2:8000/"),
        ("http://10.0.0.2:8000/", "http://10.0.0.2:8000/"),
        ("HTTP://MTA.Example:80", "http://mta.example/"),
        ("https://mta.example:443/", "https://mta.example/"),
        ("https://mta.example:80", "https://mta.example:80/"),
        ("http://[::1]:8000", "http://[::1]:8000/"),
        ("http://mta.example/behind/a/proxy//", "http://mta.example/behind/a/proxy/"),
    ],
)
def test_one_target_has_one_spelling(text, url):
    target = parse_target(text)

    assert target.url == url
    assert target.queue_name == f"{url}.xfer.kumomta.internal"
    assert target.inject_url == f"{url}api/xfer/inject/v1"
    assert parse_target(url) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.2:8000",
        "ftp://10.0.0.2",
        "http://",
        "http://:8000",
        "http://h:0",
        "http://h:99999",
        "http://h:port",
        "http://h/?a=b",
        "http://h/#a",
        "http://h/a@b",
        "http://h/a!b",
        "http://h/a b",
        "http://h\r\nX: y",
        "http://[::1",
        "http://" + "h" * 500,
        None,
        5,
    ],
)
def test_what_is_no_url_of_a_node_is_refused(text):
    with pytest.raises(ValueError, match="URL of a node"):
        parse_target(text)


def test_credentials_are_kept_apart_and_out_of_every_text():
    target = parse_target("https://anna:p%40ss@mta.example:8443")

    assert (target.user, target.password) == ("anna", "p@ss")
    for text in (str(target), repr(target), target.url, target.queue_name, target.inject_url):
        assert "p@ss" not in text
        assert "p%40ss" not in text


def test_a_refusal_does_not_show_a_password():
    with pytest.raises(ValueError, match="URL of a node") as caught:
        parse_target("ftp://anna:secret@mta.example")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://10.0.0.2:8000/", "http://[::1]:8000/", "https://m/a/b/"])
def test_a_queue_gives_its_target_back_and_has_no_tenant(url):
    name = TransferTarget(url).queue_name

    assert target_of(name) == TransferTarget(url)
    assert is_transfer_queue(name)
    assert parse_queue_name(name) == (name, None, None, None)


@pytest.mark.parametrize(
    "name",
    [
        "y.test",
        "tenant@y.test",
        ".xfer.kumomta.internal",
        "mta.example.xfer.kumomta.internal",
        "http://h:8000.xfer.kumomta.internal",
        "HTTP://h/.xfer.kumomta.internal",
        "http://u:p@h/.xfer.kumomta.internal",
    ],
)
def test_any_other_queue_is_none_of_a_transfer(name):
    assert target_of(name) is None
    assert not is_transfer_queue(name)


@pytest.mark.parametrize(
    "text",
    [
        "http://h:8000/.xfer.kumomta.internal",
        "http://h:8000.xfer.kumomta.internal",
        "http://h:8000",
    ],
)
def test_operators_name_a_transfer_queue_by_its_url(text):
    assert parse_transfer_queue(text) == "http://h:8000/.xfer.kumomta.internal"


def test_operators_are_told_how_such_a_queue_is_named():
    with pytest.raises(ValueError, match=r"URL\.xfer\.kumomta\.internal"):
        parse_transfer_queue("y.test")
