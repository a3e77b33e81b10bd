"""How much memory the node uses, judged against limits: shed load before the kernel kills.

Place in flow: sampled by ``engine.app`` once a second; reception's gate asks ``trouble``, and
sessions tell of the content they read between two samples.

Invariants:
    * The page cache is not counted: a cgroup's inactive file pages do not shed load.
    * hard >= soft >= low; what an operator sets wins over what the machine says.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_SOFT_SHARE = 0.75
_LOW_SHARE = 0.80
_PAGE_BYTES = resource.getpagesize()


def _read_number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text().strip())
    return None


def _group_limits() -> Iterator[int]:
    """Yield the memory limits of the control groups this process is in, outermost first."""
    groups = [(_CGROUP, "memory.max"), (_CGROUP / "memory", "memory.limit_in_bytes")]
    with contextlib.suppress(OSError):
        for line in _OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            names = controllers.split(",")
            if controllers and "memory" not in names:
                continue
            top, file = groups[1 if controllers else 0]
            # Each group on the way down may be the tightest.
            for part in Path(path).parts[1:]:
                top = top / part
                groups.append((top, file))
    for folder, file in groups:
        limit = _read_number(folder / file)
        if limit is not None:
            yield limit


def read_hard_limit() -> int:
    """Return the octets this process may have: the least of cgroups, rlimit and the machine."""
    limits = [os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES, *_group_limits()]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    return min(limits)


def read_usage() -> int:
    """Return the resident memory of this process in octets."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class MemoryGuard:
    """The limits in force and the last sample.

    Attributes:
        usage: Octets in use at the last sample.
        is_low: Whether the node should save memory.
        low_count: How often memory became low.
        over_count: How often the soft limit was passed.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._hard_found = int(environment.get("CIRRUS_MEMORY_HARD_LIMIT", 0)) or read_hard_limit()
        self._soft_found = int(environment.get("CIRRUS_MEMORY_SOFT_LIMIT", 0))
        self.hard, self._soft_set = self._hard_found, self._soft_found
        self._low_set = 0
        self.usage = read_usage()
        self._grown = 0
        self.is_low = self.is_over = False
        self.low_count = self.over_count = 0

    @property
    def soft(self) -> int:
        """Return the octets beyond which no mail is taken."""
        return self._soft_set or int(self.hard * _SOFT_SHARE)

    @property
    def low(self) -> int:
        """Return the octets beyond which memory is low."""
        return self._low_set or int(self.soft * _LOW_SHARE)

    def set_limits(self, limits: Mapping[str, int]) -> None:
        """Take what a script declares now: ``hard_limit``, ``soft_limit``, ``low_thresh`` (octets).

        What it no longer declares is what environment and machine say.
        """
        self.hard = limits.get("hard_limit", self._hard_found)
        self._soft_set = limits.get("soft_limit", self._soft_found)
        self._low_set = limits.get("low_thresh", 0)

    def sample(self) -> None:
        """Read the use of memory and judge it."""
        self.usage = read_usage()
        self._grown = 0
        was_low, was_over = self.is_low, self.is_over
        self.is_low = self.usage >= self.low
        self.is_over = self.usage >= self.soft
        self.low_count += self.is_low and not was_low
        self.over_count += self.is_over and not was_over

    def grow(self, octets: int) -> None:
        """Count octets taken, or freed if negative, since the last sample.

        Many large messages come in faster than the samples.
        """
        self._grown += octets

    def trouble(self) -> str | None:
        """Return why no mail is taken because of memory, or None."""
        is_over = self.usage + self._grown >= self.soft
        return "load shedding, memory is short" if is_over else None
