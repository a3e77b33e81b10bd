"""``cirrus proxy``: the egress proxy in the foreground; below it, what prepares its files.

Place in flow: the entry point of the command; reads settings, runs ``proxy.app``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import sys
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from engine.base.command_line import DURATION, LISTEN, Parsed, expected_errors
from engine.base.run_log import FORMAT_VARIABLE, configure_run_log
from engine.base.run_log_format import FORMATS
from engine.model.cidr import CidrSet
from policy.errors import PolicyLoadError
from proxy.access import LOOPBACK, AccessRule, AccessRules, Destination, parse_destination
from proxy.app import Proxy
from proxy.errors import ProxyError
from proxy.settings import HttpOptions, ProxySettings, SocksOptions
from proxy.user_file import PasswordHash, check_name

log = logging.getLogger("cirrus.proxy")

_DEFAULTS = SocksOptions()
_NETWORK = Parsed("network", lambda text: CidrSet.parse([text]))
_DESTINATION = Parsed("net[:ports]", parse_destination)


async def serve(proxy: Proxy) -> None:
    """Run a daemon until SIGTERM or SIGINT; SIGHUP has it look at its files at once."""
    loop = asyncio.get_running_loop()
    stop, look = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, look.set)
    await proxy.start()
    proxy.supervisor.start(_reload_when(look, proxy), "reload by signal")
    await stop.wait()
    await proxy.stop()


async def _reload_when(look: asyncio.Event, proxy: Proxy) -> None:
    while True:
        await look.wait()
        look.clear()
        try:
            await proxy.reload()
        except Exception:  # boundary: supervisor
            log.exception("looking for changes met a defect; it goes on")


@click.group(invoke_without_command=True)
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A script with proxy_init; then listeners and rules are its own to name.",
)
@click.option(
    "--listen",
    "listens",
    multiple=True,
    type=LISTEN,
    metavar="ADDRESS:PORT",
    help="Where clients connect to, as 127.0.0.1:1080.",
)
@click.option(
    "--http-listen",
    "https",
    multiple=True,
    type=LISTEN,
    metavar="ADDRESS:PORT",
    help="Where /metrics and /proxy/status are, for this host.",
)
@click.option(
    "--allow-client",
    "clients",
    multiple=True,
    type=_NETWORK,
    metavar="NETWORK",
    help="Networks of clients, beside loopback.",
)
@click.option(
    "--allow-destination",
    "destinations",
    multiple=True,
    type=_DESTINATION,
    metavar="NETWORK[:PORTS]",
    help="What may be reached, as 198.51.100.0/24:25,587 or [2001:db8::/32]:25; * is everything "
    "but this host and this link.  [default: *:25,465,587,2525]",
)
@click.option(
    "--allow-source",
    "sources",
    multiple=True,
    type=_NETWORK,
    metavar="ADDRESS",
    help="Addresses that connections may leave from; the first is that of clients which name "
    "none.  [default: all of this host]",
)
@click.option(
    "--users",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Names and hashed passwords, one of which every client has to show.",
)
@click.option(
    "--tls-certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Speak TLS with clients, with this certificate.",
)
@click.option(
    "--tls-private-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Its key, where it is not in the same file.",
)
@click.option(
    "--proxy-protocol-from",
    "balancers",
    multiple=True,
    type=_NETWORK,
    metavar="NETWORK",
    help="Networks of balancers, which say by the PROXY protocol whose connection it is.",
)
@click.option("--resolve-names", is_flag=True, help="Let clients name destinations by host names.")
@click.option(
    "--max-connections",
    type=click.IntRange(min=1),
    default=_DEFAULTS.max_connections,
    show_default=True,
    help="Clients at a time, for each listener.",
)
@click.option(
    "--max-connections-per-client",
    type=click.IntRange(min=1),
    metavar="N",
    help="Those of one address.  [default: as many as there may be]",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=DURATION,
    default=_DEFAULTS.timeout_s,
    show_default="60s",
    help="What each step up to the connection may take.",
)
@click.option(
    "--idle-timeout",
    "idle_timeout_s",
    type=DURATION,
    default=_DEFAULTS.idle_timeout_s,
    show_default="15m",
    help="How long nothing may pass on a connection.",
)
@click.option(
    "--reuse-port", is_flag=True, help="Share the port with other processes, one for each core."
)
@click.option("--no-splice", is_flag=True, help="Copy octets, instead of letting the kernel.")
@click.option(
    "--drain",
    "drain_s",
    type=DURATION,
    default=30.0,
    show_default="30s",
    help="How long connections may go on when it is asked to stop.",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="How much the diagnostic log says.",
)
@click.option(
    "--log-format",
    default="text",
    show_default=True,
    envvar=FORMAT_VARIABLE,
    type=click.Choice(FORMATS),
    help="What its lines look like.",
)
@click.pass_context
@expected_errors(ProxyError, PolicyLoadError)
def proxy(context: click.Context, /, policy: Path | None, **given: Any) -> None:
    """Run the egress proxy in the foreground.

    A SOCKS5 server through which nodes send mail from the addresses of this host: a client names
    its source (BIND) and then its destination (CONNECT) on one connection. SIGTERM lets connections
    end and stops; script, users and certificates are followed while they change.
    """
    is_given = any(
        context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        for name in given
        if name not in ("drain_s", "log_level", "log_format")
    )
    if context.invoked_subcommand is not None:
        if is_given or policy is not None:
            raise click.UsageError("options of the proxy before a command: they belong behind it")
        return
    if policy is not None and is_given:
        raise click.UsageError("with --policy, listeners and rules are the script's to name")
    if policy is None and not given["listens"]:
        raise click.UsageError("nowhere to listen: give --listen ADDRESS:PORT or --policy FILE")
    configure_run_log(given["log_level"], given["log_format"])
    allow_descriptors()
    settings = None if policy is not None else settings_of(given)
    run(serve(Proxy(settings, script=policy, drain_s=given["drain_s"])))


def settings_of(given: dict[str, Any]) -> ProxySettings:
    """Return the settings that flags alone make.

    Raises:
        click.UsageError: They contradict each other.
    """
    if given["tls_private_key"] is not None and given["tls_certificate"] is None:
        raise click.UsageError("--tls-private-key without --tls-certificate")
    rule = AccessRule(
        sources=_union(given["sources"]) if given["sources"] else None,
        destinations=given["destinations"] or (Destination(),),
    )
    clients = _union((LOOPBACK, *given["clients"]))
    common = SocksOptions(
        access=AccessRules(clients, (rule,)),
        users_file=given["users"],
        use_tls=given["tls_certificate"] is not None,
        tls_certificate=given["tls_certificate"],
        tls_private_key=given["tls_private_key"],
        proxy_protocol_from=_union(given["balancers"]),
        use_splice=not given["no_splice"],
        **{name: given[name] for name in _SAME},
    )
    return ProxySettings(
        tuple(replace(common, listen=listen) for listen in given["listens"]),
        tuple(HttpOptions(listen) for listen in given["https"]),
    )


#: Flags that are options of a listener under the same name.
_SAME = (
    "reuse_port",
    "resolve_names",
    "max_connections",
    "max_connections_per_client",
    "timeout_s",
    "idle_timeout_s",
)


def _union(sets: Iterable[CidrSet]) -> CidrSet:
    return CidrSet(network for one in sets for network in one)


def allow_descriptors() -> None:
    """Take as many descriptors as this process may have: each client needs two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    log.info("up to %d descriptors, which is enough for some %d connections", soft, soft // 2)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run the daemon on the fastest event loop there is."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


@proxy.command("hash-password")
@click.argument("name", metavar="USER")
@click.option("--groups", default="", metavar="GROUP,...", help="Groups that the user belongs to.")
def hash_password(name: str, groups: str) -> None:
    """Print a line for the file of users, with a password hashed.

    It asks for the password, or reads it from standard input if that is no terminal.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    octets = password.encode()
    if not 0 < len(octets) <= 255 or b"\0" in octets:
        raise click.UsageError("a password has 1 to 255 octets")
    click.echo(":".join([name, str(PasswordHash.make(octets)), *([groups] if groups else [])]))


if __name__ == "__main__":
    proxy()
