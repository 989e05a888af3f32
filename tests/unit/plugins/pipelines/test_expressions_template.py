"""Values with holes: types that are kept, paths that are missing, and what a hole may cost."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.errors import ParamsError, PipelineError
from penstock_plugins.pipelines.expressions import compile_list, compile_template

ENV: dict[str, Any] = {
    "input": {"a": {"b": 7}, "text": "hello", "none": None, "on": True, "x": 1.5, "my-key": "k"},
    "data": {"files": [{"name": "one", "size": 3}, {"name": "two"}], "empty": []},
    "results": [{"success": True, "data": {"n": 1}}, None],
    "steps": {"html": {"success": True, "data": "<p>"}},
    "item": "é",
    "index": 0,
}


def value_of(template: Any, env: Any = None) -> Any:
    """What it makes."""
    compiled = compile_template(template, step="step 2 (fs.write)", key="params")
    return compiled.evaluate(ENV if env is None else env)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{input.a.b}}", 7),
        ("{{ input.a }}", {"b": 7}),
        ("{{input.none}}", None),
        ("{{input.on}}", True),
        ("{{results[0].data}}", {"n": 1}),
        ("{{results[1]}}", None),
        ("{{results[-2].success}}", True),
        ("{{steps.html.data}}", "<p>"),
        ("{{data.files}}", ENV["data"]["files"]),
        ("{{data.files[*].name}}", ["one", "two"]),
        ("{{data.files[?size > `2`].name | [0]}}", "one"),
        ("{{sort_by(data.files, &name)[-1].name}}", "two"),
        ("{{length(data.files)}}", 2),
        ("{{input.nothing || 'eu'}}", "eu"),
        ("{{not_null(input.nothing, input.text)}}", "hello"),
        ("{{input.{a: a.b, b: {c: text}}}}", {"a": 7, "b": {"c": "hello"}}),
        ("{{data.files[*].{n: name, s: size}}}", [{"n": "one", "s": 3}, {"n": "two", "s": None}]),
        ('{{input."my-key"}}', "k"),
        ("{{'{{'}}", "{{"),
        ("{{item}}{{index}}", "é0"),
        ("{{input.text}}, {{input.a.b}}!", "hello, 7!"),
        ("{{input.on}} {{input.none}} {{input.x}} {{input.a}}", 'true null 1.5 {"b":7}'),
        (" {{input.a.b}}", " 7"),
        ("no hole }} {", "no hole }} {"),
        ({"a": ["{{input.a.b}}", {"b": "{{input.text}}"}], "c": 1}, {"a": [7, {"b": "hello"}], "c": 1}),
        ({"{{input.text}}": 1}, {"{{input.text}}": 1}),
        ([], []),
        (None, None),
    ],
)
def test_L3_holes_are_filled_and_a_whole_one_keeps_its_type(template: Any, value: Any) -> None:
    """In values however deep; keys are as they are written."""
    made = value_of(template)

    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{{input.a.c}}", "input.a.c"),
        ("{{input.none.b}}", "input.none.b"),
        ("{{input.text[0]}}", "input.text[0]"),
        ("{{input.a[0]}}", "input.a[0]"),
        ("{{data.files[2].name}}", "data.files[2].name"),
        ("{{results[1].data}}", "results[1].data"),
        ("{{results[7].data}}", "results[7].data"),
        ("{{steps.nothing.data}}", "steps.nothing.data"),
        ("{{error.code}}", "error.code"),
        ("{{data.nothing[*].name}}", "data.nothing"),
        ("{{length(data.nothing)}}", "data.nothing"),
        ("{{input | a.c}}", "input.a.c"),
        ("{{input.{b: a.c}}}", "input.a.c"),
        ("{{input.a.b == input.c}}", "input.c"),
        ({"x": ["a {{input.q}}"]}, "input.q"),
    ],
)
def test_L3_a_missing_path_is_a_validation_error_that_names_it(template: Any, path: str) -> None:
    """With the step, and the expression."""
    with pytest.raises(ParamsError) as refused:
        value_of(template)

    assert refused.value.code == "VALIDATION_ERROR"
    assert refused.value.message.startswith("step 2 (fs.write): params")
    assert refused.value.message.endswith(f"}}}}: there is no {path}")
    assert refused.value.details["path"] == path
    assert refused.value.details["step"] == "step 2 (fs.write)"
    assert refused.value.details["expression"].startswith("{{")


def test_L3_an_error_names_the_place_inside_of_the_params() -> None:
    """A table may have many holes."""
    with pytest.raises(ParamsError) as refused:
        value_of({"a": [1, {"b c": "x{{input.q}}"}]})

    assert refused.value.details["key"] == "params.a[1].b c"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{input", "the hole at character 1 is not closed"),
        ("a {{input.a} }", "the hole at character 3 is not closed"),
        ("{{}}", "1 to 1000 characters"),
        ("{{" + "a" * 1001 + "}}", "1 to 1000 characters"),
        ("{{foo.x}}", "there is no 'foo'; there are input, data"),
        ("{{@}}", "it must name what it means"),
        ("{{*}}", "it must name what it means"),
        ("{{[0]}}", "it must name what it means"),
        ("{{[*].a}}", "it must name what it means"),
        ("{{keys(@)}}", "it must name what it means"),
        ("{{input.a +}}", "it is no JMESPath"),
        ("{{`foo`}}", "it is no JMESPath"),
        ("{{`1e999`}}", "no infinity"),
        ("{{" + "(" * 300 + "}}", "it is no JMESPath"),
        ("{{" + "!" * 100 + "input}}", "nested more than 32 deep"),
        ("{{nothing(input)}}", "there is no function nothing()"),
        ("{{&input}}", "&expression is for"),
        ("{{not_null(&input)}}", "&expression is for"),
        ("{{" + "[input,input] | " * 7 + "@}}", "it repeats its values more than 64 times"),
        (["{{input.a}}"] * 201, "201 holes; 200 are allowed"),
    ],
)
def test_what_is_no_template_is_refused_before_anything_runs(template: Any, why: str) -> None:
    """Or could cost too much."""
    with pytest.raises(ValueError, match="params") as refused:
        compile_template(template, step="s", key="params")

    assert why in str(refused.value)


def test_all_problems_of_a_template_are_said_at_once() -> None:
    """Each with its place."""
    with pytest.raises(ValueError, match=r"params\.a: .*; params\.b\[0\]: "):
        compile_template({"a": "{{foo}}", "b": ["{{"]}, step="s", key="params")


def test_a_template_knows_what_it_needs() -> None:
    """So that the rest can be let go."""
    compiled = compile_template(
        ["{{results[1].data}} {{steps.a.data}}", "{{data.x || input}}"], step="s", key="k"
    )
    whole = compile_template("{{[results[-1], results[0], steps]}}", step="s", key="k")

    assert compiled.needs.roots == {"results", "steps", "data", "input"}
    assert compiled.needs.results == frozenset({1})
    assert compiled.needs.steps == frozenset({"a"})
    assert (whole.needs.results, whole.needs.steps) == (None, None)
    assert compile_template({"a": 1}, step="s", key="k").is_constant


LARGE: dict[str, Any] = {
    "list": [{"n": number, "text": "x" * 50} for number in range(10_000)],
    "many": list(range(10_001)),
    "text": "x" * 600_000,
}


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (["{{data.text}}"] * 2, "it makes more than 1024 KiB"),
        ("{{data.text}}{{data.text}}", "it makes more than 1024 KiB"),
        ("{{[data.list, data.list]}}", "it makes more than 1024 KiB"),
        ("{{to_string([data.list, data.list])}}", "it makes more than 1024 KiB"),
        ("{{join(data.text, data.list[*].text)}}", "it makes more than 1024 KiB"),
        (["{{length(to_string(data.text))}}"] * 2, "it makes more than 1024 KiB"),
        ("{{data.many[*]}}", "it takes apart more than 10000 elements"),
        ("{{sum(data.many)}}", "it takes apart more than 10000 elements"),
        (["{{length(data.list[?n > `3`])}}"] * 10, "it takes more than 200000 steps"),
        ("{{sum(`[1e308, 1e308]`)}}", "a number is too large"),
        ("{{to_number('inf')}}", "a number is too large"),
        ("{{to_number('-9223372036854775809')}}", "a number is too large"),
        ("{{sum(`[-9223372036854775808, -1]`)}}", "a number is too large"),
        ("{{abs('x')}}", "a function has a value that it does not take"),
        ("{{data.list[0].n < 'x'}}", "it cannot be evaluated with these values"),
    ],
)
def test_L3_what_makes_too_much_is_a_pipeline_error(template: Any, why: str) -> None:
    """Before it is made, and without a word of the values."""
    with pytest.raises(PipelineError) as refused:
        value_of(template, {"data": LARGE})

    assert refused.value.message.endswith(why)
    assert len(refused.value.message) < 300


@pytest.mark.parametrize(
    "template", ["{{`-18446744073709551615`}}", '{{`"\\ud800"`}}', '{{ {"\\ud800": data.text} }}']
)
def test_L3_what_is_written_out_in_an_expression_can_travel(template: str) -> None:
    """Else steps that are fused would go on with it, and an item that travels would be lost."""
    with pytest.raises(ValueError, match=r"it cannot travel as JSON|has at most 64 bits"):
        compile_template(template, step="s", key="k")


def test_a_list_of_a_map_must_be_one_and_not_too_long() -> None:
    """Each element becomes a member."""
    assert compile_list("data.files[*].name", step="s", key="map").evaluate(ENV) == ["one", "two"]
    with pytest.raises(PipelineError, match="it gives no list"):
        compile_list("input.text", step="s", key="map").evaluate(ENV)
    with pytest.raises(PipelineError, match="it gives 10001 elements; 10000 are allowed"):
        compile_list("data.many", step="s", key="map").evaluate({"data": LARGE})
    with pytest.raises(ParamsError, match=r"map: data\.nothing: there is no data\.nothing"):
        compile_list("data.nothing", step="s", key="map").evaluate(ENV)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
WORDS = (
    "input data results . . [0] [*] [] [? ] a b | || && ! == < @ sort( sum( join( to_number( map(& length( ) "
    ", 'x' `1` `-0.5` { } : *"
)


@given(
    st.lists(st.sampled_from(WORDS.split()), max_size=12).map("".join),
    st.fixed_dictionaries({"data": JSON_VALUES, "input": JSON_VALUES}),
)
def test_no_template_raises_anything_but_our_errors(expression: str, env: dict[str, Any]) -> None:
    """Neither when it is compiled nor when it is evaluated."""
    try:
        compiled = compile_template(
            ["{{" + expression + "}}", "x{{data." + expression + "}}"], step="s", key="k"
        )
    except ValueError:
        return
    with suppress(ParamsError, PipelineError):
        compiled.evaluate(env)
