"""``cirrus demo``: a small world on loopback that shows a node at work, told in a few lines.

Place in flow: a command of its own; ``demo_world`` holds the processes.

The story: mail to five domains, from two addresses of a proxy; one domain accepts, one defers at
first and takes it on the retry, one refuses; while mail flows the policy is edited and refuses the
fourth. The fifth is a large provider that asks to slow down: the TSA sees it in the records and
lowers the rate, the node obeys, and when the provider is content the rate climbs back. At the end
every message is accounted for: by the node's own log records, by what the load generator was told
and by what the sink holds, also for each address that it came from.

Failure: exit status 1 with the reason; the folder with all logs is then kept.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from engine.model.log_record import LogRecord, RecordKind
from engine.tools.demo_timeline import Timeline, make_timeline, sentences, table_of
from engine.tools.demo_world import ENDING_SIGNALS, SOURCES, DemoFailedError, Story, World

#: The whole demonstration ends within this time, seconds; what ends the processes comes on top.
LIMIT_S = 90.0
#: Mail of the demonstration: domain and share.
DOMAINS = {
    "fine.example": 5,
    "busy.example": 2,
    "strict.example": 1,
    "news.example": 2,
    "big.example": 4,
}
#: Messages a second.
RATE = 60
#: So many are refused under the edited policy before the traffic ends.
REFUSALS = 30
#: Log lines and the sink's counts reach their files within this time, seconds.
LOG_DELAY_S = 1.5
#: What each type of record stands for, and who else can bear witness.
MEANINGS = {
    RecordKind.RECEPTION: ("accepted: safe on disk, then 250", "traffic"),
    RecordKind.REJECTION: ("refused by the edited policy", "traffic"),
    RecordKind.TRANSIENT_FAILURE: ("deferred, tried again after 2 s", "sink"),
    RecordKind.DELIVERY: ("taken by the receiving host", "sink"),
    RecordKind.BOUNCE: ("refused for good by its host", "sink"),
}


@click.command(short_help="Show a node at work on loopback.")
@click.option(
    "--keep", is_flag=True, help="Leave everything running at the end, until Ctrl-C, and say where."
)
def demo(keep: bool) -> None:
    """Show a node and the automation at work on loopback, in well under a minute.

    A sink plays the receiving hosts of five domains; a node takes 60 messages a second and delivers
    them through a proxy, from two of its addresses. One domain defers some of its mail, one refuses
    all; the node's policy is edited under the running traffic; a large provider asks to slow down,
    and the TSA lowers the rate until it is content. Tables at the end show the loop second by
    second and compare the node's log records with what the traffic was told, what the sink got and
    where that came from.

    Needs no configuration, no name server and no network; uses free ports of 127.0.0.1, the
    addresses 127.0.0.11 and 127.0.0.12 to leave from, and a folder of its own, which is removed at
    the end (and kept, with all logs, when something went wrong).

    Exit status: 0 when every message is accounted for; 1 when one is not, or when it was stopped
    before it knew.
    """
    console = Console(soft_wrap=True, highlight=False)
    for number in ENDING_SIGNALS:
        signal.signal(number, _interrupt_once)
    folder = Path(tempfile.mkdtemp(prefix="cirrus-demo-"))
    is_told = False
    try:
        with World(folder, time.monotonic() + LIMIT_S) as world:
            tell(world, console, keep=keep)
            is_told = True
            if keep:
                stay(world, console)
    except DemoFailedError as error:
        raise click.ClickException(f"{error} (logs and spool are in {folder})") from None
    except KeyboardInterrupt:
        console.print("stopped")
    shutil.rmtree(folder, ignore_errors=True)
    if not is_told:
        raise SystemExit(1)


def _interrupt_once(_number: int, _frame: object) -> NoReturn:
    # What follows is the clean-up, which is bounded; a second Ctrl-C must not cut it short.
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


class _Teller:
    """Prints lines that begin with the seconds since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started_mono = time.monotonic()

    def say(self, who: str, what: str) -> None:
        elapsed_s = time.monotonic() - self._started_mono
        self._console.print(
            f"[dim]{elapsed_s:5.1f} s[/]  [bold]{who:<8}[/] {what}", no_wrap=True, overflow="ignore"
        )


