"""What a script of the daemon declares becomes settings; what does not fit is an error."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from policy.errors import PolicyLoadError
from tsa.errors import ConfigurationError
from tsa.script_api import TsaScript
from tsa.settings import STATE, TsaListener

HEAD = 'import mta\nimport mta.tsa\nfrom mta import on\n\n\n@on("tsa_init")\ndef tsa_init():\n'
NAMES = '\n\n@on("load_shaping_data")\ndef load_shaping_data():\n    return {names}\n'


class Written:
    """A script in a folder; ``write`` replaces it."""

    def __init__(self, folder):
        self.path = folder / "policy.py"
        self.script = TsaScript(self.path, lambda: 0.0)

    def write(self, body="pass", names="[]"):
        lines = "".join(f"    {line}\n" for line in body.split("\n"))
        self.path.write_text(HEAD + lines + NAMES.format(names=names))

    def load(self, body="pass", names="[]"):
        self.write(body, names)
        self.script.load()
        return self.script.settings()


@pytest.fixture
def written(tmp_path):
    return Written(tmp_path)


def test_a_script_that_declares_nothing_gets_what_holds_without_a_word(written):
    settings = written.load()

    assert settings.listeners == (TsaListener(),)
    assert settings.state == STATE
    assert settings.shaping == ()
    assert not settings.is_switched_off


def test_listeners_are_declared_with_their_options(written):
    settings = written.load(
        'mta.tsa.start_http_listener(listen="127.0.0.1:8010", hostname="tsa.test",'
        ' trusted_hosts=["192.0.2.0/24"], use_tls=True, tls_certificate={"key_data": "C"},'
        ' tls_private_key="key.pem")\n'
        'mta.tsa.start_http_listener(listen="[::1]:8011")'
    )

    first, second = settings.listeners
    assert (first.listen, first.hostname, first.use_tls) == (("127.0.0.1", 8010), "tsa.test", True)
    assert "192.0.2.9" in first.trusted_hosts
    assert "127.0.0.1" not in first.trusted_hosts
    assert first.tls_certificate == {"key_data": "C"}
    assert first.tls_private_key == str(written.path.parent / "key.pem")
    assert second.listen == ("::1", 8011)
    assert "127.0.0.1" in second.trusted_hosts


def test_names_count_from_the_folder_of_the_script(written):
    settings = written.load(
        'mta.tsa.configure_state(path="state")',
        '["rules.toml", "/etc/more.toml", "https://x.test/far.toml"]',
    )

    folder = written.path.parent
    assert settings.state == folder / "state"
    assert settings.shaping == (
        str(folder / "rules.toml"),
        "/etc/more.toml",
        "https://x.test/far.toml",
    )


def test_the_older_name_of_the_state_names_a_file_in_its_folder(written):
    settings = written.load('mta.tsa.configure_tsa_db_path("/srv/tsa/tsa.db")')

    assert settings.state == Path("/srv/tsa")


def test_the_refresh_interval_is_a_duration(written):
    assert written.load('mta.tsa.set_refresh_interval("2 minutes")').refresh_s == 120
    assert written.load("mta.tsa.set_refresh_interval(0.5)").refresh_s == 0.5


def test_the_automation_is_switched_off_by_one_line_and_on_without_it(written):
    assert written.load("mta.tsa.switch_off()").is_switched_off
    assert not written.load().is_switched_off


def test_resolvers_are_declared(written):
    zone = "$ORIGIN x.test.\n@ 60 IN MX 10 mx.x.test."
    settings = written.load(
        f"mta.dns.configure_test_resolver(zones=[{zone!r}], servfail=['y.test'])\n"
        'mta.dns.configure_resolver(name_servers=["192.0.2.53", "192.0.2.54:5353"])'
    )

    assert settings.test_resolver.zones == (zone,)
    assert settings.test_resolver.servfail == ("y.test",)
    assert settings.name_servers == ("192.0.2.53", "192.0.2.54:5353")


def test_both_events_may_be_async(written):
    written.write('mta.tsa.configure_state(path="/s")', '["/r.toml"]')
    written.path.write_text(written.path.read_text().replace("def ", "async def "))
    written.script.load()

    settings = written.script.settings()

    assert settings.state == Path("/s")
    assert settings.shaping == ("/r.toml",)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('mta.tsa.start_http_listener(listen="nowhere")', "listen"),
        ("mta.tsa.start_http_listener(listen=8008)", "listen"),
        ('mta.tsa.start_http_listener(port="1")', "port"),
        ('mta.tsa.start_http_listener(trusted_hosts="10.0.0.0/8")', "trusted_hosts"),
        ('mta.tsa.start_http_listener(use_tls="yes")', "use_tls"),
        ("mta.tsa.start_http_listener(tls_certificate=5)", "tls_certificate"),
        ("mta.tsa.start_http_listener()\n" * 2 + "pass", "two listeners"),
        ("mta.tsa.configure_state(path=5)", "path"),
        ("mta.tsa.configure_tsa_db_path(5)", "text"),
        ("mta.tsa.set_refresh_interval(0)", "above zero"),
        ("mta.tsa.set_refresh_interval(-1)", "-1"),
        ('mta.dns.configure_test_resolver(zones="x")', "list"),
        ("mta.dns.configure_test_resolver(zones=[5])", "zone file"),
        ('mta.dns.configure_test_resolver(zones=["nonsense zone"])', "zone"),
        ('mta.dns.configure_resolver(name_servers=["somewhere"])', "somewhere"),
        ("mta.tsa.switch_of()", "switch_of"),
        ("1 / 0", "ZeroDivisionError"),
        pytest.param("while True: pass", "CPU", marks=pytest.mark.slow),
    ],
)
def test_what_does_not_fit_is_an_error_of_its_line(written, body, said):
    with pytest.raises(PolicyLoadError) as raised:
        written.load(body)

    assert raised.value.file == str(written.path)
    assert raised.value.line in (8, 9)
    assert said in raised.value.message


@pytest.mark.parametrize("names", ['"rules.toml"', "[5]", "{}", '["a\\nb"]', "5"])
def test_what_is_no_list_of_names_is_an_error(written, names):
    with pytest.raises(PolicyLoadError) as raised:
        written.load(names=names)

    assert "load_shaping_data" in raised.value.message


def test_a_reload_that_fails_leaves_what_was_declared(written):
    before = written.load('mta.tsa.configure_state(path="/a")', '["/r.toml"]')

    written.write("mta.tsa.configure_state(folder=5)")
    assert written.script.runtime.reload_if_changed() is None
    assert written.script.settings() == before

    written.write("pass", "[5]")
    assert written.script.runtime.reload_if_changed() is None
    assert written.script.settings() == before

    written.write('mta.tsa.configure_state(path="/b")')
    assert written.script.runtime.reload_if_changed() is not None
    assert written.script.settings().state == Path("/b")


def test_an_answer_that_fails_only_later_is_an_error_for_the_operator(written):
    written.path.write_text(
        "from mta import on\ncalls = []\n\n\n"
        '@on("load_shaping_data")\ndef load_shaping_data():\n'
        "    calls.append(1)\n    if len(calls) > 2:\n        return [5]\n    return []\n"
    )
    written.script.load()
    assert written.script.sources() == ()

    with pytest.raises(ConfigurationError, match="load_shaping_data"):
        written.script.sources()


def test_declarations_belong_into_tsa_init(written):
    with pytest.raises(PolicyLoadError, match=r"belongs into tsa_init"):
        written.load(names="mta.tsa.switch_off()")


def test_lines_of_a_script_are_lines_of_the_log(written, caplog):
    caplog.set_level(logging.DEBUG, "cirrus.script")

    written.load('mta.log_warn("a %s")\nmta.log_info(5)')

    texts = {one.getMessage() for one in caplog.records if one.name == "cirrus.script"}
    assert texts == {"a %s", "5"}


def test_lines_of_a_script_can_be_rare(written, caplog):
    caplog.set_level(logging.DEBUG, "cirrus.script")

    written.load('for name in "abc":\n        mta.log_warn(name, every="1m", key="names")')

    assert [one.getMessage() for one in caplog.records if one.name == "cirrus.script"] == ["a"]
