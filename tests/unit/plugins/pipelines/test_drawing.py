"""Pipelines drawn for a terminal and as a picture."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from hypothesis import given, settings

from penstock_plugins.pipelines.drawing import draw_svg, draw_text
from penstock_plugins.pipelines.model import Pipeline, walk
from tests.support.pipelines.strategies import pipelines

_SVG = "{http://www.w3.org/2000/svg}"
PAGES: dict[str, Any] = {
    "name": "pages",
    "description": "Makes pages",
    "steps": [
        {
            "tool": "markdown.to_html",
            "name": "html",
            "when": "data.size > 0",
            "params": {"text": "{{input.text}}"},
            "timeout_s": 2.5,
            "retry": {"max_attempts": 2},
            "compensate": {"tool": "fs.remove", "params": {"id": "{{result.data.id}}"}},
        },
        {
            "branch": "data.n > 5",
            "if_true": [{"tool": "text.stats", "continue_on_error": True, "default": None}],
        },
        {"catch": [{"transform": {"error": "{{error.message}}"}}], "when": "error.code == 'TIMEOUT'"},
        {
            "map": "data.files",
            "steps": [
                {
                    "parallel": {
                        "page": [{"filter": "data.n < 3", "stop_when": "true"}],
                        "other": [{"tool": "code.outline"}],
                    }
                }
            ],
        },
        {"catch": []},
    ],
}
TREE = """\
pages
Makes pages
├─ 1  markdown.to_html  (html)
│       if data.size > 0
│       params {"text":"{{input.text}}"}
│       2.5 s at most
│       2 attempts at most
│       undone by fs.remove
├─ 2  branch data.n > 5
│     ├ true
│     │ └─ 1  text.stats
│     │         goes on after a failure with null
│     └ false
│       └─ (nothing)
├─ 3  catch failures of 1-2
│     │ if error.code == 'TIMEOUT'
│     └ then
│       └─ 1  transform {"error":"{{error.message}}"}
├─ 4  map data.files
│     └ each
│       └─ 1  parallel
│             ├ page
│             │ └─ 1  filter data.n < 3
│             │         ends here if true
│             └ other
│               └─ 1  code.outline
└─ 5  catch failures of 3-4
      └ then
        └─ (nothing)"""


def texts_in(svg: str) -> list[str]:
    """The lines of text in a picture."""
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{_SVG}text")]  # noqa: S314 -- our own


def test_L2_a_terminal_shows_the_tree_of_the_steps() -> None:
    assert draw_text(Pipeline.from_dict(PAGES)) == TREE


def test_L2_a_picture_has_a_box_for_each_step_with_its_words() -> None:
    pipeline = Pipeline.from_dict(PAGES)
    svg = draw_svg(pipeline)

    words = texts_in(svg)
    assert svg.count("<rect ") == sum(1 for _ in walk(pipeline.steps))
    for word in ("1 markdown.to_html (html)", "undone by fs.remove", "2 branch data.n > 5", "false", "other"):
        assert word in words


def test_what_is_drawn_steers_no_terminal_and_no_browser() -> None:
    evil = '</text><script>alert("1")</script>\x1b[2J\x07'
    pipeline = Pipeline.from_dict({"name": "evil", "description": evil, "steps": [{"tool": evil}]})

    text, svg = draw_text(pipeline), draw_svg(pipeline)

    assert all(line.isprintable() for line in text.splitlines())
    assert "<script" not in svg
    assert "\x1b" not in svg
    assert {element.tag for element in ElementTree.fromstring(svg).iter()} <= {  # noqa: S314 -- our own
        _SVG + tag for tag in ("svg", "title", "style", "text", "rect", "path", "circle")
    }


def test_long_expressions_are_cut_and_large_values_say_their_keys() -> None:
    table = {"transform": {"first": "x" * 80, "second": 2}}
    pipeline = Pipeline.from_dict(
        {"name": "long", "steps": [{"filter": "data.n > 1 || " * 9 + "true"}, table]}
    )

    text = draw_text(pipeline)

    assert "transform {first, second}" in text
    assert "…" in text
    assert max(map(len, text.splitlines())) < 90


@settings(max_examples=60, deadline=None)
@given(pipeline=pipelines())
def test_every_pipeline_can_be_drawn(pipeline: Pipeline) -> None:
    steps = list(walk(pipeline.steps))

    text, svg = draw_text(pipeline), draw_svg(pipeline)

    assert text.count("─ ") == len(steps) + text.count("(nothing)")
    assert svg.count("<rect ") == len(steps)
    drawn = ElementTree.fromstring(svg)  # noqa: S314 -- our own
    width = float(drawn.attrib["width"])
    assert all(
        float(box.attrib["x"]) >= 0 and float(box.attrib["x"]) + float(box.attrib["width"]) <= width
        for box in drawn.iter(f"{_SVG}rect")
    )
