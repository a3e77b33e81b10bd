"""What the load generator can be told."""

from __future__ import annotations

import pytest

from engine.tools.traffic_options import TrafficOptions, parse_domains, parse_sizes


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("2048", (2048, 2048)),
        ("2k", (2048, 2048)),
        ("2KiB", (2048, 2048)),
        (" 10k - 1M ", (10240, 1048576)),
        ("2-2", (2, 2)),
    ],
)
def test_sizes_are_read(text, sizes):
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize("text", ["", "1", "k", "-5", "2k-", "1G", "2000M", "2.5k", "10k-1k"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="size"):
        parse_sizes(text)


@pytest.mark.parametrize(
    ("text", "domains"),
    [
        ("a.example", (("a.example", 1.0),)),
        ("a.example:3, b.example", (("a.example", 3.0), ("b.example", 1.0))),
        ("a:0.5", (("a", 0.5),)),
    ],
)
def test_domains_are_read_with_their_weights(text, domains):
    assert parse_domains(text) == domains


@pytest.mark.parametrize(
    "text", ["", "a,,b", ":3", "a:", "a:0", "a:-1", "a:x", "a:nan", "a b", "a@b", "a>", "ä"]
)
def test_what_is_no_domain_or_weight_is_refused(text):
    with pytest.raises(ValueError, match="domain|weight"):
        parse_domains(text)


@pytest.mark.parametrize(
    ("given", "ends_after_s"),
    [({}, 60.0), ({"count": 5}, None), ({"duration_s": 3.0}, 3.0), ({"duration_s": 0.0}, 0.0)],
)
def test_a_run_without_an_end_lasts_a_minute(given, ends_after_s):
    assert TrafficOptions(("127.0.0.1", 25), **given).ends_after_s == ends_after_s
