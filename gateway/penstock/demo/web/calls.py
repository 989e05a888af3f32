"""Figures of the calls themselves: what ran when, how long calls took, how many ended per second."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.cli.words import span
from penstock.demo.calls import Calls
from penstock.demo.numbers import in_decades, rate, spread
from penstock.demo.report import Report, Stopped
from penstock.demo.web.figure import Figure, tool_class
from penstock.demo.web.markup import Markup, element
from penstock.demo.web.plot import Frame, column, drawing, line, steps, words, x_axis, y_axis
from penstock.demo.web.scales import Scale, linear, logarithmic, seconds
from penstock.demo.web.tables import Bar, table

#: Columns of each decade of a distribution of times.
_PER_DECADE = 10
#: Units of one tool's distribution, and of what is above it.
_ROW_HEIGHT, _ROW_TOP = 64.0, 30.0
#: Units of the line that marks one hostile call, above the plot.
_MARK_HEIGHT = 22.0
#: Units of a letter of its name, about.
_LETTER_WIDTH = 6.4


def course(report: Report) -> Figure:
    """What ran when."""
    parts = sorted(
        [
            *((wait.began_s, wait.took_s, wait.what, "wait") for wait in report.waits),
            *((calls.began_s, calls.took_s, calls.tool, tool_class(calls.tool)) for calls in report.runs),
        ]
    )
    whole = max(report.took_s, 1e-9)
    return Figure(
        title="What ran when",
        caption=f"From the start to the last result: {spoken(report.took_s)}. "
        "Plugins are compiled while the first calls run, and once for each machine.",
        drawn=table(
            ("What", "", "From", "Took"),
            [
                (
                    element("span", what, class_="name"),
                    Bar(begin=began_s / whole, length=took_s / whole, class_=class_).drawn(),
                    f"{began_s:.1f} s",
                    span(took_s),
                )
                for began_s, took_s, what, class_ in parts
            ],
            numbers=("From", "Took"),
        ),
    )


def times(report: Report) -> Figure | None:
    """How long the calls of each tool took in the sandbox."""
    found = [(calls, taken) for calls in report.runs if (taken := _execution_s(calls))]
    if not found:
        return None
    frame = Frame(height=len(found) * (_ROW_HEIGHT + _ROW_TOP) + 48, left=14, top=0)
    x = logarithmic(
        min(min(taken) for _, taken in found),
        max(max(taken) for _, taken in found),
        start=frame.x0,
        end=frame.x1,
        decades=True,
    )
    parts = [line(x(tick), 0, x(tick), frame.y0, "grid") for tick in x.ticks]
    for row, (calls, taken) in enumerate(found):
        ground = (row + 1) * (_ROW_HEIGHT + _ROW_TOP)
        parts += _distribution(calls, taken, x, ground)
    parts.append(x_axis(x, frame.y0, label="time in the sandbox, per call", written=seconds))
    return Figure(
        title="Time per call",
        caption="What a worker measured around each call: the sandbox's making, the guest, its end. "
        "The tick is the median; each step on the axis is ten times the one before."
        + (" Calls that shared an instance have an equal part of its time." if report.batched else ""),
        drawn=drawing(frame.height, "Distributions of the time per call, for each tool", parts),
        numbers=table(
            ("Tool", "Calls", "Median", "90 %", "99 %", "Longest", "Queued (median)"),
            [_spans(calls, taken) for calls, taken in found],
            numbers=("Calls", "Median", "90 %", "99 %", "Longest", "Queued (median)"),
        ),
    )


def rates(report: Report) -> list[Figure]:
    """Calls per second over time, for each tool."""
    return [
        _rate(calls, report.hostile if calls is report.stats else ())
        for calls in report.runs
        if calls.took_s > 0
    ]


def spoken(seconds: float) -> str:
    """A duration as a sentence has it: 45 s, 1 min 5 s."""
    if seconds < 59.5:
        return span(seconds)
    return "{} min {} s".format(*divmod(round(seconds), 60))


def _rate(calls: Calls, hostile: Sequence[Stopped]) -> Figure:
    found = rate(calls.ended_s)
    marked = sorted(hostile, key=lambda one: one.took_s)
    frame = Frame(top=26 + _MARK_HEIGHT * len(marked), height=(200 + _MARK_HEIGHT * len(marked)))
    x = linear(calls.took_s, start=frame.x0, end=frame.x1, exact=True)
    y = linear(max(found.per_second), start=frame.y0, end=frame.y1, ticks=4)
    meanwhile = " The hostile calls ran in the midst of it, in the same worker." if marked else ""
    return Figure(
        title=f"Calls per second: {calls.tool}",
        caption=f"{len(calls.results):,} calls in {span(calls.took_s)}, "
        f"{_number(calls.per_second)} a second; counted as their results came, "
        f"in steps of {span(found.step_s)}.{meanwhile}",
        drawn=drawing(
            frame.height,
            f"{calls.tool}: calls per second over {span(calls.took_s)}, "
            f"{_number(calls.per_second)} on average",
            [
                y_axis(y, frame, label="calls per second"),
                steps(found.per_second, x, y, class_=f"area {tool_class(calls.tool)}"),
                x_axis(x, frame.y0, label="seconds since its first call"),
                *_marks(marked, calls, x, frame),
            ],
        ),
        numbers=table(
            ("Until", "Calls per second"),
            [
                (f"{(number + 1) * found.step_s:.2f} s", _number(value))
                for number, value in enumerate(found.per_second)
            ],
            numbers=("Calls per second",),
        ),
    )


def _marks(hostile: Sequence[Stopped], calls: Calls, x: Scale, frame: Frame) -> list[Markup]:
    """A line for the time that each hostile call had, and one down to where it was made."""
    parts = []
    for row, one in enumerate(hostile):
        begin, end = x(one.at_s - calls.began_s), x(one.at_s - calls.began_s + one.took_s)
        height = frame.y1 - 10 - row * _MARK_HEIGHT
        error = one.result.error
        says = f"{one.result.tool}: {error.code.value if error else 'not stopped'}"
        # Above its line, and within the plot.
        left = min(begin + 5, frame.x1 - _LETTER_WIDTH * len(says))
        parts += [
            line(begin, height, begin, frame.y0, "hostile-made"),
            line(begin, height, end, height, "hostile"),
            line(end, height - 4, end, height + 4, "hostile"),
            words(says, left, height - 5, class_="hostile-name"),
        ]
    return parts


def _distribution(calls: Calls, taken: Sequence[float], x: Scale, ground: float) -> list[Markup]:
    counts = in_decades(taken, low=x.low, high=x.high, per_decade=_PER_DECADE)
    most = max(counts)
    width = (x.end - x.start) / len(counts)
    factor = 10 ** (1 / _PER_DECADE)
    middle = _median(taken)
    parts = [line(x.start, ground, x.end, ground, "axis")]
    for number, count in enumerate(counts):
        if count:
            low = x.low * factor**number
            parts.append(
                column(
                    x.start + number * width,
                    x.start + (number + 1) * width,
                    ground=ground,
                    height=count / most * _ROW_HEIGHT,
                    class_=tool_class(calls.tool),
                    says=f"{seconds(low)} to {seconds(low * factor)}: {count:,} calls of {calls.tool}",
                    gap=1.5,
                )
            )
    return [
        *parts,
        line(x(middle), ground, x(middle), ground - _ROW_HEIGHT - 6, "median-tick"),
        words(calls.tool, x.start + 4, ground - _ROW_HEIGHT - 9, class_="value"),
        words(f"median {seconds(middle)}", x.end, ground - _ROW_HEIGHT - 9, anchor="end", class_="value"),
    ]


def _execution_s(calls: Calls) -> list[float]:
    """Of each call that was executed; what came from a cache was not."""
    return [
        result.metadata.execution_ms / 1000
        for result in calls.results.values()
        if result.metadata.execution_ms > 0
    ]


def _median(taken: Sequence[float]) -> float:
    found = spread(taken)
    return found.p50 if found else 0.0


def _spans(calls: Calls, taken: Sequence[float]) -> tuple[str, ...]:
    found = spread(taken)
    queued = [result.metadata.queued_ms / 1000 for result in calls.results.values()]
    if found is None:
        return (calls.tool, "0", *["" for _ in range(5)])
    numbers = (found.p50, found.p90, found.p99, found.most, _median(queued))
    return (calls.tool, f"{found.count:,}", *(seconds(number) for number in numbers))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"
