"""The egress proxy as a process, a destination for it, and a client that names its source."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.fakes.proxy_world import credentials, request
from tests.fakes.tool_process import ROOT
from tests.samples.running_node import PATIENCE_S, free_ports, wait_until

HERE = "127.0.0.0/8:*"


def command_line(*arguments: str) -> list[str]:
    """Return the command line of ``cirrus proxy``, whether or not it is installed."""
    start = (
        "import sys\nfrom engine.base import command_line\nfrom proxy.__main__ import proxy\n"
        "group = command_line.cirrus_command()\ngroup.add_command(proxy)\n"
        "command_line.cirrus_command = lambda: group\n"
        "command_line.main(['proxy', *sys.argv[1:]])\n"
    )
    return [sys.executable, "-c", start, *arguments]


class EchoServer:
    """A destination that gives back what it gets; each connection has a thread.

    Args:
        host: Where it listens.
        greeting: What it says first.
    """

    def __init__(self, host: str = "127.0.0.1", greeting: bytes = b"") -> None:
        self._greeting = greeting
        self._listening = socket.create_server((host, 0), backlog=1024)
        self.port: int = self._listening.getsockname()[1]
        self._peers: list[Any] = []
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, peer = self._listening.accept()
                self._peers.append(peer)
                self._open.add(sock)
                threading.Thread(target=self._echo, args=(sock,), daemon=True).start()

    def _echo(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            sock.sendall(self._greeting)
            while data := sock.recv(65536):
                sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        self._open.discard(sock)

    def came_from(self) -> tuple[str, int]:
        """Return where the last connection came from."""
        wait_until("a connection", lambda: self._peers)
        found: tuple[str, int] = self._peers[-1]
        return found

    def close(self) -> None:
        # Wakes the thread that accepts; a close alone would not.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class ProxyProcess:
    """A proxy; not started until ``start`` or ``running``.

    Args:
        folder: Where its script and its diagnostic log are.
        arguments: Further arguments.
        script: The text of its script, in which ``{port}``, ``{http_port}`` and ``{folder}`` are
            filled in; by flags alone without one, and then it may reach this host.
        descriptors: How many it may have; as many as this process if not given.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Iterable[str] = (),
        *,
        script: str | None = None,
        descriptors: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port, self.http_port = free_ports(2)
        self.policy, self.run_log = folder / "policy.py", folder / "run.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._descriptors = descriptors
        if script is not None:
            self.write_script(script)
            self._arguments = ["--policy", str(self.policy), *arguments]
            return
        self._arguments = [
            *("--listen", f"127.0.0.1:{self.port}", "--http-listen", f"127.0.0.1:{self.http_port}"),
            *("--allow-destination", HERE, *arguments),
        ]

    def write_script(self, text: str) -> None:
        """Write the script anew, as an editor would: whole or not at all."""
        for name in ("port", "http_port", "folder"):
            text = text.replace(f"{{{name}}}", str(getattr(self, name)))
        new = self.policy.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.rename(self.policy)

    # -- the process

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it to be ready."""
        command = command_line(*self._arguments)
        if self._descriptors is not None:
            command = ["prlimit", f"--nofile={self._descriptors}", *command]
        with self.run_log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def start(self) -> ProxyProcess:
        process = self.launch()
        wait_until("the proxy", lambda: self.is_up() or process.poll() is not None)
        assert process.poll() is None, self.log_text()
        return self

    def is_up(self) -> bool:
        return "the proxy is up" in self.log_text()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to stop; return its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)

    @contextlib.contextmanager
    def running(self) -> Iterator[ProxyProcess]:
        """Run it; at the end it has to stop in good order."""
        try:
            self.start()
            yield self
            status = self.stop()
            assert status == 0, self.log_text()
            assert "Traceback" not in self.log_text(), self.log_text()
        finally:
            self.kill()

    def log_text(self) -> str:
        return self.run_log.read_text("utf-8", "replace") if self.run_log.exists() else ""

    def wait_log(self, text: str, count: int = 1) -> str:
        """Wait until its diagnostic log says something; return the last line that does."""
        wait_until(f"{text!r} in the log", lambda: self.log_text().count(text) >= count)
        return [line for line in self.log_text().splitlines() if text in line][-1]

    # -- clients and destinations

    @contextlib.contextmanager
    def destination(self, host: str = "127.0.0.1", greeting: bytes = b"") -> Iterator[EchoServer]:
        """Run a destination."""
        server = EchoServer(host, greeting)
        try:
            yield server
        finally:
            server.close()

    def open(self, *, tls: ssl.SSLContext | None = None) -> socket.socket:
        """Return a connection to the proxy on which nothing was said."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        return sock if tls is None else tls.wrap_socket(sock, server_hostname="proxy.test")

    def connect(
        self,
        port: int,
        host: str = "127.0.0.1",
        *,
        source: str | None = None,
        user: str | None = None,
        password: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> socket.socket:
        """Return a connection through the proxy.

        Raises:
            PermissionError: It refuses; the text is the code of the reply, or ``refused``.
        """
        sock = self.open(tls=tls)
        sock.sendall(b"\5\1\0" if user is None else b"\5\1\2")
        method = read(sock, 2)[1]
        if method == 2 and user is not None:
            sock.sendall(credentials(user, password))
            method = read(sock, 2)[1]
        if method:
            sock.close()
            raise PermissionError("refused")
        asked = [request(host, port)]
        if source is not None:
            asked.insert(0, request(source, 0, 2))
        for octets in asked:
            sock.sendall(octets)
            code = read_reply(sock)[0]
            if code:
                sock.close()
                raise PermissionError(str(code))
        return sock

    # -- over HTTP

    def http(self, path: str) -> tuple[int, str]:
        """Return status and text of a page."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.http_port}{path}", timeout=PATIENCE_S
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def json(self, path: str) -> Any:
        status, text = self.http(path)
        assert status == 200, (status, text)
        return json.loads(text)

    def metric(self, name: str, label: str = "") -> float:
        """Return the sum of the series of a metric in which a label stands."""
        found = (line.rpartition(" ") for line in self.http("/metrics")[1].splitlines())
        return sum(
            float(value)
            for series, _, value in found
            if series.partition("{")[0] == name and label in series
        )


def read(sock: socket.socket, size: int) -> bytes:
    """Return exactly so many octets.

    Raises:
        ConnectionError: It ends before.
    """
    found = b""
    while len(found) < size:
        data = sock.recv(size - len(found))
        if not data:
            raise ConnectionError(f"the end, after {found!r}")
        found += data
    return found


def read_reply(sock: socket.socket) -> tuple[int, str, int]:
    """Return code, address and port of a reply."""
    _, code, _, kind = read(sock, 4)
    family = socket.AF_INET if kind == 1 else socket.AF_INET6
    address = socket.inet_ntop(family, read(sock, 4 if kind == 1 else 16))
    (port,) = struct.unpack(">H", read(sock, 2))
    return code, address, port


def echoes(sock: socket.socket, data: bytes = b"x") -> bool:
    """Return whether a destination gives back what is sent to it."""
    sock.sendall(data)
    return read(sock, len(data)) == data
