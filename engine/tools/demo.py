"""``cirrus demo``: a small world on loopback that shows a node at work, told in a few lines.

Place in flow: a command of its own; ``demo_world`` holds the processes.

The story: mail to four domains; one accepts, one defers at first and takes it on the retry, one
refuses; while mail flows the policy is edited and refuses the fourth. At the end every message is
accounted for, by the node's own log records.

Failure: exit status 1 with the reason; the folder with all logs is then kept.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from engine.model.log_record import LogRecord, RecordKind
from engine.tools.demo_world import DemoFailedError, World

#: The whole demonstration ends within this time, seconds; what ends the processes comes on top.
LIMIT_S = 45.0
#: Mail of the demonstration: domain and share.
DOMAINS = {"fine.example": 5, "busy.example": 2, "strict.example": 1, "news.example": 2}
MESSAGES = 300
RATE = 60
#: Log lines reach the file within this time, seconds.
LOG_DELAY_S = 1.5
MEANINGS = {
    RecordKind.RECEPTION: "accepted, safe on disk, then answered 250",
    RecordKind.DELIVERY: "taken by the receiving host",
    RecordKind.TRANSIENT_FAILURE: "deferred by busy.example, tried again after 2 s",
    RecordKind.BOUNCE: "refused for good by strict.example",
    RecordKind.REJECTION: "refused at the door by the edited policy (news.example)",
}


@click.command()
@click.option(
    "--keep", is_flag=True, help="Leave everything running at the end, until Ctrl-C, and say where."
)
def demo(keep: bool) -> None:
    """Show a node at work on loopback: sink, node and traffic, in under a minute.

    Needs no configuration, no name server and no network; uses free ports of 127.0.0.1 and a folder
    of its own, which is removed at the end.
    """
    console = Console(soft_wrap=True, highlight=False)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="cirrus-demo-"))
    try:
        with World(folder, time.monotonic() + LIMIT_S) as world:
            tell(world, console, keep=keep)
    except DemoFailedError as error:
        raise click.ClickException(f"{error} (logs and spool are in {folder})") from None
    except KeyboardInterrupt:
        console.print("stopped")
    shutil.rmtree(folder, ignore_errors=True)


def tell(world: World, console: Console, *, keep: bool) -> None:
    """Run the demonstration and print what happens.

    Raises:
        DemoFailedError: Something did not go as told.
    """
    world.start_sink()
    console.print(f"sink     listens on 127.0.0.1:{world.sink_port}, plays every MX host")
    world.start_node()
    console.print(f"node     takes mail on 127.0.0.1:{world.smtp_port}, policy {world.policy}")
    send(world)
    console.print(f"traffic  {MESSAGES} messages to {', '.join(DOMAINS)}")
    world.wait("the first deliveries", lambda: "Delivery" in kinds(world), needs="node")
    console.print("node     delivers; the first deferrals wait for their retry")
    world.write_policy(refused=("news.example",))
    console.print("policy   edited while mail flows: mail to news.example is now refused")
    world.wait("the reload", lambda: "policy loaded, epoch 2" in world.log_of("node"), needs="node")
    console.print("node     goes on under the new policy; no connection was dropped")
    world.wait("the traffic", lambda: world.has_ended("traffic"), needs="node")
    world.wait("the retries", lambda: is_settled(world), needs="node")
    if not keep:
        world.stop("node")
    else:
        time.sleep(LOG_DELAY_S)
    records = world.read_records()
    show(records, console)
    judge(records)
    if keep:
        stay(world, console)


def send(world: World) -> None:
    """Start the traffic."""
    domains = ",".join(f"{name}:{weight}" for name, weight in DOMAINS.items())
    world.start_traffic(
        *(f"--count={MESSAGES}", f"--rate={RATE}/s", "--sessions=4", f"--domains={domains}"),
        *("--allow-refusals", "--quiet"),
    )


def kinds(world: World) -> set[str]:
    """Return the types of the records written so far."""
    return {record.kind.value for record in world.read_records()}


def is_settled(world: World) -> bool:
    """Return whether every accepted message was delivered or given up."""
    return len(unsettled(world.read_records())) == 0


def unsettled(records: Iterable[LogRecord]) -> set[str]:
    """Return the ids of the messages that were received and are neither delivered nor given up."""
    final = (RecordKind.DELIVERY, RecordKind.BOUNCE, RecordKind.EXPIRATION)
    received, done = set(), set()
    for record in records:
        if record.kind is RecordKind.RECEPTION:
            received.add(record.id)
        elif record.kind in final:
            done.add(record.id)
    return received - done


def show(records: list[LogRecord], console: Console) -> None:
    """Print how many records of each type there are, and how retries went."""
    counts = Counter(record.kind for record in records)
    table = Table(title="Log records", title_justify="left")
    table.add_column("type")
    table.add_column("records", justify="right")
    table.add_column("means")
    for kind in [*MEANINGS, *sorted(counts.keys() - MEANINGS.keys())]:
        table.add_row(kind.value, str(counts[kind]), MEANINGS.get(kind, ""))
    console.print()
    console.print(table)
    retried = sum(
        record.kind is RecordKind.DELIVERY and record.num_attempts > 0 for record in records
    )
    left = len(unsettled(records))
    console.print(
        f"{counts[RecordKind.RECEPTION]} messages accepted: "
        f"{counts[RecordKind.DELIVERY]} delivered ({retried} of them on a retry), "
        f"{counts[RecordKind.BOUNCE]} refused by their host, {left} left."
    )


def judge(records: list[LogRecord]) -> None:
    """Check that the story was true.

    Raises:
        DemoFailedError: A kind of outcome is missing, or a message is not accounted for.
    """
    counts = Counter(record.kind for record in records)
    missing = [kind.value for kind in MEANINGS if not counts[kind]]
    if missing:
        raise DemoFailedError(f"there is no record of type {', '.join(missing)}")
    left = unsettled(records)
    if left:
        raise DemoFailedError(f"{len(left)} messages are not accounted for")


def stay(world: World, console: Console) -> None:
    """Say where to look, and leave everything running until Ctrl-C."""
    base = f"http://127.0.0.1:{world.http_port}"
    console.print()
    console.print("Everything is still running. Ctrl-C ends it.")
    console.print(f"  policy   {world.policy} (edit it: the node reloads)")
    console.print(f"  records  zstdcat {world.log_dir}/*")
    console.print(f"  node     pid {world.pid_of('node')}, log {world.folder / 'node.log'}")
    console.print(f"  sink     pid {world.pid_of('sink')}, log {world.folder / 'sink.log'}")
    console.print(f"  metrics  curl {base}/metrics")
    console.print(f"  queues   curl {base}/api/admin/ready-q-states/v1")
    console.print(f"  send     cirrus traffic --target 127.0.0.1:{world.smtp_port}")
    with contextlib.suppress(KeyboardInterrupt):
        while not (world.has_ended("node") or world.has_ended("sink")):
            time.sleep(0.5)


if __name__ == "__main__":
    demo()
