"""Endpoints as operators give them."""

from __future__ import annotations

import click
import pytest

from engine.cli.endpoint import parse_endpoint, shown_endpoint


def test_user_and_password_become_a_header_and_nothing_else():
    url, headers = parse_endpoint("https://ann:p%40ss@mta.test:8443/node/")

    assert url == "https://mta.test:8443/node"
    assert headers == {"User-Agent": "cirrus", "Authorization": "Basic YW5uOnBAc3M="}
    assert shown_endpoint("https://ann:p%40ss@mta.test:8443/node/") == "https://mta.test:8443"


def test_without_a_user_nobody_is_named():
    assert parse_endpoint("http://[::1]:8000") == ("http://[::1]:8000", {"User-Agent": "cirrus"})


@pytest.mark.parametrize(
    "text", ["", "mta", "ftp://x", "http://", "http://x:y", "http://[x", "http://x:0"]
)
def test_another_text_is_wrong_usage(text):
    with pytest.raises(click.UsageError, match="a URL is expected"):
        parse_endpoint(text)
