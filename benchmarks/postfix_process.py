"""Postfix from the unpacked package, in a folder that goes away with it; nothing is installed.

Place in flow: the other side of a relay round. It relays to the same sink.

Known limits: it must start as root, since it changes to other users, and borrows the users
``daemon`` and ``nobody`` and the group ``games``, which every Debian has. Its CPU is known exactly
only after its end, from the kernel's accounts of each process reaped here. Its memory is the sum
over processes that share pages: an upper bound.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from string import Template
from types import TracebackType

from benchmarks import parts
from benchmarks.processes import (
    BenchError,
    accepts,
    descendants,
    free_port,
    orphans_come_here,
    status_mb,
    stop,
    wait_until,
)

OWNER = "daemon"
GROUP = "games"
_PRIVATE = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold"),
    *("incoming", "private", "saved", "trace"),
)

#: Process limit 100 and connection reuse are what a tuned relay uses; the rest are defaults.
_MAIN = Template("""\
compatibility_level = 3.6
queue_directory = $folder/queue
data_directory = $folder/data
daemon_directory = $debian/usr/lib/postfix/sbin
command_directory = $debian/usr/sbin
shlib_directory = $debian/usr/lib/postfix
meta_directory = $debian/etc/postfix
import_environment = MAIL_CONFIG TZ LANG=C LD_LIBRARY_PATH=$libraries
mail_owner = $owner
setgid_group = $group
default_privs = nobody
myhostname = postfix.bench.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
relayhost = [127.0.0.1]:$sink_port
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
default_process_limit = 100
default_destination_concurrency_limit = 50
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
smtp_dns_support_level = disabled
smtpd_tls_security_level = none
smtp_tls_security_level = none
maillog_file = $folder/mail.log
maillog_file_prefixes = $folder
biff = no
""")

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class PostfixProcess:
    """A running Postfix; a context manager.

    Attributes:
        smtp_port: Where it takes mail.
        cpu_total_s: CPU seconds of all its processes; known after the end.
    """

    def __init__(self, folder: Path, sink_port: int) -> None:
        if os.geteuid() != 0:
            raise BenchError("Postfix must start as root")
        self.folder = folder
        self.smtp_port = free_port()
        self.cpu_total_s = 0.0
        self._write_configuration(sink_port)
        self._make_queue()
        orphans_come_here()
        self._process = subprocess.Popen(
            [str(parts.POSTFIX_MASTER), "-d", "-c", str(folder / "etc")],
            env={**parts.environment(), "MAIL_CONFIG": str(folder / "etc")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _write_configuration(self, sink_port: int) -> None:
        etc = self.folder / "etc"
        etc.mkdir(parents=True)
        self.folder.chmod(0o755)
        (etc / "main.cf").write_text(
            _MAIN.substitute(
                folder=self.folder,
                debian=parts.DEBIAN,
                libraries=parts.library_path(),
                owner=OWNER,
                group=GROUP,
                sink_port=sink_port,
            )
        )
        (etc / "master.cf").write_text(_MASTER.format(port=self.smtp_port))

    def _make_queue(self) -> None:
        queue = self.folder / "queue"
        (queue / "pid").mkdir(parents=True)
        for name in _PRIVATE:
            (queue / name).mkdir(mode=0o700)
            shutil.chown(queue / name, OWNER)
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            (queue / name).mkdir()
            shutil.chown(queue / name, OWNER, GROUP)
            (queue / name).chmod(mode)
        (self.folder / "data").mkdir()
        shutil.chown(self.folder / "data", OWNER)

    def __enter__(self) -> PostfixProcess:
        """Wait until it listens."""
        try:
            wait_until("Postfix listens", self._is_up, limit_s=20, every_s=0.05)
        except BenchError:
            stop(self._process)
            raise
        return self

    def _is_up(self) -> bool:
        if self._process.poll() is not None:
            log = self.folder / "mail.log"
            said = log.read_text(errors="replace") if log.exists() else "nothing"
            raise BenchError(f"Postfix ended; it said: {said[-1000:]}")
        return accepts(self.smtp_port)

    def memory_mb(self) -> float:
        """Return the sum of the highest resident memory of its processes."""
        pids = [self._process.pid, *descendants(self._process.pid)]
        return sum(status_mb(pid, "VmHWM") for pid in pids)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, reap everything it started, and learn what it cost."""
        pids = descendants(self._process.pid)
        self._process.send_signal(signal.SIGTERM)
        for pid in [self._process.pid, *pids]:
            # A child that the master reaped itself is in the master's account.
            with contextlib.suppress(ChildProcessError):
                usage = os.wait4(pid, 0)[2]
                self.cpu_total_s += usage.ru_utime + usage.ru_stime
        self._process.returncode = 0
