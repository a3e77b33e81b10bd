"""Options of shaping.setup: read, checked, and where they do nothing that is said."""

from __future__ import annotations

import pytest

from engine.helpers.shaping_options import WITHOUT_EFFECT, parse_shaping_options
from engine.model.log_record import RecordKind
from engine.model.shaping_finding import Severity
from engine.model.shaping_rule_set import SKIPPED_KINDS


def read(**given):
    return parse_shaping_options(given)[0]


def test_nothing_given_is_a_node_without_automation():
    options = read()
    assert (options.publish, options.subscribe) == ((), ())
    assert (options.cache_ttl_s, options.publish_timeout_s) == (60.0, 60.0)
    assert options.pre_filter
    assert options.skipped == SKIPPED_KINDS


def test_urls_are_bases_and_each_counts_once():
    options = read(publish=["http://a:1/", "http://a:1", "https://b/tsa/"], subscribe="http://a:1")
    assert options.publish == ("http://a:1", "https://b/tsa")
    assert options.subscribe == ("http://a:1",)


@pytest.mark.parametrize(
    "url", ["a.example", "ftp://a", "http://", "http://a:port", "http://a?x=1", "http://a b", 3]
)
def test_what_is_no_url_is_refused_by_name(url):
    with pytest.raises(ValueError, match="publish: a URL"):
        read(publish=[url])


def test_types_of_records_are_named():
    options = read(skip_log_record_types=["Delivery"], additional_skip_log_record_types=["OOB"])
    assert options.skipped == {RecordKind.DELIVERY}
    assert options.more_skipped == {RecordKind.OOB}


def test_an_unknown_type_of_record_is_refused():
    with pytest.raises(ValueError, match="'Deliveries' is no type of a log record"):
        read(skip_log_record_types=["Deliveries"])


def test_findings_can_be_given_weights():
    assert read(load_validation_options={"dns_fail": "Warn"}).load.dns_fail is Severity.WARN
    with pytest.raises(ValueError, match="unknown option 'dns_fall'"):
        read(load_validation_options={"dns_fall": "Warn"})


def test_durations_are_written_as_everywhere():
    assert read(cache_ttl="5m", publish_timeout="10s").cache_ttl_s == 300.0
    with pytest.raises(ValueError, match="publish_timeout: a duration above zero"):
        read(publish_timeout=0)


def test_an_interval_of_nothing_makes_no_loop():
    assert read(cache_ttl="1ms").cache_ttl_s == 1.0


def test_an_unknown_option_is_refused_with_a_hint():
    with pytest.raises(TypeError, match="did you mean 'subscribe'"):
        read(subscribed=["http://a"])


@pytest.mark.parametrize("name", sorted(WITHOUT_EFFECT))
def test_an_option_without_effect_says_so(name):
    _, notes = parse_shaping_options({name: False})
    assert len(notes) == 1
    assert notes[0].startswith(f"{name} has no effect: ")


def test_no_default_files_is_what_there_is_anyway():
    assert parse_shaping_options({"no_default_files": True})[1] == []
