"""``python -m benchmarks.run``: measure a node against Postfix and against its goals.

Place in flow: ``make bench`` runs it. Rounds: ``single``, ``kept`` and ``large`` (relaying),
``waiting`` (a full spool), ``looking`` (operators at one), ``hook`` (calling a handler),
``automation`` (the loop with the TSA), ``proxy`` (relaying by the egress proxy, beside HAProxy and
Dante).

A round that cannot run says why and the others go on; the exit code is 1 if any could not.
Goals are shown beside the figures and decide nothing: machines differ.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks import (
    feed_cost,
    hook_cost,
    loop_latency,
    operators_looking,
    proxy_relay,
    relay_round,
    tsa_intake,
    tsa_replay,
    waiting_round,
)
from benchmarks.processes import BenchError
from benchmarks.source import Workload

RELAY_ROUNDS = ("single", "kept", "large")
ROUNDS = (*RELAY_ROUNDS, "waiting", "looking", "hook", "automation", "proxy")
#: Ratio to Postfix at least, and CPU milliseconds per message at most.
_GOALS = {"single": (1.2, 1.2), "kept": (1.5, 0.9), "large": (1.5, 1.6)}
#: A log has no width of its own: wide enough for the widest table.
_CONSOLE = Console(width=None if sys.stdout.isatty() else 132)


def measure_relay(name: str, work: Workload, repetitions: int) -> dict[str, Any]:
    """Return the medians of a relay round; the ratio is taken within each repetition."""
    node, postfix = [], []
    for number in range(repetitions):
        node.append(relay_round.run_node(work))
        postfix.append(relay_round.run_postfix(work))
        _CONSOLE.print(
            f"  {name} {number + 1}/{repetitions}: node {node[-1].per_s:,.0f}/s,"
            f" Postfix {postfix[-1].per_s:,.0f}/s",
            style="dim",
        )
    return {
        "work": work.name,
        "messages": work.messages,
        "node": _medians(node),
        "postfix": _medians(postfix),
        "ratio": median(a.per_s / b.per_s for a, b in zip(node, postfix, strict=True)),
    }


def _medians(figures: list[relay_round.RelayFigures]) -> dict[str, float]:
    rows = [asdict(figure) for figure in figures]
    return {key: median(row[key] for row in rows) for key in rows[0]}


def relay_table(results: dict[str, Any]) -> Table:
    """Return the table of the relay rounds."""
    table = Table(title="Relaying, until the sink has all")
    table.add_column("work")
    for column in (
        "node /s",
        "Postfix /s",
        "ratio",
        "goal",
        "node CPU ms",
        "goal",
        "Postfix CPU ms",
    ):
        table.add_column(column, justify="right")
    table.add_column("node peak MB", justify="right")
    table.add_column("Postfix sum MB", justify="right")
    for name, result in results.items():
        node, postfix = result["node"], result["postfix"]
        ratio_goal, cpu_goal = _GOALS[name]
        table.add_row(
            result["work"],
            f"{node['per_s']:,.0f}",
            f"{postfix['per_s']:,.0f}",
            _judged(f"{result['ratio']:.2f}", is_met=result["ratio"] >= ratio_goal),
            f"{ratio_goal:.1f}",
            _judged(f"{node['cpu_ms']:.2f}", is_met=node["cpu_ms"] <= cpu_goal),
            f"{cpu_goal:.1f}",
            f"{postfix['cpu_ms']:.2f}",
            f"{node['peak_mb']:.0f}",
            f"{postfix['peak_mb']:.0f}",
        )
    return table


def waiting_table(results: list[dict[str, Any]]) -> Table:
    """Return the table of the waiting round, one column per size."""
    table = Table(title="Messages waiting")
    table.add_column("figure")
    for result in results:
        title = f"{result['waiting']:,} in {result['queues']:,} queues"
        table.add_column(title, justify="right")
    table.add_column("goal at 1,000,000", justify="right")
    rows: list[tuple[str, Callable[[dict[str, Any]], float], str, float | None]] = [
        ("recovered after, s (process start included)", lambda r: r["recovery_s"], "{:.1f}", 60),
        ("resident after recovery, MB", lambda r: r["rss_mb"], "{:.0f}", 700),
        ("longest answer while recovering, ms", lambda r: r["recovery_lag_ms"], "{:.0f}", 50),
        ("longest answer while promoting, ms", lambda r: r["promotion_lag_ms"], "{:.0f}", 50),
        (
            "SMTP transaction while recovering, median ms",
            lambda r: median(r["replies_ms"] or [0]),
            "{:.0f}",
            None,
        ),
        (
            "CPU to promote and deliver one, ms",
            lambda r: r["promotion_cpu_ms"],
            "{:.3f}",
            None,
        ),
    ]
    for title, pick, form, goal in rows:
        cells = [
            _judged(form.format(pick(result)), is_met=goal is None or pick(result) <= goal)
            for result in results
        ]
        table.add_row(title, *cells, "equal" if "promote" in title else str(goal or ""))
    return table


def looking_table(figures: operators_looking.LookingFigures) -> Table:
    """Return the table of the looking round."""
    title = f"Looking at {figures.waiting:,} messages in {figures.queues:,} queues"
    table = Table(title=title)
    table.add_column("look")
    for column in ("slowest answer, s", "goal", "longest hold, ms", "CPU, ms"):
        table.add_column(column, justify="right")
    goal_s = operators_looking.ANSWER_GOAL_S
    for one in figures.looks:
        answer = _judged(f"{one.answer_s:.2f}", is_met=one.answer_s < goal_s)
        table.add_row(one.name, answer, f"{goal_s:.0f}", f"{one.lag_ms:.0f}", f"{one.cpu_ms:.0f}")
    goal, every_s = operators_looking.SLOWER_GOAL, operators_looking.LOOK_EVERY_S
    for name, share in (
        (f"mail slower while all is looked at each {every_s:.0f} s", figures.slower),
        ("a message dearer meanwhile", figures.dearer),
        ("share of a core that looking takes", figures.share),
    ):
        table.add_row(name, _judged(f"{share:.1%}", is_met=share < goal), f"{goal:.0%}", "", "")
    return table


def hook_table(figures: list[hook_cost.HookFigure]) -> Table:
    """Return the table of the hook round."""
    table = Table(title="Calling a handler")
    table.add_column("case")
    table.add_column("microseconds", justify="right")
    for figure in figures:
        table.add_row(figure.name, f"{figure.us:.2f}")
    return table


@dataclass(frozen=True, slots=True)
class AutomationFigure:
    """One figure of the automation, and whether more or less is better."""

    name: str
    value: float
    goal: float
    unit: str
    is_more_better: bool

    @property
    def is_met(self) -> bool:
        """Return whether the goal is reached."""
        return self.value >= self.goal if self.is_more_better else self.value <= self.goal


def measure_automation(*, is_quick: bool) -> list[AutomationFigure]:
    """Return how much the TSA takes, what feeding it costs, how fast the loop closes."""
    records = 20_000 if is_quick else 100_000
    figures = [
        AutomationFigure(f"intake: {one.name}", one.per_s, one.goal_per_s, "records/s", True)
        for one in tsa_intake.run(records=records)
    ]
    for name, lines in (
        ("replay: deferrals only", tsa_intake.make_lines(records)),
        ("replay: four of five delivered", tsa_replay.mixture(records)),
    ):
        per_s = tsa_replay.replay_per_s(lines)
        figures.append(AutomationFigure(name, per_s, tsa_replay.GOAL_PER_S, "records/s", True))
    figures += [
        AutomationFigure(f"node: {one.name}", one.micros, one.goal, "us of CPU a record", False)
        for one in feed_cost.run(records=records // 2)
    ]
    loop = loop_latency.run(rounds=2 if is_quick else 5)
    name = "deferral to override in force, the slowest"
    figures.append(AutomationFigure(name, max(loop.rounds_ms), loop.goal_ms, "ms", False))
    return figures


def automation_table(figures: list[AutomationFigure]) -> Table:
    """Return the table of the automation round."""
    table = Table(title="The automation, 200 rules, one core of the TSA")
    table.add_column("figure")
    for column in ("value", "goal"):
        table.add_column(column, justify="right")
    table.add_column("unit")
    for one in figures:
        bound = "at least" if one.is_more_better else "under"
        form = "{:,.1f}" if one.value < 100 else "{:,.0f}"
        cell = _judged(form.format(one.value), is_met=one.is_met)
        table.add_row(one.name, cell, f"{bound} {one.goal:,.0f}", one.unit)
    return table


def measure_proxy(*, is_quick: bool) -> list[proxy_relay.RelayFigure]:
    """Return what relaying costs our proxy, and others that are unpacked."""
    if is_quick:
        return proxy_relay.run(gigabytes=2.0, connections=1600, idle=1000, copies=False)
    return proxy_relay.run(gigabytes=8.0, connections=6400, idle=10_000, copies=True)


def proxy_table(figures: list[proxy_relay.RelayFigure]) -> Table:
    """Return the table of the proxy round; goals are ours alone."""
    table = Table(title="Relaying by the egress proxy, on loopback")
    table.add_column("proxy", no_wrap=True)
    table.add_column("figure")
    for column in ("value", "goal"):
        table.add_column(column, justify="right")
    table.add_column("unit")
    for one in figures:
        form = "{:,.1f}" if one.value < 100 else "{:,.0f}"
        bound = "at least" if one.is_more_better else "under"
        is_ours = one.goal is not None and one.subject.startswith("cirrus")
        goal = f"{bound} {one.goal:,.0f}" if is_ours else ""
        cell = _judged(form.format(one.value), is_met=not is_ours or one.is_met)
        table.add_row(one.subject, one.what, cell, goal, one.unit)
    return table


def _judged(text: str, *, is_met: bool) -> str:
    return text if is_met else f"[red]{text}[/red]"


def run_rounds(
    rounds: tuple[str, ...], *, is_quick: bool, repetitions: int, waiting: int
) -> tuple[dict[str, Any], bool]:
    """Run rounds and print their tables; return the figures and whether all could run."""
    results: dict[str, Any] = {}
    complete = True
    work = relay_round.workloads(is_quick=is_quick)
    relayed: dict[str, Any] = {}
    for name in rounds:
        try:
            if name in RELAY_ROUNDS:
                relayed[name] = results[name] = measure_relay(name, work[name], repetitions)
            elif name == "waiting":
                sizes = [min(10_000, waiting), *([waiting] if waiting > 10_000 else [])]
                results[name] = [asdict(waiting_round.run(size)) for size in sizes]
                _CONSOLE.print(waiting_table(results[name]))
            elif name == "looking":
                looking = operators_looking.run(waiting, pairs=2 if is_quick else 8)
                results[name] = asdict(looking)
                _CONSOLE.print(looking_table(looking))
            elif name == "automation":
                measured = measure_automation(is_quick=is_quick)
                results[name] = [asdict(figure) for figure in measured]
                _CONSOLE.print(automation_table(measured))
            elif name == "proxy":
                relay_figures = measure_proxy(is_quick=is_quick)
                results[name] = [asdict(figure) for figure in relay_figures]
                _CONSOLE.print(proxy_table(relay_figures))
            else:
                figures = hook_cost.run(calls=50_000, repeat=5)
                results[name] = [asdict(figure) for figure in figures]
                _CONSOLE.print(hook_table(figures))
        except (BenchError, OSError) as error:
            complete = False
            _CONSOLE.print(f"round {name} could not run: {error}", style="red", markup=False)
    if relayed:
        _CONSOLE.print(relay_table(relayed))
    return results, complete


def _parse_rounds(_context: click.Context, _option: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(word.strip() for word in value.split(",") if word.strip())
    for name in names:
        if name not in ROUNDS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(ROUNDS)}")
    return names


@click.command()
@click.option("--rounds", default=",".join(ROUNDS), callback=_parse_rounds, show_default=True)
@click.option("--quick", is_flag=True, help="One repetition with fewer messages; 100,000 waiting.")
@click.option("--repetitions", default=3, show_default=True, type=click.IntRange(1, 50))
@click.option("--waiting", type=click.IntRange(1000, 20_000_000), help="Messages that wait.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False))
def main(
    rounds: tuple[str, ...],
    quick: bool,
    repetitions: int,
    waiting: int | None,
    json_file: Path | None,
) -> None:
    """Measure a node against Postfix and against its goals."""
    _CONSOLE.print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, Linux {platform.release()}"
    )
    results, complete = run_rounds(
        rounds,
        is_quick=quick,
        repetitions=1 if quick else repetitions,
        waiting=waiting or (100_000 if quick else 1_000_000),
    )
    if json_file is not None:
        json_file.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
