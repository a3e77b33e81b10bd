"""The type stubs of ``mta`` say what scripts really get: names, keywords, events, methods."""

from __future__ import annotations

import ast
import inspect
import shutil
import subprocess
import sys

import pytest

from engine.hooks import HOOKS
from engine.model import egress, listener_domain, listener_options, queue_config
from engine.model.address import EnvelopeAddress
from engine.model.address_header import AddressEntry, AddressHeader
from engine.model.address_list import AddrSpec, Group, Mailbox
from engine.model.authentication_results import AuthenticationResult, AuthenticationResults
from engine.model.egress_options import PATH_OPTIONS
from engine.model.mime_builder import MessageBuilder
from engine.model.mime_headers import Header, HeaderMap
from engine.model.mime_params import MimeParams
from engine.model.mime_part import Attachment, MimePart, SimpleStructure
from engine.records.local_log import LocalLogOptions
from engine.script_api import ScriptApi
from engine.script_modules.network_modules import NetworkModules
from engine.script_throttle import ScriptThrottle
from engine.script_views import ConnectionView, MessageView
from policy.script_api import ScriptNamespace
from proxy.hooks import HOOKS as PROXY_HOOKS
from proxy.script_api import ProxyScript
from tests.architecture.shape import ROOT
from tests.fakes.pure_modules import expose_pure_modules
from tsa.hooks import HOOKS as DAEMON_HOOKS
from tsa.script_api import TsaScript

FOLDER = ROOT / "mta-stubs"


def exposed() -> dict[str, set[str]]:
    namespace = ScriptNamespace()
    ScriptApi(lambda key, spec, quantity: None).expose(namespace, version="0")
    NetworkModules().expose(namespace)
    expose_pure_modules(namespace)
    tsa = TsaScript(ROOT / "tsa.py", lambda: 0.0).namespace
    proxy = ProxyScript(ROOT / "proxy.py", lambda: 0.0).namespace
    found: dict[str, set[str]] = {}
    for program in (namespace, tsa, proxy):
        for name, module in program.modules(extra={"mta": {"on": None}}).items():
            items = {item for item in vars(module) if not item.startswith("__")}
            found.setdefault(name, set()).update(items)
    # Only the daemon has it: a stub of the daemon's own, not a name of every script's ``mta``.
    found["mta"] -= {"tsa", "proxy"}
    return found


def stub(module: str) -> ast.Module:
    file = "__init__.pyi" if module == "mta" else f"{module.removeprefix('mta.')}.pyi"
    return ast.parse((FOLDER / file).read_text())


def is_type_only(node: ast.AST) -> bool:
    marks = {ast.unparse(mark) for mark in getattr(node, "decorator_list", ())}
    return "type_check_only" in marks


def public_names(tree: ast.Module) -> set[str]:
    """Return what the stub says a script may import, types for annotations left out."""
    names = set()
    for node in tree.body:
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        if isinstance(node, kinds) and not is_type_only(node):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and "TypeAlias" not in ast.unparse(node.annotation):
            names.add(ast.unparse(node.target))
        elif isinstance(node, ast.ImportFrom) and node.level:
            names |= {alias.asname for alias in node.names if alias.asname}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("module", sorted(exposed()))
def test_a_stub_names_what_scripts_may_import(module):
    assert public_names(stub(module)) == exposed()[module]


def test_there_is_no_stub_of_a_module_that_is_not_there():
    files = {f"mta.{path.stem}" for path in FOLDER.glob("*.pyi")} - {"mta.__init__"}
    assert files == set(exposed()) - {"mta"}


