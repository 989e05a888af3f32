"""Figures of what the tools found out about the sources: how large they are, and how complex."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.demo.numbers import COMPLEXITIES, MCCABE, in_ranges, spread
from penstock.demo.outlines import Function, functions
from penstock.demo.report import RANGES, Report
from penstock.demo.web.figure import Figure
from penstock.demo.web.markup import Markup, element
from penstock.demo.web.plot import Frame, column, dots, drawing, line, way, words, x_axis, y_axis
from penstock.demo.web.scales import Scale, linear, logarithmic
from penstock.demo.web.tables import Bar, table

#: Rows of the tables of the largest and the most complex.
_TOP = 10
#: Dots that have their file's name beside them.
_NAMED = 3
#: Units between two lines of text, so that they can both be read.
_LINE_HEIGHT = 13.0


def complexity(report: Report) -> Figure | None:
    """How many functions are how complex."""
    found = [function.complexity for function in functions(report.outlines)]
    if not found:
        return None
    ranges = in_ranges(found, COMPLEXITIES)
    above = sum(value > MCCABE for value in found)
    says = f"{above:,} of {len(found):,} functions have more than {MCCABE} paths"
    split = sum(end <= MCCABE for end in COMPLEXITIES)
    classes = ["of-code"] * split + ["beyond"] * (len(ranges) - split)
    return Figure(
        title="Cyclomatic complexity of functions",
        caption=f"Independent paths through a function. McCabe would split what has more than {MCCABE}: "
        f"{above:,} of {len(found):,} functions, {above / len(found):.1%}.",
        drawn=_columns(ranges, classes, label="paths", counted="functions", says=says),
        numbers=table(
            ("Paths", "Functions"), [(name, f"{count:,}") for name, count in ranges], numbers=("Functions",)
        ),
    )


def most_complex(report: Report) -> Figure | None:
    """The functions with the most paths."""
    ranked: list[Function] = sorted(functions(report.outlines), key=lambda one: -one.complexity)[:_TOP]
    if not ranked:
        return None
    most = ranked[0].complexity
    return Figure(
        title="The most complex functions",
        caption="With the file and the line of each.",
        drawn=table(
            ("Function", "", "Paths"),
            [
                (
                    _where(one.name, f"{one.file.name}:{one.line}"),
                    Bar(length=one.complexity / most, class_="of-code").drawn(),
                    f"{one.complexity:,}",
                )
                for one in ranked
            ],
            numbers=("Paths",),
        ),
    )


def complexity_by_size(report: Report) -> Figure | None:
    """Each file's lines, and the paths of its most complex function."""
    lines_of = {file.name: stats["lines"] for file, stats in report.stats.answers()}
    places = [
        (lines_of[file.name], outline["max_complexity"], file.name)
        for file, outline in report.outlines.answers()
        if outline["max_complexity"] > 0 and lines_of.get(file.name)
    ]
    if not places:
        return None
    frame = Frame(height=280)
    x = logarithmic(
        min(place[0] for place in places),
        max(place[0] for place in places),
        start=frame.x0 + 6,
        end=frame.x1,
    )
    y = logarithmic(1, max(place[1] for place in places), start=frame.y0, end=frame.y1)
    bands = _bands(places)
    return Figure(
        title="Complexity and size of files",
        caption="Each dot is a file, by its lines and by the paths of its most complex function. "
        "The line goes through the medians of files of like size.",
        drawn=drawing(
            frame.height,
            f"Scatter plot of {len(places):,} files: larger files have more complex functions",
            [
                y_axis(y, frame, label="paths of the most complex function"),
                x_axis(x, frame.y0, label="lines of the file"),
                dots(
                    (
                        (x(lines), y(paths), f"{name}: {lines:,} lines, {paths:,} paths")
                        for lines, paths, name in places
                    ),
                    class_="dots of-code",
                ),
                way([(x(centre), y(median)) for _, _, centre, median, _ in bands], class_="median"),
                *_names(places, x, y),
            ],
        ),
        numbers=table(
            ("Lines", "Files", "Median paths", "Most paths"),
            [
                (name, f"{count:,}", f"{median:,.0f}", f"{most:,.0f}")
                for name, count, _, median, most in bands
            ],
            numbers=("Files", "Median paths", "Most paths"),
        ),
    )


def sizes(report: Report) -> Figure:
    """How many files have how many lines."""
    ranges = report.ranges()
    return Figure(
        title="Files by their lines",
        caption="Each range reaches twice as far as the one before it.",
        drawn=_edged([count for _, count in ranges]),
        numbers=table(
            ("Lines", "Files"), [(name, f"{count:,}") for name, count in ranges], numbers=("Files",)
        ),
    )


