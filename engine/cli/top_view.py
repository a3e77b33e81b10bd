"""The pictures of ``cirrus top``: what is known of a node, as the lines of a screen.

Place in flow: ``engine.cli.top`` draws what ``make_frame`` returns; ``engine.cli.top_lists`` makes
the rows of lists.

Invariants:
    * A picture has exactly as many lines as the screen, and none is wider than it.
    * At 80 columns and 24 rows the overview shows something of everything.
    * What is not known is said to be not known: no picture looks like that of an idle node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.cli.spans import Line, Span, Style, fit_text, lay_out, spread, write_line
from engine.cli.table import format_age, format_count
from engine.cli.top_controls import Controls, View
from engine.cli.top_lists import Listed, list_of
from engine.cli.top_series import draw_blocks
from engine.cli.top_state import RATES, TopState
from engine.model.decision import format_instant

#: The numbers of the overview, in two columns, as people call them.
_LEFT = (
    ("received", "received/s"),
    ("delivered", "delivered/s"),
    ("transfailed", "transfail/s"),
    ("failed", "permfail/s"),
    ("rejected", "rejected/s"),
    ("cpu", "cpu %"),
)
_RIGHT = (
    ("scheduled", "scheduled"),
    ("ready", "ready"),
    ("messages", "messages"),
    ("sessions_out", "conn out"),
    ("sessions_in", "conn in"),
    ("memory", "memory"),
)
#: Cells of the name and of the number before a graph.
_NAME, _NUMBER = 12, 6
#: Cells of a name in the first line.
_TITLE = 24
#: A narrower screen has no room for two columns with a graph.
_GRAPH_FROM = 50
#: A narrower one has no room for the names of all views.
_TABS_FROM = 80
#: Lists of the overview, in the order that they get rows, and as they stand on the screen.
_LISTS = (View.QUEUES, View.PROVIDERS, View.REASONS, View.DECISIONS)
#: A reading that is older, or takes longer, is called stale, seconds.
STALE_S = 5.0
_HELP = """\
Tab, Shift-Tab, 1-7  another view; also the arrows to the left and right
arrows, PgUp, PgDn   scroll a list; Home and End go to its ends
+ and -              a longer or shorter interval, also for the graphs
f or /               only what has a text in it: Enter keeps it, Esc drops it
Ctrl-L               draw everything anew
q, Esc               leave

received/s           messages taken by SMTP and HTTP
delivered/s          deliveries
transfail/s          attempts that failed for now; the mail is tried again
permfail/s           messages that were refused for good
rejected/s           commands of clients that were refused
cpu                  percent of one core
scheduled, ready     messages that wait for their time, and that may go now
messages             messages that are in memory
conn out, conn in    sessions with hosts that take mail, and with clients

