"""The small world of ``cirrus demo``: sink, TSA, proxy, node and traffic, processes on loopback.

Place in flow: ``demo`` tells the story; this starts, asks and ends the processes.

Invariants:
    * Only processes that were started here are signalled, by their own id; none outlives ``close``,
      which no signal interrupts.
    * Every wait has a deadline; nothing listens on anything but loopback.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from engine.model.log_record import LogRecord
from engine.tools.segment_reader import read_records

#: How long a process may take to end after SIGTERM before it is killed, seconds.
END_S = 8.0
_POLL_S = 0.1
#: Below what the system gives to outgoing connections: none can take a port before we do.
_PORTS = range(10_240, 32_768)
#: What a user or a supervisor ends the demonstration with.
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

POLICY = '''\
"""The policy of the demonstration; edit it while it runs (cirrus demo --keep)."""

import mta
from helpers import shaping
from mta import on

REFUSED = {refused!r}

# Egress paths come from a file, with what the automation decides on top of it.
shaping.setup(["shaping.toml"], publish=[{tsa!r}], subscribe=[{tsa!r}])


@on("init")
def init():
    mta.define_spool(path={spool!r})
    mta.configure_local_logs(log_dir={logs!r}, meta=["tenant"])
    mta.start_esmtp_listener(listen="127.0.0.1:{smtp}", relay_hosts=["127.0.0.1"])
    mta.start_http_listener(listen="127.0.0.1:{http}")
    # The demonstration has a DNS of its own: every domain's MX is the sink.
    mta.dns.configure_test_resolver(zones=[{zone!r}])


@on("message_received")
def message_received(msg):
    if msg.recipient.domain in REFUSED:
        mta.reject(550, "5.7.1 the policy wants no mail to this domain")
    msg.set_meta("tenant", "demo")


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    # Deferred mail is tried again after two seconds, so that the demonstration can show it.
    return mta.make_queue_config(
        egress_pool="pool", retry_interval="2s", max_retry_interval="2s", max_age="1h"
    )


@on("get_egress_pool")
def get_egress_pool(name):
    entries = [{{"name": "ip-1", "weight": 2}}, {{"name": "ip-2", "weight": 1}}]
    return mta.make_egress_pool(name=name, entries=entries)


@on("get_egress_source")
def get_egress_source(name):
    # Each source is an address of the proxy: any node with this script sends from there.
    return mta.make_egress_source(
        name=name,
        ehlo_domain=name + ".example",
        socks5_proxy_server="127.0.0.1:{proxy}",
        socks5_proxy_source_address={sources!r}[name],
    )
'''
#: The egress sources, and the addresses of the proxy that they leave from. Loopback has many.
SOURCES = {"ip-1": "127.0.0.11", "ip-2": "127.0.0.12"}
SHAPING = """\
# Of the demonstration: the node and the TSA read it.
[default]
smtp_port = {sink}
prohibited_hosts = []
enable_tls = "Disabled"
connection_limit = 4

[provider.big]
match = [{{ DomainSuffix = "big.example" }}]
max_message_rate = "30/s"

# When it says "slow down", a twentieth of the rate; each quiet second gives a quarter back.
[[provider.big.automation]]
regex = "^4.. 4[.]7[.]28 "
action = {{ AdjustConfig = {{ name = "max_message_rate", factor = 0.05, floor = "1/s", \
quiet = "1s", step = 0.25 }} }}
duration = "1h"
"""
ZONE = """\
$ORIGIN example.
@ 60 IN MX 10 mx.fine
fine 60 IN MX 10 mx.fine
busy 60 IN MX 10 mx.busy
strict 60 IN MX 10 mx.strict
big 60 IN MX 10 mx.big
news 60 IN MX 10 mx.fine
mx.fine 60 IN A 127.0.0.1
mx.busy 60 IN A 127.0.0.1
mx.strict 60 IN A 127.0.0.1
mx.big 60 IN A 127.0.0.1
"""
REPLIES = """\
# busy.example asks the first recipients to come back later; strict.example refuses all.
[["busy.example"]]
when = "rcpt"
reply = "451 4.7.1 greylisted, come back in a while"
count = 25