def tell(world: World, console: Console, *, keep: bool = False, story: Story | None = None) -> None:
    """Run the demonstration and print what happens.

    Args:
        world: Its processes.
        console: Where it is told.
        keep: Whether node and sink go on at the end.
        story: What the provider does.

    Raises:
        DemoFailedError: Something did not go as told.
    """
    say = _Teller(console).say
    for start in (world.start_sink, world.start_tsa, world.start_proxy):
        start()
    world.await_listener("sink")
    say("sink", f"listens on 127.0.0.1:{world.sink_port}, plays every MX host")
    world.await_listener("tsa")
    say("tsa", f"reads log records on 127.0.0.1:{world.tsa_port}, rules {world.shaping}")
    world.await_listener("proxy")
    leaves_from = " and ".join(SOURCES.values())
    say("proxy", f"listens on 127.0.0.1:{world.proxy_port}, lets mail leave from {leaves_from}")
    world.start_node()
    say("node", f"takes mail on 127.0.0.1:{world.smtp_port}, policy {world.policy}")
    world.start_traffic(
        *(f"--rate={RATE}/s", "--sessions=4", f"--duration={LIMIT_S:g}", "--allow-refusals"),
        "--domains=" + ",".join(f"{name}:{weight}" for name, weight in DOMAINS.items()),
    )
    say("traffic", f"sends {RATE} messages a second to {', '.join(DOMAINS)}")
    outcomes = (RecordKind.DELIVERY, RecordKind.TRANSIENT_FAILURE, RecordKind.BOUNCE)
    world.wait("the first outcomes", lambda: has_all(world, outcomes), needs="node")
    say("node", "delivers; busy.example defers, strict.example refuses")
    world.write_policy(refused=("news.example",))
    say("policy", "edited while mail flows: mail to news.example shall be refused")
    world.wait("the reload", lambda: "policy loaded, epoch 2" in world.log_of("node"), needs="node")
    say("node", "goes on under the new policy; no connection was dropped")
    tell_loop(world, say, story or Story())
    world.wait("the refusals", lambda: count_refusals(world) >= REFUSALS, needs="node")
    sent = world.end_traffic()
    say("traffic", f"ends after {sent['messages']} messages")
    world.wait("the retries", lambda: is_settled(world, sent["accepted"]), needs="node")
    say("node", "has delivered what was deferred, on its retry")
    if keep:
        time.sleep(LOG_DELAY_S)
    else:
        for name in ("node", "proxy", "tsa", "sink"):
            world.stop(name)
    records, got = world.read_records(), world.sink_stats()
    timeline = make_timeline(records, (story or Story()).provider)
    console.print()
    console.print(table_of(timeline))
    for sentence in sentences(timeline):
        console.print(sentence)
    console.print()
    console.print(table_of_addresses(records, got))
    show(records, sent, got, console)
    judge(records, sent, got)
    judge_addresses(records, got)
    judge_loop(timeline)


def tell_loop(world: World, say: Callable[[str, str], None], story: Story) -> None:
    """Have the provider slow the node down, and let it recover.

    Raises:
        DemoFailedError: The automation, or the node, did not answer.
    """
    calm = world.rates(story.provider)
    world.throttle(story.reply)
    until_mono = time.monotonic() + story.throttled_s
    say("sink", f"{story.provider} defers: {story.reply}")
    world.wait("a decision", lambda: bool(world.decisions()), needs="tsa")
    reason = world.decisions()[0]
    say("tsa", f"has decided, by {Path(reason['place']).name} ({reason['reason']})")
    world.wait("the lower rate", lambda: world.rates(story.provider) != calm, needs="node")
    say("node", f"sends at {' and '.join(world.rates(story.provider))}, not {calm[0]}")
    world.wait("the provider", lambda: time.monotonic() >= until_mono)
    low = world.rates(story.provider)
    world.throttle(None)
    say("sink", f"{story.provider} is content; the rates have come down to {' and '.join(low)}")
    world.wait("the rate to climb", lambda: world.rates(story.provider) == calm, needs="node")
    say("node", f"sends at {calm[0]} again from each source")


