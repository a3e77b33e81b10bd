"""Series of metrics, read from their text without keeping what is not wanted.

Place in flow: both ways to a node parse with it; summaries and ``top`` read the result.

Standard: Prometheus text exposition format 0.0.4, as far as the node writes it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple


class Sample(NamedTuple):
    """One series.

    Attributes:
        labels: Its labels.
        value: Its value now.
    """

    labels: dict[str, str]
    value: float


#: Series by the name of their metric.
Samples = dict[str, list[Sample]]

_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


def parse_samples(lines: Iterable[str], names: Collection[str]) -> Samples:
    """Return the series of the named metrics.

    Args:
        lines: Lines of the exposition.
        names: Names of the metrics that are wanted.
    """
    found: Samples = {name: [] for name in names}
    for line in lines:
        end = line.find("{")
        if end < 0:
            end = line.find(" ")
        series = found.get(line[:end])
        if series is None or line.startswith("#"):
            continue
        head, _, number = line.rstrip("\n").rpartition(" ")
        labels = {name: _unescape(text) for name, text in _LABEL.findall(head)}
        series.append(Sample(labels, float(number)))
    return found


def total(samples: Samples, name: str, **labels: str) -> float:
    """Return the sum of a metric over the series with these labels; 0 without any."""
    return sum(
        sample.value
        for sample in samples.get(name, ())
        if all(sample.labels.get(label) == text for label, text in labels.items())
    )


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda match: "\n" if match[1] == "n" else match[1], text)