def largest(report: Report) -> Figure | None:
    """The files with the most lines."""
    ranked = report.largest(_TOP)
    if not ranked:
        return None
    most = max(ranked[0][1], 1)
    return Figure(
        title="The longest files",
        caption="By lines, as text.stats counts them.",
        drawn=table(
            ("File", "", "Lines"),
            [
                (_where(name), Bar(length=lines / most, class_="of-text").drawn(), f"{lines:,}")
                for name, lines in ranked
            ],
            numbers=("Lines",),
        ),
    )


def _where(name: str, place: str = "") -> Markup:
    return element(
        "span", element("b", name) if place else name, *([" ", place] if place else []), class_="name"
    )


def _columns(
    ranges: Sequence[tuple[str, int]], classes: Sequence[str], *, label: str, counted: str, says: str
) -> Markup:
    """A column for each range, with its name below and its count above."""
    frame = Frame(left=8, right=8, top=20, height=280)
    y = linear(max(count for _, count in ranges), start=frame.y0, end=frame.y1, exact=True)
    width = (frame.x1 - frame.x0) / len(ranges)
    parts = []
    for number, ((name, count), class_) in enumerate(zip(ranges, classes, strict=True)):
        left = frame.x0 + number * width
        height = frame.y0 - y(count)
        middle = left + width / 2
        parts += [
            column(
                left,
                left + width,
                ground=frame.y0,
                height=height,
                class_=class_,
                says=f"{name} {label}: {count:,} {counted}",
                gap=8,
            ),
            words(f"{count:,}", middle, frame.y0 - height - 5, anchor="middle", class_="value"),
            words(name, middle, frame.y0 + 17, anchor="middle"),
        ]
    parts += [
        line(frame.x0, frame.y0, frame.x1, frame.y0, "axis"),
        words(label, (frame.x0 + frame.x1) / 2, frame.y0 + 34, anchor="middle", class_="label"),
    ]
    return drawing(frame.height, says, parts)


def _edged(counts: Sequence[int]) -> Markup:
    """A column for each range of lines; the ranges' ends stand between the columns."""
    frame = Frame(left=14, right=14, top=20, height=280)
    y = linear(max(counts), start=frame.y0, end=frame.y1, exact=True)
    width = (frame.x1 - frame.x0) / len(counts)
    edges = (0, *RANGES)
    parts = [line(frame.x0, frame.y0, frame.x1, frame.y0, "axis")]
    for number, count in enumerate(counts):
        left = frame.x0 + number * width
        height = frame.y0 - y(count)
        below = f"below {RANGES[number]:,}" if number < len(RANGES) else "or more"
        parts += [
            column(
                left,
                left + width,
                ground=frame.y0,
                height=height,
                class_="of-text",
                says=f"{edges[number]:,} lines {below}: {count:,} files".replace("lines below", "lines to"),
            ),
            words(f"{count:,}", left + width / 2, frame.y0 - height - 5, anchor="middle", class_="value"),
            line(left, frame.y0, left, frame.y0 + 4, "axis"),
            words(f"{edges[number]:,}", left, frame.y0 + 17, anchor="middle"),
        ]
    parts.append(words("lines", (frame.x0 + frame.x1) / 2, frame.y0 + 34, anchor="middle", class_="label"))
    return drawing(frame.height, f"Columns: how many of {sum(counts):,} files have how many lines", parts)


def _bands(places: Sequence[tuple[int, int, str]]) -> list[tuple[str, int, float, float, float]]:
    """For each range of lines: its name, files, middle (geometric), median paths, most paths."""
    bands = []
    ends = (*RANGES, max(RANGES[-1] + 1, *(lines + 1 for lines, _, _ in places)))
    for low, high in zip((0, *RANGES), ends, strict=True):
        inside = [(lines, paths) for lines, paths, _ in places if low <= lines < high]
        found = spread(paths for _, paths in inside)
        middle = spread(lines for lines, _ in inside)
        if found is not None and middle is not None:
            name = f"{low:,}\N{EN DASH}{high - 1:,}"
            bands.append((name, found.count, middle.p50, found.p50, found.most))
    return bands


def _names(places: Sequence[tuple[int, int, str]], x: Scale, y: Scale) -> list[Markup]:
    """The names of the most complex files, where they do not lie across one another."""
    parts: list[Markup] = []
    taken: list[float] = []
    for lines, paths, name in sorted(places, key=lambda place: -place[1]):
        height = y(paths) + 4
        if all(abs(height - other) >= _LINE_HEIGHT for other in taken):
            taken.append(height)
            parts.append(words(name, x(lines) - 6, height, anchor="end", class_="value"))
        if len(parts) == _NAMED:
            break
    return parts
