"""Draws the charts of cases as SVG. They are committed, so equal figures give equal files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.case import Bars, Case, Curves, points
from benchmarks.results import Measured

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_WIDTH = 760
_ROW_HEIGHT = 40
_CURVES_HEIGHT = 360


def chart_name(case: str, number: int) -> str:
    """The file of a case's chart."""
    return f"{case}.svg" if number == 0 else f"{case}-{number + 1}.svg"


def draw_charts(case_name: str, case: Case, measured: Measured, folder: Path) -> list[str]:
    """Draw what there are figures for; returns the files' names."""
    drawn = []
    for number, chart in enumerate(case.charts):
        svg = _bars(chart, measured) if isinstance(chart, Bars) else _curves(chart, measured)
        if svg is not None:
            name = chart_name(case_name, number)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(_settled(svg), encoding="utf-8")
            drawn.append(name)
    return drawn


def _bars(chart: Bars, measured: Measured) -> str | None:
    known = {label: measured.figures[name] for label, name in chart.bars.items() if name in measured.figures}
    if not known:
        return None
    import pygal  # of the extra `bench`, and needed for nothing else

    drawing = pygal.HorizontalBar(
        **_look(),
        height=70 + _ROW_HEIGHT * len(known),
        title=f"{chart.title} ({chart.unit})",
        show_legend=False,
        print_values=True,
        print_values_position="top",
        # Beside the bar's end, not across it.
        css=[
            "file://style.css",
            "file://graph.css",
            "inline:.text-overlay text {text-anchor: start !important}",
        ],
        value_formatter=_short,
        show_x_guides=False,
        show_y_guides=False,
        show_x_labels=False,
        range=(0, max(known.values()) * 1.12),
    )
    # The first bar is drawn lowest. Ours is what a reader looks for: it is named first, and stands on top.
    labels = list(reversed(known))
    drawing.x_labels = labels
    ours = next(iter(known))
    drawing.add(
        "", [{"value": known[label], "color": "#0f766e" if label == ours else "#94a3b8"} for label in labels]
    )
    return str(drawing.render(is_unicode=True))


def _curves(chart: Curves, measured: Measured) -> str | None:
    known = {label: found for label, name in chart.lines.items() if (found := points(measured.figures, name))}
    if not known:
        return None
    import pygal  # of the extra `bench`, and needed for nothing else

    top = max(y for found in known.values() for _, y in found)
    drawing = pygal.XY(
        **_look(),
        height=_CURVES_HEIGHT,
        title=f"{chart.title} ({chart.unit})",
        x_title=chart.along,
        legend_at_bottom=True,
        dots_size=2,
        truncate_label=-1,
        range=(0, top * 1.1),
        show_y_guides=False,
        y_labels_major_count=4,
        show_minor_y_labels=False,
        value_formatter=_short,
        x_value_formatter=_short,
    )
    for label, found in known.items():
        drawing.add(label, found)
    return str(drawing.render(is_unicode=True))


def _look() -> dict[str, Any]:
    from pygal.style import Style  # of the extra `bench`

    style = Style(
        background="#ffffff",
        plot_background="#ffffff",
        foreground="#334155",
        foreground_strong="#0f172a",
        foreground_subtle="#cbd5e1",
        colors=("#0f766e", "#b45309", "#4338ca", "#be123c"),
        opacity="1",
        opacity_hover="1",
        font_family=_FONT,
        title_font_size=17,
        label_font_size=13,
        major_label_font_size=13,
        value_font_size=13,
        legend_font_size=13,
    )
    # No scripts: the charts are shown as images.
    return {"style": style, "js": [], "width": _WIDTH, "explicit_size": True, "disable_xml_declaration": True}


def _settled(svg: str) -> str:
    """Without what pygal makes new each time, or for its scripts: ids and configuration."""
    svg = re.sub(r'<script type="text/javascript">.*?</script>', "", svg, flags=re.DOTALL)
    svg = re.sub(r"chart-[0-9a-f-]{36}", "chart", svg)
    return re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL) + "\n"


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
