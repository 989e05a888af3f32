"""A figure of the page: a drawing under its title, and the same numbers as a table."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.demo.web.markup import Markup, element, joined


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What is drawn, and how it is to be read."""

    title: str
    #: One or two sentences.
    caption: str
    drawn: Markup
    #: The same as a table, for those who do not see it, or look for a figure. Empty: it is a table itself.
    numbers: Markup | None = None

    def block(self) -> Markup:
        """The figure with all that belongs to it."""
        numbers = (
            element("details", element("summary", "The figures as a table"), self.numbers)
            if self.numbers
            else Markup("")
        )
        return element(
            "figure",
            element("figcaption", element("h3", self.title), element("p", self.caption)),
            self.drawn,
            numbers,
        )


def grid(*figures: Figure | None) -> Markup:
    """Figures side by side where there is room."""
    return element("div", joined(figure.block() for figure in figures if figure), class_="figures")


def tool_class(tool: str) -> str:
    """The class that has the tool's colour."""
    return "of-" + tool.partition(".")[0]
