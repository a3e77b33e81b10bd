"""The check of shaping files says all there is to say, and asks only whom it may."""

from __future__ import annotations

import pytest

from engine.model.errors import ConfigurationError, DnsFailureError
from engine.route.dns_backend import NameServerBackend
from engine.shaping_check import check_shaping

pytestmark = pytest.mark.real_time

ZONE = """\
$ORIGIN test.
@ 60 IN SOA ns hostmaster 1 60 60 60 60
one 60 IN MX 10 mx.big
two 60 IN MX 10 mx.big
null 60 IN MX 0 .
mx.big 60 IN A 192.0.2.1
"""
RULES = """\
[provider.big]
match = [{ MXSuffix = ".big.test" }]
["one.test"]
max_ready = 5
["two.test"]
max_redy = 5
["null.test"]
max_ready = 5
["gone.test"]
max_ready = 5
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return str(path)


@pytest.fixture
def _nobody_asked(monkeypatch):
    async def ask(self, name, rdtype):
        raise AssertionError(f"a name server was asked for {name}")

    monkeypatch.setattr(NameServerBackend, "ask", ask)


def lines(findings):
    return [(one.line, one.severity) for one in findings]


@pytest.mark.usefixtures("_nobody_asked")
def test_with_zones_everything_is_found_and_nobody_is_asked(file):
    found = check_shaping([file], zones=[ZONE])

    assert lines(found) == [
        (3, "warning"),  # belongs to the provider
        (5, "warning"),  # the same site
        (5, "warning"),  # belongs to the provider
        (6, "error"),
        (7, "warning"),  # takes no mail
        (9, "warning"),  # does not exist
    ]
    assert {one.file for one in found} == {file}


@pytest.mark.usefixtures("_nobody_asked")
def test_without_dns_what_the_files_say_by_themselves_is_found(file):
    assert lines(check_shaping([file], with_dns=False)) == [(6, "error")]


@pytest.mark.usefixtures("_nobody_asked")
def test_files_are_checked_as_they_are_laid_over_each_other(file, tmp_path):
    later = tmp_path / "later.toml"
    later.write_text("['two.test']\nreplace_base = true\n")

    found = check_shaping([file, str(later)], with_dns=False)

    assert lines(found) == [(6, "warning")]
    assert "does no harm" in found[0].message


def test_a_name_server_that_does_not_answer_is_a_warning_for_each_domain(file, monkeypatch):
    async def ask(self, name, rdtype):
        raise DnsFailureError(f"no answer for {name}")

    monkeypatch.setattr(NameServerBackend, "ask", ask)
    found = check_shaping([file])

    assert lines(found) == [
        (3, "warning"),
        (5, "warning"),
        (6, "error"),
        (7, "warning"),
        (9, "warning"),
    ]


def test_a_text_that_is_no_zone_is_an_error(file):
    with pytest.raises(ConfigurationError):
        check_shaping([file], zones=["$ORIGIN\nnonsense"])


def test_files_that_are_not_there_are_found():
    (finding,) = check_shaping(["/nowhere/rules.toml"], with_dns=False)

    assert (finding.file, finding.severity) == ("/nowhere/rules.toml", "error")