def judge_loop(timeline: Timeline) -> None:
    """Check that the loop closed.

    Raises:
        DemoFailedError: The records show no deferral, no slower node, or no recovery.
    """
    if timeline.first_deferral_s is None:
        raise DemoFailedError(f"{timeline.provider} deferred nothing")
    if timeline.meanwhile > timeline.before / 2:
        raise DemoFailedError(
            f"{timeline.meanwhile:.1f} attempts a second after the deferrals began, "
            f"{timeline.before:.1f} before: the rate did not drop"
        )
    if timeline.recovered_s is None:
        raise DemoFailedError(f"{timeline.provider} never took as much as before")


def count_addresses(records: Iterable[LogRecord]) -> Counter[tuple[str, str]]:
    """Return how many deliveries there were by egress source and address, as records say."""
    return Counter(
        (record.egress_source or "", record.source_address.address)
        for record in records
        if record.kind is RecordKind.DELIVERY and record.source_address is not None
    )


def table_of_addresses(records: Iterable[LogRecord], got: Mapping[str, Any]) -> Table:
    """Return by which addresses mail left, and how much of it came from there."""
    table = Table(title="Where mail left from, through the proxy", title_justify="left")
    for name in ("egress source", "address"):
        table.add_column(name, no_wrap=True)
    for name in ("deliveries", "at the sink"):
        table.add_column(name, justify="right", no_wrap=True)
    for (source, address), number in sorted(count_addresses(records).items()):
        arrived = got["clients"].get(address, 0)
        style = "" if arrived == number else "red"
        table.add_row(source, address, str(number), str(arrived), style=style)
    return table


def judge_addresses(records: Iterable[LogRecord], got: Mapping[str, Any]) -> None:
    """Check that mail left from the address of each source, and came from nowhere else.

    Raises:
        DemoFailedError: It did not, or the records and the sink do not agree.
    """
    counts = count_addresses(records)
    if counts.keys() != set(SOURCES.items()):
        those = ", ".join(f"{source} from {address}" for source, address in sorted(counts))
        raise DemoFailedError(f"mail did not leave by all sources of the proxy: {those or 'none'}")
    told = {address: number for (_, address), number in counts.items()}
    if got["clients"] != told:
        raise DemoFailedError(f"mail left from {told}, but came from {got['clients']}")


def has_all(world: World, kinds: Iterable[RecordKind]) -> bool:
    """Return whether there are records of each of these types by now."""
    return {record.kind for record in world.read_records()} >= set(kinds)


def count_refusals(world: World) -> int:
    """Return how many messages were refused at the door by now."""
    return sum(record.kind is RecordKind.REJECTION for record in world.read_records())


def is_settled(world: World, accepted: int) -> bool:
    """Return whether so many messages were accepted, and each was delivered or given up."""
    records = world.read_records()
    received = sum(record.kind is RecordKind.RECEPTION for record in records)
    return received >= accepted and not unsettled(records)


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


def witness(sent: Mapping[str, Any], got: Mapping[str, Any]) -> dict[RecordKind, int]:
    """Return how many records of each type the other ends of the wire would expect.

    Args:
        sent: The summary of the load generator.
        got: The counts of the sink.
    """
    at_rcpt = got["replies"].get("rcpt", {})
    return {
        RecordKind.RECEPTION: sent["accepted"],
        RecordKind.REJECTION: sent["refused"],
        RecordKind.TRANSIENT_FAILURE: at_rcpt.get("451", 0),
        RecordKind.DELIVERY: got["messages"],
        RecordKind.BOUNCE: at_rcpt.get("550", 0),
    }


