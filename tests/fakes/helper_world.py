"""A script with helpers and their data files, loaded as a node loads it, and nothing behind it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.base.clock import Clock
from engine.dry_check import DryCheck
from engine.helpers.script_helpers import HelperPorts, ScriptHelpers
from engine.hooks import HOOKS
from engine.model.errors import ConfigurationError
from engine.model.message import Message, new_spool_id
from engine.policy_check import check_policy
from engine.records.log_hook import parse_hook_records
from engine.route.dns_resolver import DnsResolver
from engine.script_api import ScriptApi
from engine.script_views import ConnectionView, MessageView
from engine.throttle.limiter import MemoryLimiter
from policy.handler_call import Pending
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from policy.testing import ManualTime

IMPORTS = (
    "import mta\n"
    "from mta import on\n"
    "from helpers import "
    "dkim, listener_domains, log_hooks, policy_utils, queues, rollup, shaping, sources\n"
)
INIT = '\n@on("init")\ndef init():\n    mta.define_spool(path="/nowhere")\n'


class HelperWorld:
    """Scripts of one folder.

    Attributes:
        time: The monotonic clock.
        reports: What the runtime said.
        secrets: Of the Vault, by mount and path.
        tasks: What was begun beside the mail.
    """

    def __init__(self, folder: Path, zones: list[str] | None = None) -> None:
        self.folder = folder
        self.path = folder / "init.py"
        self.time = ManualTime()
        self.clock = Clock(mono=self.time, wall=lambda: 1_700_000_000.0 + self.time())
        self.reports: list[tuple[str, dict[str, Any]]] = []
        limiter = MemoryLimiter(self.time)
        self.api = ScriptApi(limiter)
        self.api.check_hook_records = parse_hook_records
        namespace = ScriptNamespace()
        self.api.expose(namespace, version="test")
        self.runtime = PolicyRuntime(
            HOOKS, namespace, mono=self.time, report=lambda *one: self.reports.append(one)
        )
        self.dry_check = DryCheck(self.runtime, self.api)
        resolver = DnsResolver(clock=self.time, zones=zones or [], servfail=["bad.test"])
        self.secrets: dict[str, bytes] = {}
        self.tasks: list[Any] = []
        ports = HelperPorts(
            self.time, lambda task, _name: self.tasks.append(task), lambda: resolver, self._secret
        )
        self.helpers = ScriptHelpers(self.api, self.runtime, limiter, ports)
        self.helpers.expose(namespace)
        #: What scripts said with ``mta.tell``.
        self.told: list[Any] = []
        namespace.expose("tell", self.told.append)

    async def _secret(self, source: Mapping[str, str]) -> bytes:
        try:
            return self.secrets[f"{source['vault_mount']}/{source['vault_path']}"]
        except KeyError:
            raise ConfigurationError("no such secret") from None

    async def run_tasks(self) -> None:
        """Do what was begun beside the mail."""
        while self.tasks:
            await self.tasks.pop(0)

    def write(self, script: str, files: Mapping[str, str] | None = None) -> None:
        """Write a script (line 4 is its first) and its data files."""
        self.path.write_text(IMPORTS + textwrap.dedent(script).lstrip("\n") + INIT)
        for name, text in (files or {}).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip("\n"))

    def load(self, script: str, files: Mapping[str, str] | None = None) -> None:
        """Load a script and make it current.

        Raises:
            PolicyLoadError: It, or one of its files, is wrong.
        """
        self.write(script, files)
        self.runtime.swap(self.runtime.load(self.path, dry_check=self.dry_check))
        self.helpers.begin(self.runtime.epoch)

    def check(self, script: str, files: Mapping[str, str] | None = None) -> list[str]:
        """Return what ``cirrus check`` says, with the names of files only."""
        self.write(script, files)
        return [str(one).replace(f"{self.folder}/", "") for one in check_policy(self.path)]

    def fire(self, hook: str, *args: Any) -> Any:
        """Return the answer to an event that does not really wait."""
        answer = self.runtime.fire_nowait(hook, *args)
        return answer.finish_nowait() if type(answer) is Pending else answer

    def handle(self, hook: str, message: Message, **options: Any) -> Any:
        """Fire an event about a message."""
        return self.fire(hook, MessageView(message, None, self.clock, **options))

    def handle_record(self, message: Message, hook_name: str) -> Any:
        """Return whether the record of a hook is wanted."""
        view = MessageView(message, None, self.clock)
        return self.fire("should_enqueue_log_record", view, hook_name)


def make_message(
    header: str = "From: a@example.com\r\nSubject: hi\r\n",
    *,
    sender: str = "a@example.com",
    recipients: tuple[str, ...] = ("b@there.example",),
    **meta: Any,
) -> Message:
    """Return a message as it comes in."""
    data = f"{header}\r\nhello\r\n".encode()
    return Message(
        new_spool_id(1),
        sender,
        list(recipients),
        data=data,
        size=len(data),
        created_at=1_700_000_000.0,
        due_mono=1_000.0,
        meta=dict(meta),
    )


def connection(**meta: Any) -> ConnectionView:
    """Return a client's connection."""
    return ConnectionView(dict(meta))