Graphs go up to their highest value. They begin with what the node remembers
of the last hour, in steps of ten seconds. Providers are told of as of the
last minute, reasons as of the last hour. A node that has much to count is
asked less often."""


class Frame(NamedTuple):
    """One picture.

    Attributes:
        lines: Its lines.
        rows: How many rows the list has in all.
        page: How many of them are on the screen.
    """

    lines: list[str]
    rows: int
    page: int


def make_frame(
    state: TopState,
    controls: Controls,
    size: tuple[int, int],
    *,
    now_at: float,
    mono: float,
    has_colour: bool = False,
) -> Frame:
    """Return the picture of a node.

    Args:
        state: What is known.
        controls: What is looked at.
        size: Columns and rows of the screen.
        now_at: The present, seconds since the Unix epoch.
        mono: The present, monotonic seconds.
        has_colour: Whether colours are wanted.
    """
    columns, rows = size
    room = max(0, rows - 2)
    total = page = 0
    if controls.view is View.OVERVIEW:
        body = _overview(state, controls, columns, room, mono)
    elif controls.view is View.HELP:
        text = _HELP.splitlines()
        total, page = len(text), room
        body = [(Span(line),) for line in text[controls.scroll : controls.scroll + room]]
    else:
        listed = list_of(controls.view, state, controls.filter_text)
        total, page = len(listed.rows), max(0, room - 2)
        body = _list_page(listed, controls.scroll, columns, page)
    body = body[:room] + [()] * (room - len(body))
    lines = [
        _header(state, controls, columns, now_at),
        *body,
        _footer(state, controls, columns, now_at),
    ]
    shown = [write_line(line, columns, has_colour=has_colour) for line in lines[:rows]]
    return Frame(shown, total, page)


# -- the first and the last line --------------------------------------------------------------


def _header(state: TopState, controls: Controls, columns: int, now_at: float) -> Line:
    known = state.identity
    told = [_cut(known.get("hostname") or "?"), _cut(f"cirrus {known.get('version') or ''}")]
    uptime_s = state.uptime_s
    if uptime_s is not None:
        told.append(f"up {format_age(uptime_s)}")
    left: Line = (_liveness(state), Span("  " + "  ".join(told), Style.HEAD))
    clock = f"{format_instant(now_at)[11:19]} UTC  every {controls.interval_s:g} s"
    return spread(left, (Span(clock, Style.FAINT),), columns)


def _cut(value: str) -> str:
    return fit_text(value, _TITLE).rstrip()


def _liveness(state: TopState) -> Span:
    if state.away:
        return Span("NO ANSWER", Style.BAD)
    if state.answered_at is None:
        return Span("asking", Style.WARN)
    if state.not_live is None:
        return Span("liveness not known", Style.WARN)
    return Span("NOT LIVE", Style.BAD) if state.not_live else Span("live", Style.GOOD)


def _footer(state: TopState, controls: Controls, columns: int, now_at: float) -> Line:
    trouble = _trouble(state, controls, now_at)
    if controls.is_typing:
        return (Span(f"filter: {controls.filter_text}"), Span(" ", Style.BAR), *trouble)
    if trouble:
        return trouble
    shown = View if columns >= _TABS_FROM else (controls.view,)
    tabs = [
        Span(f"[{view}]", Style.HEAD) if view is controls.view else Span(f" {view} ", Style.FAINT)
        for view in shown
    ]
    if controls.filter_text:
        tabs.insert(0, Span(f"only {controls.filter_text!r} ", Style.WARN))
    else:
        tabs.append(Span("  f filter  q quit", Style.FAINT))
    return tuple(tabs)


def _trouble(state: TopState, controls: Controls, now_at: float) -> Line:
    """Return what an operator should know of the reading itself."""
    since = ""
    if state.answered_at is not None:
        age_s = now_at - state.answered_at
        since = f"stale since {format_instant(state.answered_at)[11:19]} UTC, {format_age(age_s)}"
        if not state.away and age_s > STALE_S + 2 * controls.interval_s:
            return (Span(f"the node takes its time; {since}", Style.WARN),)
    if state.away:
        return (Span("; ".join(part for part in (since, state.away) if part), Style.BAD),)
    if state.not_live:
        return (Span(state.not_live, Style.BAD),)
    # What has a place on the screen is told there.
    told = [name for name in ("rates", "totals", "who it is") if name in state.refused]
    if told:
        return (Span(f"{told[0]}: {state.refused[told[0]]}", Style.BAD),)
    return ()


# -- overview ---------------------------------------------------------------------------------


def _overview(
    state: TopState, controls: Controls, columns: int, rows: int, mono: float
) -> list[Line]:
    lines = [
        _numbers(state, left, right, controls.interval_s, columns, mono)
        for left, right in zip(_LEFT, _RIGHT, strict=True)
    ][:rows]
    listed = [list_of(view, state, controls.filter_text) for view in _LISTS]
    for one, height in zip(listed, share_rows(listed, rows - len(lines)), strict=True):
        lines += _section(one, columns, height)
    return lines


def _numbers(
    state: TopState,
    left: tuple[str, str],
    right: tuple[str, str],
    step_s: float,
    columns: int,
    mono: float,
) -> Line:
    half = (columns - 1) // 2
    graph = half - _NAME - _NUMBER - 2 if columns >= _GRAPH_FROM else 0
    spans: list[Span] = []
    for name, title in (left, right):
        series = state.series[name]
        number = fit_text(format_number(name, series.last), _NUMBER, is_right=True)
        # The present step has only begun.
        steps = draw_blocks(series.steps(mono - step_s, step_s, graph)) if graph > 0 else ""
        spans += [Span(fit_text(title, _NAME) + number + " "), Span(steps, _style_of(name))]
        spans.append(Span("  "))
    return tuple(spans[:-1])


def _style_of(name: str) -> Style:
    return {"transfailed": Style.WARN, "failed": Style.BAD, "rejected": Style.WARN}.get(
        name, Style.GOOD
    )


def format_number(name: str, value: float | None) -> str:
    """Return a number of the overview in at most six characters."""
    if value is None:
        return "?"
    if name == "memory":
        return f"{value / 1_000_000:.0f}M" if value < 10_000_000_000 else f"{value / 1e9:.1f}G"
    if (name in RATES or name == "cpu") and 0 < value < 100:
        return f"{value:.1f}"
    return format_count(value)


def share_rows(listed: Sequence[Listed], rows: int) -> list[int]:
    """Return how many lines each list gets, the one that says what it is included.

    Args:
        listed: The lists, the most important first.
        rows: Lines of the screen.
    """
    heights = [0] * len(listed)
    wanted = [one.height for one in listed]
    for place, most in enumerate(wanted):
        # The heads of columns alone say nothing.
        least = min(most, 2)
        if least <= rows:
            heights[place] = least
            rows -= least
    while rows > 0:
        hungry = [place for place, has in enumerate(heights) if 0 < has < wanted[place]]
        if not hungry:
            break
        # The shortest grows; of equals the most important one.
        heights[min(hungry, key=lambda place: heights[place])] += 1
        rows -= 1
    return heights


def _section(listed: Listed, columns: int, height: int) -> list[Line]:
    """Return the lines of a list on the overview."""
    if height <= 0:
        return []
    if not listed.rows or listed.is_summed:
        first: Line = (Span(f"{listed.title}  ", Style.HEAD), Span(listed.summary))
    if not listed.rows:
        return [first]
    leading = listed.columns[0]
    if not listed.is_summed:
        leading = leading._replace(title=f"{listed.title} ({listed.summary})")
    head, body = lay_out(
        (leading, *listed.columns[1:]), listed.rows[: height - 1], columns, listed.styles
    )
    return [first if listed.is_summed else head, *body]


# -- a list on a screen of its own -------------------------------------------------------------


def _list_page(listed: Listed, scroll: int, columns: int, page: int) -> list[Line]:
    """Return a list from a row on: what it is, the heads of its columns, and rows."""
    first: Line = (Span(f"{listed.title}  ", Style.HEAD), Span(listed.summary))
    if not listed.rows:
        return [first, (), (Span("nothing to list"),)]
    chosen = listed.rows[scroll : scroll + page]
    head, body = lay_out(listed.columns, chosen, columns, listed.styles[scroll : scroll + page])
    if len(listed.rows) > page:
        where = f"rows {scroll + 1} to {scroll + len(chosen)}"
        first = spread(first, (Span(where, Style.FAINT),), columns)
    return [first, head, *body]