def show(
    records: list[LogRecord], sent: Mapping[str, Any], got: Mapping[str, Any], console: Console
) -> None:
    """Print how many records of each type there are, and what the others counted."""
    counts = Counter(record.kind for record in records)
    expected = witness(sent, got)
    table = Table(title="What the node's log records say", title_justify="left")
    table.add_column("type", no_wrap=True)
    table.add_column("records", justify="right", no_wrap=True)
    table.add_column("elsewhere", justify="right", no_wrap=True)
    table.add_column("means")
    for kind in [*MEANINGS, *sorted(counts.keys() - MEANINGS.keys())]:
        means, who = MEANINGS.get(kind, ("", ""))
        elsewhere = f"{who} {expected[kind]}" if kind in expected else ""
        style = "" if expected.get(kind, counts[kind]) == counts[kind] else "red"
        table.add_row(kind.value, str(counts[kind]), elsewhere, means, style=style)
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


def judge(records: list[LogRecord], sent: Mapping[str, Any], got: Mapping[str, Any]) -> None:
    """Check that the story was true.

    Raises:
        DemoFailedError: A kind of outcome is missing, a message is not accounted for, or the
            records and the other ends of the wire do not agree.
    """
    counts = Counter(record.kind for record in records)
    missing = [kind.value for kind in MEANINGS if not counts[kind]]
    if missing:
        raise DemoFailedError(f"there is no record of type {', '.join(missing)}")
    left = unsettled(records)
    if left:
        raise DemoFailedError(f"{len(left)} messages are not accounted for")
    for kind, number in witness(sent, got).items():
        # An attempt may also be deferred by a busy machine, which no sink counts.
        is_wrong = counts[kind] < number or (
            counts[kind] > number and kind is not RecordKind.TRANSIENT_FAILURE
        )
        if is_wrong:
            raise DemoFailedError(
                f"there are {counts[kind]} records of type {kind.value}, "
                f"but the {MEANINGS[kind][1]} counted {number}"
            )


def stay(world: World, console: Console) -> None:
    """Say where to look, and leave everything running until Ctrl-C.

    Raises:
        DemoFailedError: One of them ended by itself.
    """
    base = f"http://127.0.0.1:{world.http_port}"
    console.print()
    console.print("Everything is still running. Ctrl-C ends it.")
    console.print(f"  policy   {world.policy} (edit it: the node reloads)")
    console.print(f"  records  zstdcat {world.log_dir}/*")
    console.print(f"  node     pid {world.pid_of('node')}, log {world.folder / 'node.log'}")
    console.print(f"  tsa      pid {world.pid_of('tsa')}, log {world.folder / 'tsa.log'}")
    console.print(f"  proxy    pid {world.pid_of('proxy')}, log {world.folder / 'proxy.log'}")
    console.print(f"  sink     pid {world.pid_of('sink')}, log {world.folder / 'sink.log'}")
    console.print(f"  metrics  curl {base}/metrics")
    console.print(f"  decided  curl {world.tsa_url}/decisions (rules {world.shaping})")
    console.print(f"  relayed  curl http://127.0.0.1:{world.proxy_http_port}/proxy/status")
    console.print(f"  page     {base}/ui")
    console.print(f"  live     cirrus top --endpoint {base}")
    console.print(f"  queues   cirrus queues --endpoint {base}")
    console.print(f"  send     cirrus traffic --target 127.0.0.1:{world.smtp_port}")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            for name in ("node", "proxy", "tsa", "sink"):
                if world.has_ended(name):
                    raise DemoFailedError(f"the {name} ended: {world.last_line(name)}")
            time.sleep(0.5)


if __name__ == "__main__":
    demo()
