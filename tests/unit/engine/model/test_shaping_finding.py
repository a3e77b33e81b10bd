"""Findings name file, line and key, weigh what the options say, and are one line each."""

from __future__ import annotations

import pytest

from engine.model.shaping_finding import (
    CHECK_OPTIONS,
    FileView,
    FindingList,
    LoadOptions,
    Place,
    Severity,
    ShapingFinding,
    format_key,
    parse_load_options,
)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ((), ""),
        (("default", "max_ready"), "default.max_ready"),
        (("a.example", "automation", 0, "regex", 1), '"a.example".automation[0].regex[1]'),
        (("provider", "big", "sources", "ip-1"), "provider.big.sources.ip-1"),
        (("x" * 300 + ".",), '"' + "x" * 100 + '"'),
    ],
)
def test_a_key_is_shown_as_operators_write_it(path, shown):
    assert format_key(path) == shown


def test_a_finding_is_a_line_that_editors_understand():
    finding = ShapingFinding("base.toml", 7, "error", "is wrong", "default.max_ready")

    assert str(finding) == "base.toml:7: error: default.max_ready: is wrong"
    assert str(ShapingFinding("base.toml", None, "warning", "x")) == "base.toml: warning: x"


def test_what_is_ignored_is_not_found():
    findings = FindingList()

    findings.add(Severity.IGNORE, Place("a", 1), "x", ())
    findings.add(Severity.WARN, Place("a", 2), "y", ("k",))
    findings.add(Severity.ERROR, Place("a", 3), "z", ())

    assert [str(one) for one in findings.found] == ["a:2: warning: k: y", "a:3: error: z"]


def test_a_finding_stays_one_line_whatever_the_file_holds():
    findings = FindingList()

    findings.add(Severity.WARN, Place("a", 2), "odd \x1b[31m\n value", ())

    assert findings.found[0].message == "odd \\x1b[31m\\n value"


def test_a_view_of_a_file_knows_the_lines():
    view = FileView("a.toml", lambda *path: len(path))

    view.error("wrong", "one", "two")
    view.warn("odd", "one")

    assert [str(one) for one in view.findings] == [
        "a.toml:2: error: one.two: wrong",
        "a.toml:1: warning: one: odd",
    ]
    assert view.place("a", "b", "c") == Place("a.toml", 3)


def test_a_load_is_quiet_and_a_check_is_not():
    assert LoadOptions().dns_fail is LoadOptions().remote_load is Severity.IGNORE
    assert LoadOptions().local_load is CHECK_OPTIONS.local_load is Severity.ERROR
    assert CHECK_OPTIONS.dns_fail is CHECK_OPTIONS.null_mx is Severity.WARN
    assert CHECK_OPTIONS.provider_overlap is CHECK_OPTIONS.aliased_site is Severity.WARN


def test_options_are_read_as_operators_write_them():
    options = parse_load_options(
        {"dns_fail": "Error", "null_mx": "warn", "skip_remote": True, "http_timeout": "2s"}
    )

    assert options == LoadOptions(
        dns_fail=Severity.ERROR, null_mx=Severity.WARN, skip_remote=True, http_timeout_s=2.0
    )


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"dns_fial": "Warn"}, TypeError, "did you mean 'dns_fail'"),
        ({"dns_fail": "Loud"}, ValueError, "one of Ignore, Warn, Error"),
        ({"http_timeout": 0}, ValueError, "above zero"),
    ],
)
def test_an_option_that_does_not_fit_is_an_error(given, error, text):
    with pytest.raises(error, match=text):
        parse_load_options(given)