def function(name: str) -> ast.FunctionDef:
    (found,) = [
        node for node in stub("mta").body if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    return found


def keywords(node: ast.FunctionDef) -> set[str]:
    return {argument.arg for argument in node.args.kwonlyargs + node.args.args} - {"self"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("make_egress_path", set(PATH_OPTIONS)),
        ("make_egress_source", set(egress.SOURCE_OPTIONS)),
        ("make_egress_pool", set(egress.POOL_OPTIONS)),
        ("make_queue_config", set(queue_config.OPTIONS)),
        ("make_listener_domain", set(listener_domain.OPTIONS)),
        (
            "start_esmtp_listener",
            set(listener_options._READERS | listener_options._NOT_YET_READERS),
        ),
        ("configure_local_logs", set(LocalLogOptions.__struct_fields__)),
    ],
)
def test_a_stub_has_the_options_that_are_read(name, options):
    assert keywords(function(name)) == options


@pytest.mark.parametrize(
    "name",
    [
        "define_spool",
        "start_http_listener",
        "start_ssh_console",
        "configure_log_hook",
        "make_throttle",
    ],
)
def test_a_stub_has_the_parameters_of_the_function(name):
    real = set(inspect.signature(getattr(ScriptApi, name)).parameters) - {"self"}
    assert keywords(function(name)) == real


@pytest.mark.parametrize(
    ("name", "real"),
    [
        ("mta.Message", MessageView),
        ("mta.Connection", ConnectionView),
        ("mta.Throttle", ScriptThrottle),
        ("mta.Address", EnvelopeAddress),
        ("mta.AddressHeader", AddressHeader),
        ("mta.AddressEntry", AddressEntry),
        ("mta.mimepart.AddrSpec", AddrSpec),
        ("mta.mimepart.Attachment", Attachment),
        ("mta.mimepart.AuthenticationResult", AuthenticationResult),
        ("mta.mimepart.AuthenticationResults", AuthenticationResults),
        ("mta.mimepart.Group", Group),
        ("mta.mimepart.Header", Header),
        ("mta.mimepart.HeaderMap", HeaderMap),
        ("mta.mimepart.Mailbox", Mailbox),
        ("mta.mimepart.MessageBuilder", MessageBuilder),
        ("mta.mimepart.MimeParams", MimeParams),
        ("mta.mimepart.MimePart", MimePart),
        ("mta.mimepart.SimpleStructure", SimpleStructure),
    ],
)
def test_a_class_of_the_stub_has_the_members_of_the_real_one(name, real):
    module, _, kind = name.rpartition(".")
    (node,) = [
        node for node in stub(module).body if isinstance(node, ast.ClassDef) and node.name == kind
    ]
    members = {
        item.name
        for item in node.body
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")
    }
    assert members == {member for member in dir(real) if not member.startswith("_")}


def test_each_event_has_an_overload_with_as_many_arguments():
    tree = stub("mta")
    bounds = {
        ast.unparse(node.targets[0]): node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and "TypeVar" in ast.unparse(node.value)
    }
    found: dict[str, int] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "on" and len(node.args.args) == 2:
            event, handler = node.args.args
            bound = next(k.value for k in bounds[ast.unparse(handler.annotation)].keywords)
            arguments = bound.slice.elts[0].elts
            for name in ast.walk(event.annotation):
                if isinstance(name, ast.Constant):
                    found[name.value] = len(arguments)

    assert found == {
        hook.name: len(hook.arguments) for hook in (*HOOKS, *DAEMON_HOOKS, *PROXY_HOOKS)
    }


@pytest.mark.real_time
@pytest.mark.slow
def test_samples_fit_the_stubs(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "mta")
    shutil.copytree(ROOT / "helpers-stubs", tmp_path / "helpers")
    (tmp_path / "wrong.py").write_text(
        "from mta import on\n\n\n@on('message_recieved')\ndef handler(msg): ...\n"
    )
    samples = sorted((ROOT / "samples" / "policy").glob("*.py"))
    for sample in samples:
        shutil.copy(sample, tmp_path)
    command = [sys.executable, "-m", "mypy", "--config-file=", "--check-untyped-defs"]

    def run(*files: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *files], cwd=tmp_path, capture_output=True, text=True, timeout=100
        )

    good = run(*(sample.name for sample in samples))
    wrong = run("wrong.py")

    assert good.returncode == 0, good.stdout
    assert "wrong.py:4" in wrong.stdout
