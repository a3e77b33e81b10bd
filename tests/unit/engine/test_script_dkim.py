"""Signers as scripts make them: errors at load with file and line, and what the stub promises."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from engine.base.dkim_signer import SIGNER_OPTIONS, UNSUPPORTED, DkimSigner
from engine.hooks import HOOKS
from engine.script_api import ScriptApi
from engine.throttle.limiter import MemoryLimiter
from policy.errors import PolicyLoadError
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from tests.architecture.shape import ROOT
from tests.fakes.dkim_oracle import ed25519_pair, rsa_pair

STUB = ast.parse((ROOT / "mta-stubs" / "dkim.pyi").read_text())
GOOD = "domain='example.com', selector='s1', headers=['From'], key={'key_data': KEY}"


def load(folder: Path, line: str, key: str | None = None) -> None:
    namespace = ScriptNamespace()
    ScriptApi(MemoryLimiter(lambda: 0.0)).expose(namespace, version="test")
    runtime = PolicyRuntime(HOOKS, namespace, mono=lambda: 0.0)
    script = folder / "init.py"
    script.write_text(f"import mta\nKEY = {key or rsa_pair().pem!r}\n{line}\n")
    runtime.load(script)


@pytest.mark.parametrize(
    "line",
    [
        f"SIGNER = mta.dkim.rsa_sha256_signer({GOOD})",
        f"from mta.dkim import rsa_sha256_signer; rsa_sha256_signer({GOOD}, over_sign=True)",
        f"assert mta.dkim.rsa_sha256_signer({GOOD}).algorithm == 'rsa-sha256'",
    ],
)
def test_a_script_makes_signers(tmp_path, line):
    load(tmp_path, line)


def test_a_script_makes_signers_of_the_other_kind(tmp_path):
    load(tmp_path, f"mta.dkim.ed25519_signer({GOOD})", ed25519_pair().pem)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"mta.dkim.rsa_sha256_signer({GOOD}, oversign=True)", "did you mean 'over_sign'"),
        (f"mta.dkim.ed25519_signer({GOOD})", "this key is for rsa-sha256"),
        (f"mta.dkim.rsa_sha256_signer({GOOD}, body_length=True)", "body_length: not supported"),
        (
            "mta.dkim.rsa_sha256_signer(domain='a.b', selector='s', headers=['From'], key='gone')",
            "key: gone: No such file or directory",
        ),
        (f"mta.dkim.rsa_sha256_signer({GOOD}).domain = 'x'", "cannot be set"),
        (f"mta.dkim.rsa_sha256_signer({GOOD})._key", "_key"),
    ],
)
def test_what_does_not_fit_is_a_load_error_with_its_line(tmp_path, line, reason):
    with pytest.raises(PolicyLoadError) as caught:
        load(tmp_path, line)

    assert reason in caught.value.message
    assert (Path(caught.value.file).name, caught.value.line) == ("init.py", 3)


@pytest.mark.parametrize("name", ["rsa_sha256_signer", "ed25519_signer"])
def test_the_stub_has_the_options_that_are_read(name):
    (function,) = [
        node for node in STUB.body if isinstance(node, ast.FunctionDef) and node.name == name
    ]

    named = {argument.arg for argument in function.args.kwonlyargs}
    assert named == set(SIGNER_OPTIONS) - set(UNSUPPORTED)


def test_the_signer_of_the_stub_has_members_of_the_real_one():
    (node,) = [node for node in STUB.body if isinstance(node, ast.ClassDef)]

    members = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
    assert members <= set(dir(DkimSigner))
