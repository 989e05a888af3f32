"""The short way to the value of a template gives what the long one gives, or leaves it to that (L-3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.errors import ToolError
from penstock_plugins.pipelines.expressions import compile_template
from penstock_plugins.pipelines.expressions_bounds import MAX_OUTPUT_BYTES
from penstock_plugins.pipelines.expressions_quick import Way, quick

ENV: dict[str, Any] = {
    "input": {"a": {"b": 7}, "text": "hello", "none": None, "on": True, "x": 1.5, "big": 1 << 60},
    "data": {"files": [{"name": "one"}, {"name": "two"}], "long": "x" * (MAX_OUTPUT_BYTES // 2)},
    "results": [{"success": True, "data": {"n": 1}}, None],
    "item": "\u00e9",
    "index": 0,
}
PLAIN = [
    "input.a.b",
    "input.a",
    "input.text",
    "input.text[0]",
    "input.text.a",
    "input.none",
    "input.none.a",
    "input.on",
    "input.x",
    "input.big",
    "input.nothing",
    "data.files",
    "data.files[1].name",
    "data.files[2].name",
    "data.files.name",
    "data.long",
    "results[0].data.n",
    "results[1]",
    "results[1].data",
    "item",
    "index",
]
TEXTS = st.lists(
    st.sampled_from([*(f"{{{{{path}}}}}" for path in PLAIN), "", " and ", "}}"]), min_size=1, max_size=3
).map("".join)
TEMPLATES = st.recursive(
    TEXTS | st.sampled_from([None, 7, True, 1.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def short_way(value: Any) -> Way | None:
    """The closure of a template, over an environment in place of an item."""

    def find(path: Any) -> Any:
        root, *rest = path
        return (lambda item, result: item[root]), tuple(rest)

    return quick(compile_template(value, step="step 1", key="params"), find)


@given(value=TEMPLATES)
def test_L3_the_short_way_gives_what_the_template_gives(value: Any) -> None:
    """With the same types; it never has a value where the template has none."""
    short = short_way(value)
    assert short is not None

    try:
        made = short(ENV, None)
    except (LookupError, TypeError, ValueError):
        return
    full = compile_template(value, step="step 1", key="params").evaluate(ENV)

    assert repr(made) == repr(full)


@pytest.mark.parametrize(
    "path", ["input.a.b", "input.text", "data.files[1].name", "results[0].data", "index"]
)
def test_L3_plain_paths_and_texts_go_the_short_way(path: str) -> None:
    """As they are nearly all."""
    value = {"alone": f"{{{{{path}}}}}", "constant": [1, {"a": "b"}], "list": [f"{{{{{path}}}}}"]}
    short = short_way(value)

    assert short is not None
    assert short(ENV, None) == compile_template(value, step="s", key="params").evaluate(ENV)


@pytest.mark.parametrize("hole", ["length(data.files)", "data.files[*].name", "results[-1]", "'a'"])
def test_L3_what_is_more_than_a_path_has_no_short_way(hole: str) -> None:
    """JMESPath is the library's."""
    assert short_way({"a": f"{{{{{hole}}}}}", "b": "{{input.text}}"}) is None


@pytest.mark.parametrize("text", ["{{data.long}}{{data.long}}", "{{input.text[0]}}", "{{input.nothing}}"])
def test_L3_what_has_no_value_has_none_in_the_short_way(text: str) -> None:
    """So that the template says why: too large, a text's elements, a path that leads nowhere."""
    short = short_way(text)
    assert short is not None

    with pytest.raises((LookupError, TypeError, ValueError)):
        short(ENV, None)
    with pytest.raises(ToolError):
        compile_template(text, step="s", key="params").evaluate(ENV)
