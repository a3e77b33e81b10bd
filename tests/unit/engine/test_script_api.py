"""What scripts may declare in init, and how they are told what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.dry_check import DryCheck
from engine.hooks import HOOKS
from engine.script_api import ScriptApi
from engine.script_declarations import Declarations
from engine.throttle.limiter import MemoryLimiter
from policy.errors import PolicyLoadError
from policy.hook import CallLimits
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from tests.fakes.pure_modules import expose_pure_modules


class Loader:
    """Loads scripts as a node would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api = ScriptApi(MemoryLimiter(lambda: 0.0))
        namespace = ScriptNamespace()
        self.api.expose(namespace, version="1.2.3")
        self.runtime = PolicyRuntime(HOOKS, namespace, mono=lambda: 0.0)
        expose_pure_modules(namespace, self.runtime, folder)
        self.check = DryCheck(self.runtime, self.api)

    def init(self, *lines: str) -> Declarations:
        body = "\n    ".join(lines or ("pass",))
        return self.load(f"@on('init')\ndef init():\n    {body}\n")

    def load(self, source: str) -> Declarations:
        path = self.folder / "init.py"
        path.write_text("import mta\nfrom mta import on\n" + source)
        self.runtime.swap(self.runtime.load(path, dry_check=self.check))
        return self.check.declarations


@pytest.fixture
def loader(tmp_path):
    return Loader(tmp_path)


def test_what_init_declares_is_kept(loader):
    declared = loader.init(
        "mta.define_spool(path='/var/spool/x', durability='relaxed', min_free_space='5%')",
        "mta.start_esmtp_listener(listen='127.0.0.1:25', banner='hi')",
        "mta.start_http_listener(listen='[::1]:80', request_body_limit=5,"
        " trusted_hosts=['10.0.0.0/8'])",
        "mta.configure_local_logs(log_dir='/var/log/x')",
        "mta.configure_log_hook(name='h', meta=['tenant'])",
        "mta.set_memory_soft_limit(1 << 30)",
        "mta.set_handler_limits(cpu='20ms')",
        "mta.set_handler_limits(event='smtp_data', cpu='80ms')",
        "mta.set_handler_limits(event='smtp_data', wait='3s')",
        "mta.dns.configure_resolver(name_servers=['127.0.0.1:53'])",
        "mta.dns.configure_test_resolver(zones=['z. A 127.0.0.1'], servfail=['bad.test'])",
    )

    assert (declared.spool.path, declared.spool.durability) == (Path("/var/spool/x"), "relaxed")
    assert declared.spool.min_free_space.share == 0.05
    assert declared.listeners["127.0.0.1", 25].banner == "hi"
    http = declared.http_listeners["::1", 80]
    assert http.request_body_limit == 5 and "10.1.1.1" in http.trusted_hosts
    assert list(declared.local_logs) == ["/var/log/x"]
    assert declared.log_hooks["h"].meta == ("tenant",)
    assert declared.memory_limits == {"soft_limit": 1 << 30}
    assert declared.handler_limits == {
        None: CallLimits(cpu_s=0.02),
        "smtp_data": CallLimits(0.08, 3.0),
    }
    assert declared.nameservers == ("127.0.0.1:53",)
    assert declared.test_resolver == (("z. A 127.0.0.1",), ("bad.test",))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mta.define_spool(path='')", "path: wants"),
        ("mta.define_spool(path='x', durability='maybe')", "durability: 'strict' or 'relaxed' is"),
        ("mta.define_spool(path='x', durability=str(3))", "durability: wants"),
        ("mta.define_spool(path='x', min_free_space='lots')", "min_free_space: wants"),
        ("mta.define_spool(path='x', paht='y')", "no option 'paht'; did you mean 'path'"),
        ("mta.define_spool(path='x', **{'paht': 1})", "no option 'paht'; did you mean path"),
        ("mta.define_spool()", "path"),
        ("mta.start_esmtp_listener(lisen='x')", "did you mean 'listen'"),
        ("mta.start_esmtp_listener(**{'lisen': 1})", "did you mean listen"),
        ("mta.start_esmtp_listener(max_message_size='big')", "max_message_size: a whole"),
        ("mta.start_esmtp_listener(max_message_size=-1)", "max_message_size: wants"),
        ("mta.start_http_listener(listen='nowhere')", "listen: "),
        (
            "mta.start_ssh_console(host_key='k', authorized_keys='a', password_roles={'a': 'b'})",
            "password_roles: there is no role",
        ),
        ("mta.start_http_listener(request_body_limit=True)", "request_body_limit: a whole number"),
        ("mta.start_http_listener(request_body_limit=-5)", "request_body_limit: a number from 1"),
        ("mta.start_http_listener(use_tls='yes')", "use_tls: True or False"),
        ("mta.start_http_listener(tls_certificate=5)", "tls_certificate: text or a dict"),
        ("mta.start_http_listener(tls_certificate={})", "tls_certificate: a key source"),
        ("mta.configure_log_hook(name=3)", "name: text"),
        ("mta.configure_log_hook(name='h', meta='abc')", "meta: a list"),
        ("mta.configure_log_hook(name='h', back_pressure='x')", "back_pressure: a whole number"),
        ("mta.configure_local_logs(log_dir=5)", "log_dir: text is expected"),
        ("mta.configure_local_logs(log_dir='')", "log_dir: wants"),
        ("mta.set_memory_hard_limit(5)", "at least 1 MiB"),
        ("mta.set_handler_limits()", "cpu or wait is expected"),
        ("mta.set_handler_limits(cpu='1m')", "cpu: 0.001 to 10 seconds"),
        ("mta.set_handler_limits(wait=0)", "wait: 0.1 to 600 seconds"),
        ("mta.set_handler_limits(event='message_recieved', cpu=1)", "did you mean 'message_rec"),
        ("mta.set_handler_limits(event='init', cpu=1)", "no event with limits of its own"),
        ("mta.set_memory_hard_limit('1GB')", "octets: a whole number"),
        ("mta.dns.configure_resolver(name_servers=[])", "name_servers: a list"),
        ("mta.nonsense()", "nonsense"),
    ],
)
def test_what_does_not_fit_is_a_load_error_with_its_line(loader, line, message):
    with pytest.raises(PolicyLoadError) as caught:
        loader.init("pass", line)

    assert message in caught.value.message
    assert (Path(caught.value.file).name, caught.value.line) == ("init.py", 6)


