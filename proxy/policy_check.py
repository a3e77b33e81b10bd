"""Check of the proxy's script without a proxy: what ``cirrus check --policy`` asks the proxy.

Place in flow: found by ``engine.tools.check`` through the entry-point group ``cirrus.checks`` for
scripts with handlers of the proxy's events; loads a script as ``proxy.app`` does.

Invariants:
    * ``proxy_init`` only declares: nothing is started, and no file opened but those it names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.base.clock import Clock
from engine.base.tls_files import ServerTls
from engine.model.errors import EngineError
from engine.model.listener_options import format_listen
from policy.epoch import Epoch
from policy.errors import PolicyLoadError
from policy.hook_registry import PolicyFinding
from proxy.errors import ConfigurationError
from proxy.script_api import ProxyScript
from proxy.settings import HttpOptions, ProxySettings, SocksOptions
from proxy.user_file import UserFile


def check_policy(path: Path) -> list[PolicyFinding]:
    """Return everything there is to say about a script of the proxy and what it imports.

    Args:
        path: The script; it need not exist.
    """
    script = ProxyScript(path.absolute(), Clock().mono)
    findings: list[PolicyFinding] = []

    def gather(epoch: Epoch) -> list[PolicyFinding]:
        # An error among the answers would end the load at the first one.
        findings.extend(script.check(epoch))
        return []

    try:
        epoch = script.runtime.load(script.path, dry_check=gather)
    except PolicyLoadError as error:
        findings.append(PolicyFinding(error.file, error.line, "error", error.message))
        return findings
    script.runtime.swap(epoch)
    try:
        settings = script.settings()
    except ConfigurationError:
        return findings  # said by the trial of the event
    return findings + [script.finding("error", said) for said in _bad_files(settings)]


def _bad_files(settings: ProxySettings) -> Iterator[str]:
    """Yield what is wrong with the files that listeners name."""
    for path in sorted({one.users_file for one in settings.listeners if one.users_file}):
        try:
            UserFile(path)
        except ConfigurationError as error:
            yield str(error)
    listeners: tuple[SocksOptions | HttpOptions, ...] = (*settings.listeners, *settings.http)
    for one in listeners:
        if not one.use_tls:
            continue
        client_ca = one.tls_required_client_ca if isinstance(one, SocksOptions) else None
        try:
            ServerTls(one.hostname, one.tls_certificate, one.tls_private_key, client_ca)
        except EngineError as error:
            yield f"the listener on {format_listen(one.listen)} cannot speak TLS: {error}"
