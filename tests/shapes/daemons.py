"""The programs of a deployment, as processes on hosts of their own.

Place in flow: a test says which program runs on which host and by which script; everything is as in
production but the addresses.

Invariants:
    * A process is signalled by its own id; every wait has a bound.
    * ``World.close`` ends everything in good order, then the hosts; one of ours that does not end
      well, or has errors in its log without being meant to, fails the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.node_process import read_segment
from tests.shapes.hosts import Host, Network

ROOT = Path(__file__).resolve().parents[2]
#: What starts our programs; a script in their folder must not pass for one of our packages.
PYTHON = (sys.executable, "-P")
#: Has a test whose daemons are timed not depend on what else the machine does.
URGENT = ("nice", "-n", "-15")
#: For what takes a second or two on a machine that does nothing else.
PATIENCE_S = 60.0
#: How long a process may take to end after SIGTERM.
END_S = 20.0
_POLL_S = 0.05
#: Marks of every test that runs a deployment.
SHAPE = [pytest.mark.real_time, pytest.mark.slow, pytest.mark.timeout(300)]


def wait_until(what: str, holds: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """Return the first true answer; fail when there is none in time."""
    ends = time.monotonic() + within_s
    while True:
        answer = holds()
        if answer:
            return answer
        assert time.monotonic() < ends, f"waited {within_s:g} s in vain for {what}"
        time.sleep(_POLL_S)


class Daemon:
    """A process on a host.

    Args:
        host: Where it runs.
        folder: Where it runs and what it writes.
        command: Its command line.
        http_port: Where it answers on its host's loopback.
        env: Further environment.
    """

    #: Whether it is a program of ours, which ends with 0 after SIGTERM.
    is_ours = True
    #: Whether errors in its log are part of the test.
    may_have_trouble = False
    #: Whether it goes before other work of the machine.
    is_urgent = False

    def __init__(
        self,
        host: Host,
        folder: Path,
        command: Sequence[str],
        *,
        http_port: int = 0,
        env: dict[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host = host
        self.folder = folder
        self.run_log = folder / "run.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._was_ready = False
        self._command = list(command)
        self._http_port = http_port
        self._env = env or {}

    def launch(self) -> None:
        """Start the process without waiting for it to be ready."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self._env}
        with self.run_log.open("ab") as log, self.host.inside():
            self.process = subprocess.Popen(
                [*(URGENT if self.is_urgent else ()), *self._command],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        self.wait_ready()

    def wait_ready(self) -> None:
        process = self.process
        assert process is not None
        wait_until(f"{self}", lambda: process.poll() is not None or self.is_ready())
        assert process.poll() is None, f"{self} ended:\n{self.log_text()}"
        self._was_ready = True

    def is_ready(self) -> bool:
        raise NotImplementedError

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        process, self.process = self.process, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait(END_S)

    def stop(self) -> None:
        """Ask it to end, and wait for it; one of ours has to end well."""
        assert self.process is not None
        self.process.terminate()
        self.end()

    def end(self) -> None:
        """Wait for the end of a process that was asked to."""
        process = self.process
        if process is None:
            return
        try:
            status = process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self} did not end:\n{self.log_text()[-4000:]}") from None
        self.process = None
        if self.is_ours and self._was_ready:
            text = self.log_text()
            assert status == 0, f"{self} ended with {status}:\n{text[-4000:]}"
            assert "Traceback" not in text, text[-4000:]
            assert self.may_have_trouble or " ERROR " not in text, f"{self}:\n{text[-4000:]}"

    def log_text(self) -> str:
        return self.run_log.read_text("utf-8", "replace") if self.run_log.exists() else ""

    def wait_log(self, text: str, within_s: float = PATIENCE_S) -> None:
        wait_until(f"{text!r} in the log of {self}", lambda: text in self.log_text(), within_s)

    def __str__(self) -> str:
        return f"{type(self).__name__} on {self.host.name}"

    # -- over HTTP, from its own host

    def http(self, path: str, body: Any = None, method: str | None = None) -> tuple[int, bytes]:
        """Return status and text of an answer; a body makes it a POST."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._http_port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with self.host.inside():
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read()

    def json(self, path: str, body: Any = None, method: str | None = None) -> Any:
        status, text = self.http(path, body, method)
        assert status == 200, (status, text)
        return json.loads(text)

    def answers(self, path: str) -> bool:
        with contextlib.suppress(OSError):
            return self.http(path)[0] == 200
        return False

    def metric(self, name: str, *labels: str) -> float:
        """Return the sum of the series of a metric in which all these labels stand."""
        series = self.metrics().items()
        return sum(
            value
            for line, value in series
            if line.partition("{")[0] == name and all(one in line for one in labels)
        )

    def metrics(self) -> dict[str, float]:
        text = self.http("/metrics")[1].decode()
        rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in rows if name}


class Sink(Daemon):
    """``cirrus sink`` at port 25: takes mail, and notes where each message came from."""

    def __init__(self, host: Host, folder: Path, *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._replies = folder / "replies.toml"
        self._replies.write_text("")
        command = [*PYTHON, "-m", "engine.tools.sink", "--listen", "0.0.0.0:25"]
        command += ["--listen", "[::]:25", "--replies", "replies.toml", "--store", "mail"]
        command += ["--stats-file", "stats.json", *arguments]
        super().__init__(host, folder, command)

    def is_ready(self) -> bool:
        return self.log_text().count("listening on") >= 2

    def answer(self, rules: str = "") -> None:
        """Have it answer by other rules (see ``cirrus sink --help``) from now on."""
        self._replies.write_text(rules)
        times = self.log_text().count("was read again")
        self.signal(signal.SIGHUP)
        wait_until("the rules", lambda: self.log_text().count("was read again") > times)

    def messages(self) -> list[dict[str, Any]]:
        """Return the envelopes of what it took: ``client``, ``recipients``, ``at``, ``ehlo``..."""
        path = self.folder / "mail" / "envelopes.jsonl"
        if not path.exists():
            return []
        # The last line may be half written.
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]

    def wait_messages(self, count: int, within_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        def enough() -> list[dict[str, Any]] | None:
            found = self.messages()
            return found if len(found) >= count else None

        found: list[dict[str, Any]] = wait_until(f"{count} messages", enough, within_s)
        return found

    def recipients(self) -> Counter[str]:
        """Return how often mail for each recipient was taken."""
        return Counter(one for each in self.messages() for one in each["recipients"])

    def stats(self) -> dict[str, Any]:
        """Return what it counted, as of a second ago at most."""
        found: dict[str, Any] = json.loads((self.folder / "stats.json").read_bytes())
        return found


class Node(Daemon):
    """``cirrus run``; spool and logs are in its folder, where its script names them so."""

    SMTP_PORT = 2525
    HTTP_PORT = 8000

    def __init__(self, host: Host, folder: Path, script: str, **files: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "policy.py").write_text(script, encoding="utf-8")
        for name, text in files.items():
            (folder / f"{name}.toml").write_text(text, encoding="utf-8")
        command = [*PYTHON, "-m", "engine", "--policy", "policy.py", "--drain", "3"]
        super().__init__(host, folder, command, http_port=self.HTTP_PORT)

    def is_ready(self) -> bool:
        return self.answers("/api/check-liveness/v1")

    def send(self, recipient: str) -> None:
        """Send one message from its own host."""
        self.send_each([recipient])

    def send_each(self, recipients: Iterable[str], headers: str = "") -> None:
        """Send a message to each recipient, over one connection from its own host.

        Raises:
            smtplib.SMTPException: One was not taken; those before it were.
        """
        text = f"Subject: hello\r\n{headers}\r\nhello\r\n"
        with (
            self.host.inside(),
            smtplib.SMTP("127.0.0.1", self.SMTP_PORT, local_hostname="c.test", timeout=10) as smtp,
        ):
            for one in recipients:
                smtp.sendmail("a@client.example", [one], text)

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the log records written so far."""
        logs = self.folder / "logs"
        segments = sorted(logs.iterdir()) if logs.is_dir() else []
        found = [record for one in segments for record in read_segment(one)[0]]
        return [record for record in found if kind in (None, record["type"])]

    def wait_records(self, kind: str, count: int) -> list[dict[str, Any]]:
        def enough() -> list[dict[str, Any]] | None:
            found = self.records(kind)
            return found if len(found) >= count else None

        found: list[dict[str, Any]] = wait_until(f"{count} records {kind}", enough)
        return found

    def waiting(self) -> int:
        """Return how many messages it holds."""
        return int(self.metric("scheduled_count_total") + self.metric("ready_count"))