@pytest.mark.parametrize(
    "lines",
    [
        ("mta.define_spool(path='a')", "mta.define_spool(path='b')"),
        (
            "mta.start_esmtp_listener(listen='127.0.0.1:25')",
            "mta.start_esmtp_listener(listen='127.0.0.1:25')",
        ),
        (
            "mta.start_esmtp_listener(listen='127.0.0.1:25')",
            "mta.start_http_listener(listen='127.0.0.1:25')",
        ),
        ("mta.configure_local_logs(log_dir='a')", "mta.configure_local_logs(log_dir='a')"),
        ("mta.configure_log_hook(name='a')", "mta.configure_log_hook(name='a')"),
    ],
)
def test_declaring_twice_is_an_error(loader, lines):
    with pytest.raises(PolicyLoadError, match="twice|two listeners"):
        loader.init(*lines)


def test_declaring_belongs_into_init(loader):
    with pytest.raises(PolicyLoadError, match="belongs into the init event"):
        loader.load("mta.define_spool(path='x')\n")


def test_a_rejected_script_leaves_the_declarations_alone(loader):
    before = loader.init("mta.define_spool(path='good')")

    with pytest.raises(PolicyLoadError):
        loader.init("mta.define_spool(path='bad')", "mta.define_spool()")

    assert loader.check.declarations is before


def test_options_not_in_force_are_warnings(loader, caplog):
    declared = loader.init("mta.make_listener_domain(relay_to=True, log_oob='LogThenDrop')")

    assert declared.warnings == ["make_listener_domain: log_oob is known but not yet in force"]
    assert "log_oob is known but not yet in force" in caplog.text
    assert any("log_oob" in str(finding) for finding in loader.runtime.epoch.warnings)


def test_a_throttle_counts_and_tells(loader):
    throttle = loader.api.make_throttle("t", "2/min")

    results = [throttle.throttle()["throttled"] for _ in range(3)]

    assert results == [False, False, True]
    assert throttle.throttle()["retry_after"] > 0
    with pytest.raises(TypeError):
        throttle.delay_message_if_throttled("no message")


def test_scripts_write_into_the_diagnostic_log(loader, caplog):
    caplog.set_level("DEBUG", "cirrus.script")
    loader.init(
        "mta.log_info('hello ' + mta.version)", "mta.log_error('x' * 10000)", "mta.log_warn('%s')"
    )

    assert "hello 1.2.3" in caplog.messages
    assert "x" * 4096 in caplog.messages
    assert "%s" in caplog.messages
