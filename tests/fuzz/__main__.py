"""``python -m tests.fuzz``: millions of damaged dialogues through the parsers that meet the world.

Place in flow: ``make fuzz`` runs it. Each process has its own seed, so a run can be repeated; what
is found is printed in octets, with the line that tries it again.

    python -m tests.fuzz                            two million sequences, and those for XCLIENT
    python -m tests.fuzz --again proxy:3:050100:1   one: target, circumstances, octets, cuts
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import TARGETS, Finding

#: Two million for SOCKS5 and the PROXY protocol; the sixth part of all is XCLIENT's.
COUNT = 2_400_000
#: Memory that a process may gain while it parses, MiB: what a parser keeps would be more.
GROWTH_MAX_MIB = 48
#: Findings after which a process stops.
FINDINGS_MAX = 5


@dataclass
class Tally:
    """What came of the sequences of one process."""

    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    growth_mib: float = 0.0


def fuzz(seed: str, count: int, names: tuple[str, ...] = tuple(TARGETS)) -> Tally:
    """Put so many sequences through the targets.

    Args:
        seed: Repeats a run.
        count: Of all targets together.
        names: Of the targets.
    """
    tally = Tally()
    mutator = Mutator(seed)
    turns = [name for name in names for _ in range(TARGETS[name].share)]
    began_mib = 0.0
    for number in range(count):
        name = turns[number % len(turns)]
        target = TARGETS[name]
        data = mutator.sequence(target.corpus)
        cuts, variant = mutator.cuts(len(data)), mutator.chance.randrange(12)
        try:
            tally.ends[name, target.check(data, cuts, variant)] += 1
        except Exception as error:
            tally.findings.append(describe(name, variant, data, cuts, error))
            if len(tally.findings) >= FINDINGS_MAX:
                break
        if number == min(count // 10, 10_000):
            # Caches and the like have their size by now.
            began_mib = memory_mib()
    tally.growth_mib = memory_mib() - began_mib
    if tally.growth_mib > GROWTH_MAX_MIB:
        tally.findings.append(f"memory grew by {tally.growth_mib:.0f} MiB")
    return tally


def describe(name: str, variant: int, data: bytes, cuts: list[int], error: Exception) -> str:
    places = ",".join(map(str, cuts))
    why = str(error) if isinstance(error, Finding) else f"{type(error).__name__}: {error}"
    return f"{why}\n    python -m tests.fuzz --again {name}:{variant}:{data.hex()}:{places}"


def memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def again(text: str) -> None:
    name, variant, octets, places = text.split(":")
    cuts = [int(place) for place in places.split(",") if place]
    print(TARGETS[name].check(bytes.fromhex(octets), cuts, int(variant)))


def fuzz_in_processes(seed: str, count: int, jobs: int) -> Tally:
    """Share sequences among processes; return the sum."""
    total = Tally()
    with ProcessPoolExecutor(jobs) as pool:
        shares = [count // jobs + (number < count % jobs) for number in range(jobs)]
        seeds = [f"{seed}-{number}" for number in range(jobs)]
        for tally in pool.map(fuzz, seeds, shares):
            total.ends += tally.ends
            total.findings += tally.findings
            total.growth_mib = max(total.growth_mib, tally.growth_mib)
    return total


def lines_of(tally: Tally, took_s: float) -> Iterator[str]:
    total = sum(tally.ends.values())
    yield f"{total:,} sequences in {took_s:.0f} s, {total / took_s:,.0f} a second"
    for name in TARGETS:
        ends = {end: count for (whose, end), count in sorted(tally.ends.items()) if whose == name}
        counts = ", ".join(f"{end} {count:,}" for end, count in ends.items())
        yield f"  {name:<8} {sum(ends.values()):>9,}: {counts}"
    yield f"memory grew by {tally.growth_mib:.1f} MiB at most"
    yield f"{len(tally.findings)} findings"
    yield from tally.findings


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="sequences in all")
    parser.add_argument("--seed", default="1", help="another one makes another run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--again", metavar="SEQUENCE", help="one sequence, as it was printed")
    options = parser.parse_args(words)
    if options.again:
        again(options.again)
        return 0
    began = time.perf_counter()
    if options.jobs == 1:
        # In this process, so that coverage can look on.
        tally = fuzz(options.seed, options.count)
    else:
        tally = fuzz_in_processes(options.seed, options.count, options.jobs)
    print(*lines_of(tally, time.perf_counter() - began), sep="\n")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
