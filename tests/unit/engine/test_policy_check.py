"""A script is judged whole, without a node."""

from __future__ import annotations

import socket

import pytest

from engine import dry_check
from engine.policy_check import check_policy

GOOD = """\
import mta
from mta import on

@on("init")
def init():
    mta.define_spool(path="SPOOL")
    mta.configure_local_logs(log_dir="LOGS")
    mta.start_esmtp_listener(listen="127.0.0.1:2525")
"""


def findings_of(tmp_path, text: str) -> list[str]:
    script = tmp_path / "init.py"
    script.write_text(text.replace("SPOOL", f"{tmp_path}/spool").replace("LOGS", f"{tmp_path}/log"))
    return [str(finding).removeprefix(f"{tmp_path}/") for finding in check_policy(script)]


def test_a_good_script_has_no_findings_and_nothing_is_made(tmp_path):
    assert findings_of(tmp_path, GOOD) == []
    assert [path.name for path in tmp_path.iterdir()] == ["init.py"]


def test_a_port_in_use_is_not_touched(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert findings_of(tmp_path, GOOD.replace("2525", str(port))) == []


def test_a_file_that_is_missing_is_a_finding(tmp_path):
    (finding,) = check_policy(tmp_path / "none.py")
    assert (finding.severity, "No such file" in finding.message) == ("error", True)


def test_a_syntax_error_has_its_line(tmp_path):
    (finding,) = findings_of(tmp_path, GOOD + "x = = 1\n")
    assert finding.startswith("init.py:9: error: ")


def test_an_option_not_in_force_is_a_warning_at_the_line_of_its_call(tmp_path):
    path = """
@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    if routing_domain:
        return mta.make_egress_path(openssl_options="x")
"""
    assert findings_of(tmp_path, GOOD + path) == [
        "init.py:13: warning: make_egress_path: openssl_options is known but not yet in force"
    ]


def test_a_handler_of_an_event_that_is_not_fired_yet_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(dry_check, "NOT_YET_FIRED", frozenset({"rebind_message"}))
    handler = '@on("rebind_message")\ndef rebind_message(msg, data): ...\n'
    (finding,) = findings_of(tmp_path, GOOD + handler)
    assert finding.startswith("init.py:9: warning: the event rebind_message ")


def test_an_unknown_log_option_is_an_error_before_any_log_is_opened(tmp_path):
    (finding,) = findings_of(tmp_path, GOOD.replace('log_dir="LOGS"', 'log_dir="LOGS", age=1'))
    assert finding.startswith("init.py:7: error: ")
    assert "age" in finding


def test_a_script_without_a_spool_cannot_run_a_node(tmp_path):
    (finding,) = findings_of(tmp_path, "import mta\n")
    assert "declares no spool" in finding


def test_every_error_is_reported(tmp_path):
    wrong = """
@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(egress_pool="p")

@on("get_egress_pool")
def get_egress_pool(name):
    return mta.make_egress_pool(name=name, entries=[{"name": "a"}, {"name": "b"}])
"""
    (finding,) = findings_of(tmp_path, GOOD + wrong)
    assert finding == (
        "init.py:14: error: the pool 'p' names the sources 'a' and 'b', which do not exist"
    )


def test_a_pool_that_does_not_exist_is_an_error_where_it_is_named(tmp_path):
    wrong = """
@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(egress_pool="p")
"""
    assert findings_of(tmp_path, GOOD + wrong) == [
        "init.py:10: error: get_queue_config names the pool 'p', which does not exist"
    ]


def test_several_mistakes_are_told_at_once_each_with_a_hint(tmp_path):
    wrong = """
@on("message_received")
def message_received(msg):
    mta.log_inof("x")
    if msg.sender.domian == TABEL:
        mta.reject("550", "no")

TABLE = {}
"""
    assert findings_of(tmp_path, GOOD + wrong) == [
        "init.py:12: error: mta has no 'log_inof'; did you mean 'log_info'?",
        "init.py:13: error: Address has no 'domian'; did you mean 'domain'?",
        "init.py:14: error: mta.reject: code: a whole number is expected, not '550'",
    ]


def test_a_script_that_is_nested_too_deeply_is_an_error_of_its_own(tmp_path):
    (finding,) = findings_of(tmp_path, "x = " + "+".join(["1"] * 20_000) + "\n")

    assert finding.startswith("init.py: error: cannot be compiled: ")


def test_a_handler_without_the_name_of_an_event_is_an_error(tmp_path):
    (finding,) = findings_of(tmp_path, "from mta import on\n\n@on\ndef init(): ...\n")

    assert finding == 'init.py:3: error: on() takes the name of an event, as in @on("init")'


@pytest.mark.parametrize("text", ["while True: pass", "import os", "1 in iter(int, 1)"])
def test_a_script_that_goes_wrong_is_contained(tmp_path, text):
    (finding,) = findings_of(tmp_path, text + "\n")
    assert finding.startswith("init.py:1: error: ")


def test_a_certificate_that_is_not_there_is_a_warning(tmp_path):
    text = GOOD.replace('2525")', '2525", tls_certificate="/nowhere/cert.pem")')

    (finding,) = findings_of(tmp_path, text)

    assert finding == "init.py:8: warning: tls_certificate: there is no file /nowhere/cert.pem"


def test_all_handlers_that_do_not_fit_are_reported_though_the_first_ends_the_load(tmp_path):
    wrong = '@on("get_queue_confg")\ndef q(d): ...\n@on("get_egress_pool")\ndef p(a, b): ...\n'
    call = "\ndef path(d, s, n):\n    return mta.make_egress_path(bogus=1)\n"
    found = findings_of(tmp_path, GOOD + wrong + call)
    assert [text.split(": ", 2)[0] for text in found] == ["init.py:9", "init.py:11", "init.py:15"]


def test_what_is_wrong_in_an_import_and_in_the_script_is_reported_at_once(tmp_path):
    (tmp_path / "tenants.py").write_text("x = (\n")
    found = findings_of(tmp_path, GOOD + 'import tenants\n@on("nothing")\ndef n(): ...\n')
    assert [text.split(": ", 2)[0] for text in found] == ["tenants.py:1", "init.py:10"]


def test_errors_come_by_line(tmp_path):
    wrong = """
@on("get_egress_path")
def path(routing_domain, egress_source, site_name):
    return mta.make_egress_path(bogus=1)
@on("get_queue_config")
def queue(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(retry_interval="soon")
"""
    found = findings_of(tmp_path, GOOD + wrong)
    assert [text.split(": ", 2)[0] for text in found] == ["init.py:12", "init.py:15"]


@pytest.mark.parametrize("name", ["json.py", "uuid.py", "mta.py"])
def test_a_script_named_like_a_module_is_an_error(tmp_path, name):
    (tmp_path / name).write_text("")
    (finding,) = findings_of(tmp_path, GOOD)
    assert finding.startswith(f"{name}: error: a script cannot be named like the module ")


def test_an_import_that_does_not_exist_has_its_line(tmp_path):
    (finding,) = findings_of(tmp_path, GOOD + "import tenants\n")
    assert finding.startswith("init.py:9: error: ")
    assert "'tenants'" in finding
