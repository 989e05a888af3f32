"""Tables of HTML: plain ones, and ones whose bars make them a plot that can be read on any screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.demo.web.markup import Markup, element, joined

Cell = str | Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar in a cell, by shares of the cell's width."""

    begin: float = 0.0
    length: float
    class_: str = "plain"

    def drawn(self) -> Markup:
        """The bar; its figure is in the cell beside it."""
        place = f"--begin:{max(self.begin, 0.0):.4f};--length:{min(self.length, 1.0 - self.begin):.4f}"
        return element("span", class_=f"bar {self.class_}", style=place, aria_hidden="true")


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, numbers: Sequence[str] = (), caption: str = ""
) -> Markup:
    """A table.

    Args:
        columns: the headings; an empty one heads bars.
        rows: the cells, the first of each being the row's name.
        numbers: headings of the columns that hold numbers.
        caption: for those who do not see what is around it.
    """
    kinds = ["number" if name in numbers else "drawn" if not name else None for name in columns]
    head = [element("th", name, scope="col", class_=kind) for name, kind in zip(columns, kinds, strict=True)]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row", class_=kinds[0]),
            *(element("td", cell, class_=kind) for cell, kind in zip(row[1:], kinds[1:], strict=True)),
        )
        for row in rows
    ]
    return element(
        "div",
        element(
            "table",
            *([element("caption", caption)] if caption else []),
            element("thead", element("tr", joined(head))),
            element("tbody", joined(body)),
        ),
        class_="table",
    )