class Tsa(Daemon):
    """``cirrus tsa`` at port 8008 of all addresses of its host."""

    PORT = 8008

    def __init__(self, host: Host, folder: Path, rules: str, *, trust: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rules.toml").write_text(rules, encoding="utf-8")
        command = [*PYTHON, "-m", "tsa", "--listen", f"0.0.0.0:{self.PORT}"]
        command += ["--shaping", "rules.toml", "--state", "state", "--trust", trust]
        super().__init__(host, folder, command, http_port=self.PORT)

    @property
    def url(self) -> str:
        return f"http://{self.host.address}:{self.PORT}"

    def is_ready(self) -> bool:
        return self.answers("/tsa/status")

    def decisions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("/decisions")
        return found


class Proxy(Daemon):
    """``cirrus proxy`` at port 1080 of all addresses of its host."""

    PORT = 1080

    def __init__(self, host: Host, folder: Path, *arguments: str) -> None:
        command = [*PYTHON, "-m", "proxy", "--listen", f"0.0.0.0:{self.PORT}"]
        command += ["--http-listen", "127.0.0.1:8009", "--drain", "3", *arguments]
        super().__init__(host, folder, command, http_port=8009)

    def is_ready(self) -> bool:
        return "the proxy is up" in self.log_text()


class World:
    """The network of a test, and what runs in it.

    Args:
        folder: Each daemon has a folder in it.

    Attributes:
        is_urgent: Whether daemons that are added go before other work of the machine.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_urgent = False
        self.network = Network()
        self.daemons: list[Daemon] = []

    def add_host(self, name: str, *addresses: str) -> Host:
        return self.network.add_host(name, *addresses)

    def add(self, kind: Callable[..., Any], host: Host, *arguments: Any, **options: Any) -> Any:
        """Return a daemon on a host, not yet started."""
        name = f"{host.name}-{kind.__name__.lower()}"
        daemon = kind(host, self.folder / name, *arguments, **options)
        daemon.is_urgent = self.is_urgent
        self.daemons.append(daemon)
        return daemon

    def start(self, *daemons: Daemon) -> None:
        """Start daemons side by side, and wait until each is ready."""
        for one in daemons:
            one.launch()
        for one in daemons:
            one.wait_ready()

    def close(self) -> None:
        """End everything; what does not end well fails the test when all the rest is done."""
        trouble = []
        running = [one for one in self.daemons if one.is_running()]
        # Nodes end first: a peer that is gone before them would be trouble.
        nodes = [one for one in running if isinstance(one, Node)]
        try:
            for stage in (nodes, [one for one in running if one not in nodes]):
                for one in stage:
                    one.signal(signal.SIGCONT)
                    one.signal(signal.SIGTERM)
                for one in stage:
                    try:
                        one.end()
                    except AssertionError as error:
                        trouble.append(str(error))
        finally:
            for one in running:
                one.kill()
            self.network.close()
        assert not trouble, "\n".join(trouble)

    def expect_trouble(self) -> None:
        """Say that something is taken away from the daemons: errors in their logs are meant."""
        for one in self.daemons:
            one.may_have_trouble = True


def run_on(
    host: Host, *command: str, within_s: float = PATIENCE_S, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command on a host to its end."""
    with host.inside():
        return subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )


def send_traffic(
    host: Host, target: str, *arguments: str, within_s: float = PATIENCE_S
) -> dict[str, Any]:
    """Run ``cirrus traffic`` on a host; return its summary."""
    command = [*PYTHON, "-m", "engine.tools.traffic", "--target", target]
    done = run_on(host, *command, "--quiet", "--json", *arguments, within_s=within_s)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def zone_of(mx: Iterable[tuple[str, str]], **addresses: str) -> str:
    """Return the text of the zone ``example``.

    Args:
        mx: Pairs of a domain in the zone and its MX host.
        addresses: Of each host, separated by blanks.
    """
    lines = ["$ORIGIN example.", "@ 60 IN NS ns"]
    lines += [f"{domain} 60 IN MX 10 {host}" for domain, host in mx]
    for name, given in addresses.items():
        lines += [f"{name} 60 IN {'AAAA' if ':' in one else 'A'} {one}" for one in given.split()]
    return "\n".join(lines) + "\n"
