"""A node as a process of its own, under a script that a test puts together and may rewrite.

Everything is as in production: `cirrus run`, a spool on disk, sockets on loopback, segments of
records. A node is stopped, killed and signalled by its process id alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.tools import segment_reader
from tests.samples.running_node import PATIENCE_S, ROOT, free_ports, wait_until

SCRIPT = """\
import mta
from mta import on
{top}

@on("init")
def init():
    mta.define_spool(path={spool!r})
    mta.configure_local_logs(log_dir={logs!r}, {log_options})
    mta.start_esmtp_listener(
        listen="127.0.0.1:{smtp}", hostname="mx.test", relay_hosts=["127.0.0.1"], {listener}
    )
    mta.start_http_listener(listen="127.0.0.1:{http}")
    {init}


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(
        **dict(dict(protocol={{"smtp": {{"mx_list": ["127.0.0.1:{sink}"]}}}}), **dict({queue}))
    )


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    return mta.make_egress_path(enable_tls="Disabled", prohibited_hosts=[], {path})


"""


def read_segment(path: Path) -> tuple[list[dict[str, Any]], bytes]:
    """Return the records of a segment, and what follows its last whole line."""
    lines = segment_reader.read_segment(path).split(b"\n")
    return [json.loads(line) for line in lines[:-1]], lines[-1]


class NodeProcess:
    """A node; not started until ``start`` or ``running``.

    Args:
        folder: Where script, spool and logs go.
        sink: The port that all mail is delivered to.
        handlers: Further handlers of the script.
        top: Lines after the imports of the script.
        env: Further environment.
        wrap: A command that runs the node's command line.
        drain: Seconds a stop may take.
        parts: Further arguments in the script, by place: ``listener``, ``path``, ``queue``,
            ``log_options``, ``init``.
    """

    def __init__(
        self,
        folder: Path,
        sink: int,
        handlers: str = "",
        *,
        top: str = "",
        env: dict[str, str] | None = None,
        wrap: tuple[str, ...] = (),
        drain: float = 3.0,
        **parts: str,
    ) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.smtp_port, self.http_port = free_ports(2)
        self.spool, self.logs = folder / "spool", folder / "logs"
        self.policy, self.run_log = folder / "policy.py", folder / "run.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._env = env or {}
        self._wrap = wrap
        self._drain = drain
        values = dict.fromkeys(("listener", "path", "queue", "log_options", "init"), "")
        self._head = SCRIPT.format(
            top=top,
            spool=str(self.spool),
            logs=str(self.logs),
            smtp=self.smtp_port,
            http=self.http_port,
            sink=sink,
            **{**values, **parts},
        )
        self.write(handlers)

    def write(self, handlers: str = "") -> None:
        """Write the script anew with other handlers, as an editor would: whole or not at all."""
        new = self.policy.with_suffix(".new")
        new.write_text(self._head + textwrap.dedent(handlers), encoding="utf-8")
        new.rename(self.policy)

    # -- the process

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it to be ready."""
        with self.run_log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self._wrap,
                    *(sys.executable, "-m", "engine", "--policy", str(self.policy)),
                    *("--drain", str(self._drain)),
                ],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self._env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def start(self) -> NodeProcess:
        process = self.launch()
        wait_until("the node", lambda: self.is_live() or process.poll() is not None)
        assert process.poll() is None, self.log_text()
        return self

    def stop(self, deadline_s: float = PATIENCE_S) -> int:
        """Ask the node to stop; return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(deadline_s)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the node at once, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)

    @contextlib.contextmanager
    def running(self) -> Iterator[NodeProcess]:
        """Run the node; at the end it has to stop in good order."""
        try:
            self.start()
            yield self
            status = self.stop()
            assert status == 0, self.log_text()
        finally:
            self.kill()

    # -- what it says

    def log_text(self) -> str:
        return self.run_log.read_text("utf-8", "replace")

    def wait_log(self, text: str, count: int = 1) -> str:
        """Wait until the diagnostic log says something; return the last line that does."""
        wait_until(f"{text!r} in the log", lambda: self.log_text().count(text) >= count)
        return [line for line in self.log_text().splitlines() if text in line][-1]

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the records written so far."""
        found = []
        for segment in sorted(self.logs.iterdir()) if self.logs.is_dir() else []:
            found += read_segment(segment)[0]
        return [record for record in found if kind in (None, record["type"])]

    def wait_records(self, kind: str, count: int) -> list[dict[str, Any]]:
        def enough() -> list[dict[str, Any]] | None:
            found = self.records(kind)
            return found if len(found) >= count else None

        return wait_until(f"{count} records {kind}", enough)

    def summary(self) -> Counter[str]:
        """Return how many records of each type there are."""
        return Counter(record["type"] for record in self.records())

    def http(
        self,
        path: str,
        body: Any = None,
        method: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of a request; a body makes it a POST."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}{path}",
            data=data,
            method=method,
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def json(self, path: str, body: Any = None, method: str | None = None) -> Any:
        status, _, text = self.http(path, body, method)
        assert status == 200, (status, text)
        return json.loads(text)

    def is_live(self) -> bool:
        with contextlib.suppress(OSError):
            return self.http("/api/check-liveness/v1")[0] == 200
        return False

    # -- clients

    def client(self, timeout_s: float = 10.0) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.smtp_port, local_hostname="c.test", timeout=timeout_s)

    def send(self, subject: str, *to: str, headers: str = "") -> str:
        """Send a message; return the text of its 250, or raise what smtplib raises."""
        with self.client() as client:
            return submit(client, subject, *to, headers=headers)


def submit(client: smtplib.SMTP, subject: str, *to: str, headers: str = "") -> str:
    """Send a message over an open connection; return the text of its 250.

    Raises:
        smtplib.SMTPResponseException: It was answered otherwise.
    """
    client.ehlo_or_helo_if_needed()
    for command in ("mail FROM:<a@x.test>", *(f"rcpt TO:<{one}>" for one in to or ("b@y.test",))):
        code, text = client.docmd(command)
        if code != 250:
            client.rset()
            raise smtplib.SMTPResponseException(code, text)
    code, text = client.data(f"Subject: {subject}\r\n{headers}\r\nhello\r\n")
    if code != 250:
        raise smtplib.SMTPResponseException(code, text)
    return text.decode()


def reply_to(call: Callable[[], Any]) -> str:
    """Return the reply that refuses a call, or "250" when it is taken."""
    try:
        call()
    except smtplib.SMTPResponseException as error:
        text = error.smtp_error
        return f"{error.smtp_code} {text.decode() if isinstance(text, bytes) else text}"
    return "250"


def wait_for(seconds: float) -> None:
    """Let time pass: only for a moment that the test itself chooses, such as that of a kill."""
    time.sleep(seconds)
