"""What init says of look-ups, and where data files may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy.errors import PolicyLoadError
from tests.unit.engine.test_script_api import Loader


@pytest.fixture
def loader(tmp_path):
    return Loader(tmp_path)


def test_the_resolver_is_declared_with_its_limits(loader):
    declared = loader.init(
        "mta.dns.configure_resolver(name_servers=['127.0.0.1:53'], options={'cache_size': 7})",
        "mta.dns.set_mx_timeout('3s')",
        "mta.dns.set_mx_concurrency_limit(4)",
        "mta.dns.set_mx_negative_cache_ttl('1m')",
    )

    options = declared.resolver_options
    assert declared.nameservers == ("127.0.0.1:53",)
    assert (options.cache_size, options.timeout_s, options.concurrency, options.negative_ttl_s) == (
        7,
        3.0,
        4,
        60.0,
    )


def test_options_not_in_force_are_warnings(loader):
    declared = loader.init(
        "mta.dns.configure_resolver(name_servers=['127.0.0.1'], search=['x.test'],"
        " options={'ndots': 2})"
    )

    assert declared.warnings == [
        "configure_resolver: domain, search: names are looked up as they are written",
        "configure_resolver: options: ndots is known but not yet in force",
    ]


def test_folders_for_data_are_declared(loader):
    assert loader.init("mta.sqlite.allow_folder('/var/lib/x')").data_folders == (
        Path("/var/lib/x"),
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mta.dns.configure_test_resolver(zones='x')", "a list is expected"),
        ("mta.dns.configure_test_resolver(zones=[5])", "text of a zone file"),
        ("mta.dns.set_mx_timeout(0)", "above zero"),
        ("mta.dns.set_mx_concurrency_limit('x')", "whole number"),
        ("mta.dns.set_mx_negative_cache_ttl('-1s')", "negative"),
        ("mta.dns.configure_resolver(name_servers=['127.0.0.1'], options={'x': 1})", "unknown"),
        ("mta.dns.configure_resolver(name_servers=['127.0.0.1'], serch=[])", "serch"),
        ("mta.sqlite.allow_folder('var')", "absolute"),
    ],
)
def test_what_does_not_fit_is_a_load_error_with_its_line(loader, line, message):
    with pytest.raises(PolicyLoadError, match=message) as caught:
        loader.init("pass", line)

    assert caught.value.line == 6


def test_outside_init_nothing_can_be_declared(loader):
    with pytest.raises(PolicyLoadError, match=r"mta.dns.set_mx_timeout belongs into the init"):
        loader.load("mta.dns.set_mx_timeout(5)\n")