[["strict.example"]]
when = "rcpt"
reply = "550 5.1.1 no such person here"
"""
THROTTLE = """
# big.example finds that too much comes at once.
[["big.example"]]
when = "rcpt"
reply = "{reply}"
"""


@dataclass(frozen=True, slots=True)
class Story:
    """What the provider does.

    Attributes:
        provider: Its domain.
        reply: What it says while it defers.
        throttled_s: How long it defers, seconds.
    """

    provider: str = "big.example"
    reply: str = "451 4.7.28 too much mail from your network, slow down"
    throttled_s: float = 5.0


class DemoFailedError(Exception):
    """The world did not do what it should; the text says what."""


class World:
    """The processes and files of one demonstration."""

    def __init__(self, folder: Path, deadline_mono: float) -> None:
        self.folder = folder
        self.sink_port, self.smtp_port, self.http_port, *others = _free_ports(6)
        self.tsa_port, self.proxy_port, self.proxy_http_port = others
        self.policy = folder / "policy.py"
        self.shaping = folder / "shaping.toml"
        self.log_dir = folder / "logs"
        self._deadline_mono = deadline_mono
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> World:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- starting -----------------------------------------------------------------------------

    def write_policy(self, *, refused: tuple[str, ...] = ()) -> None:
        """Write the node's policy in one step, as an editor would save it."""
        text = POLICY.format(
            refused=list(refused),
            spool=str(self.folder / "spool"),
            logs=str(self.log_dir),
            smtp=self.smtp_port,
            http=self.http_port,
            tsa=self.tsa_url,
            zone=ZONE,
            proxy=self.proxy_port,
            sources=SOURCES,
        )
        fresh = self.policy.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.policy)

    @property
    def tsa_url(self) -> str:
        """Return where the TSA answers."""
        return f"http://127.0.0.1:{self.tsa_port}"

    @property
    def _replies(self) -> Path:
        return self.folder / "replies.toml"

    def throttle(self, reply: str | None) -> None:
        """Have the provider defer all mail with this reply, or take it again."""
        self._replies.write_text(REPLIES + (THROTTLE.format(reply=reply) if reply else ""))
        self._processes["sink"].send_signal(signal.SIGHUP)

    def start_sink(self) -> None:
        """Start the receiving end."""
        replies = self._replies
        replies.write_text(REPLIES)
        listen = f"127.0.0.1:{self.sink_port}"
        arguments = ("--listen", listen, "--replies", str(replies))
        self._start(
            "sink", "engine.tools.sink", *arguments, "--stats-file", str(self._sink_stats_file)
        )

    def write_shaping(self) -> None:
        """Write what node and TSA know of the receiving hosts."""
        self.shaping.write_text(SHAPING.format(sink=self.sink_port))

    def start_tsa(self) -> None:
        """Start the automation."""
        self.write_shaping()
        arguments = ("--listen", f"127.0.0.1:{self.tsa_port}", "--shaping", str(self.shaping))
        self._start("tsa", "tsa", *arguments, "--state", str(self.folder / "decisions"))

    def start_proxy(self) -> None:
        """Start the proxy, which leaves from the addresses of the sources and reaches the sink."""
        listen = ("--listen", f"127.0.0.1:{self.proxy_port}")
        http = ("--http-listen", f"127.0.0.1:{self.proxy_http_port}")
        rules = [f"--allow-source={address}" for address in SOURCES.values()]
        rules.append(f"--allow-destination=127.0.0.1:{self.sink_port}")
        self._start("proxy", "proxy", *listen, *http, *rules)

    def await_listener(self, name: str) -> None:
        """Return once the sink, the TSA or the proxy takes connections.

        Raises:
            DemoFailedError: It does not come up.
        """
        port = {"sink": self.sink_port, "tsa": self.tsa_port, "proxy": self.proxy_port}[name]
        self.wait(f"the {name}", lambda: _answers(port), needs=name)

    def start_node(self) -> None:
        """Start the node and wait until it takes mail."""
        self.write_policy()
        self._start("node", "engine", "--policy", str(self.policy), "--drain", "5")
        self.wait("the node", self.is_live, needs="node")

    def start_traffic(self, *arguments: str) -> None:
        """Start the load generator; it runs until ``end_traffic``."""
        target = f"127.0.0.1:{self.smtp_port}"
        self._start(
            "traffic", "engine.tools.traffic", "--target", target, "--quiet", "--json", *arguments
        )

    def _start(self, name: str, module: str, *arguments: str) -> None:
        out, log = (self.folder / f"{name}.{ending}" for ending in ("out", "log"))
        with out.open("wb") as out_file, log.open("wb") as log_file, _unsignalled():
            self._processes[name] = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=log_file,
                # Ctrl-C is for the demonstration alone: it ends the others in order.
                start_new_session=True,
            )

    # -- asking -------------------------------------------------------------------------------

    def wait(self, what: str, holds: Callable[[], bool], *, needs: str = "") -> None:
        """Return when something holds.

        Raises:
            DemoFailedError: It did not within the time of the demonstration, or the process that
                it needs ended.
        """
        while not holds():
            process = self._processes.get(needs)
            if process is not None and process.poll() is not None:
                raise DemoFailedError(f"{what} did not come up: {self.last_line(needs)}")
            if time.monotonic() > self._deadline_mono:
                raise DemoFailedError(f"waited too long for {what}")
            time.sleep(_POLL_S)

    def last_line(self, name: str) -> str:
        """Return the last words of a process."""
        lines = self.log_of(name).strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def log_of(self, name: str) -> str:
        """Return what a process has written to its log so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def pid_of(self, name: str) -> int:
        """Return the id of a process."""
        return self._processes[name].pid

    def has_ended(self, name: str) -> bool:
        """Return whether a process is over."""
        return self._processes[name].poll() is not None

    def is_live(self) -> bool:
        """Return whether the node takes mail."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=2)
        try:
            connection.request("GET", "/api/check-liveness/v1")
            is_live = connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            is_live = False
        finally:
            connection.close()
        return is_live

    def decisions(self) -> list[dict[str, Any]]:
        """Return what the automation has decided and what is still in force."""
        found: list[dict[str, Any]] = _get_json(self.tsa_port, "/decisions") or []
        return found

    def rates(self, domain: str) -> list[str]:
        """Return the message rates in force on the node for the site of a domain."""
        wanted = f"/api/admin/queues/v1?order=name&has_empty=true&name=mx.{domain}"
        queues = (_get_json(self.http_port, wanted) or {}).get("ready", [])
        found = []
        for queue in queues:
            query = urlencode({"queue_name": queue["queue_name"]})
            shown = _get_json(self.http_port, f"/api/admin/inspect-ready-q/v1?{query}")
            if shown is not None:
                found.append(str(shown["path_config"].get("max_message_rate")))
        return found

    def read_records(self) -> list[LogRecord]:
        """Return the log records written so far, in the order of the files."""
        return read_records(self.log_dir)

    @property
    def _sink_stats_file(self) -> Path:
        return self.folder / "sink.json"

    def sink_stats(self) -> dict[str, Any]:
        """Return what the sink counted, at most a second ago while it runs.

        Raises:
            DemoFailedError: It did not write it.
        """
        return _read_json("sink", self._sink_stats_file)

    # -- ending -------------------------------------------------------------------------------

    def end_traffic(self) -> dict[str, Any]:
        """Let the load generator finish what is under way; return its summary.

        Raises:
            DemoFailedError: It gave none.
        """
        traffic = self._processes["traffic"]
        traffic.send_signal(signal.SIGINT)
        self.wait("the end of the traffic", lambda: traffic.poll() is not None)
        return _read_json("traffic", self.folder / "traffic.out")

    def stop(self, name: str) -> None:
        """End one process: ask, wait, kill."""
        process = self._processes.get(name)
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(END_S)

    def close(self) -> None:
        """End every process, the sender first and the receiver last."""
        with _unsignalled():
            for name in ("traffic", "node", "proxy", "tsa", "sink"):
                self.stop(name)


@contextlib.contextmanager
def _unsignalled() -> Iterator[None]:
    """Hold back the signals that end us; one that comes meanwhile acts afterwards."""
    held: list[int] = []
    # Handlers and no mask: processes started meanwhile would inherit a mask.
    before = {
        number: signal.signal(number, lambda got, _frame: held.append(got))
        for number in ENDING_SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def _read_json(who: str, path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        raise DemoFailedError(f"the {who} did not say what it counted") from None
    return content


def _free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            port = random.choice(_PORTS)
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
        return ports


def _get_json(port: int, path: str) -> Any:
    """Return what a program on loopback answers; None if it does not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return json.loads(answer.read()) if answer.status == http.client.OK else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
