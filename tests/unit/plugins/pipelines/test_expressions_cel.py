"""Conditions: what they say, what they may not say, and that they are given what they name and no more."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.errors import ParamsError, PipelineError
from penstock_plugins.pipelines.expressions import compile_condition

ENV: dict[str, Any] = {
    "input": {"n": 3, "text": "hello", "none": None, "x": 1.5, "my-key": 1, "all": {"map": 1}},
    "data": {"size": 3, "files": [{"name": "a.py", "size": 1}, {"name": "b.py", "size": 5}], "map": {"k": 1}},
    "results": [{"success": True, "data": {"n": 1}}, None],
    "steps": {"html": {"success": False, "error": {"code": "TIMEOUT"}}},
}


def holds(expression: str, env: Any = None) -> bool:
    """Whether it does."""
    return compile_condition(expression, step="step 1 (a.b)", key="when").evaluate(
        ENV if env is None else env
    )


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("data.size > 0", True),
        ("data.size > 3 || input.text == 'hello'", True),
        ("!(input.n == 3)", False),
        ("input.x < 2", True),
        ("input.none == null", True),
        ("results[0].success && results[1] == null", True),
        ("results[0].data.n == 1", True),
        ("steps.html.error.code in ['TIMEOUT', 'RATE_LIMIT']", True),
        ("has(data.nothing)", False),
        ("has(data.nothing) && data.nothing > 1", False),
        ("input.n == 3 || data.nothing", True),
        ("data.files.size() == 2 && size(data.files) == 2", True),
        ("data.files.all(f, f.name.endsWith('.py'))", True),
        ("data.files.exists(f, f.size > input.n)", True),
        ("data.files.exists_one(f, f.size == 1) && data.files.all(f, f.size < 9)", True),
        ("data.map.exists(k, k == 'k')", True),
        ("data.files[1].size == 5", True),
        ("input['my-key'] == 1", True),
        ("input.all.map == 1", True),
        ("input.text.matches('^h.*o$')", True),
        (r"input.text.matches(r'^\w+$')", True),
        ("input.text.startsWith('he') ? input.n == 3 : false", True),
        ("'n' in input && 3 in [1, 2, 3]", True),
        ("int('3') == input.n && string(input.n) == '3'", True),
        ("timestamp('2020-01-01T00:00:00Z').getFullYear() == 2020", True),
        ("'it\\'s // no comment' == \"it's // no comment\"", True),
        ("1 < 2", True),
    ],
)
def test_L4_conditions_are_cel(expression: str, value: bool) -> None:
    """True or false, once."""
    assert holds(expression) is value


@pytest.mark.parametrize(
    "expression",
    [
        "data.text.size() == 5 && size(data.text) == 5",
        "data.text.size() == 5 && data.text != 'x'",
        "size (data.text) == 5 && data.plain . size ( ) == 5",
        "'日本'.size() == 2",
        r"'\u00e9'.size() == 1",
        "(data.text + 'é').size() == 6",
        "data.list.size() == 2 && data.list.all(x, x.size() <= 2) && data.list[0].size() == 1",
        "data.table.size() == 2 && data.table.all(key, key.size() == 1)",
        "has(data.nothing) || data.text.size() == 5",
    ],
)
def test_L4_the_size_of_a_text_is_its_characters(expression: str) -> None:
    """As the specification has it, whatever they are."""
    table = {"é": 1, "b": "😀"}
    env = {"data": {"text": "héllo", "plain": "hello", "list": ["é", "ab"], "table": table}}

    assert holds(expression, env)


def test_L4_characters_of_a_large_text_are_not_counted_many_times() -> None:
    """Once or twice is fine."""
    env = {"data": {"text": "é" * 4_000_000}}

    assert holds("data.text.size() == 4000000 && data.text != 'x'", env)
    with pytest.raises(PipelineError, match="too many to count them 9 times"):
        holds(" && ".join(["data.text.size() > 0"] * 9), env)


@pytest.mark.parametrize(("expression", "error"), [("size(data.n) == 1", "n"), ("data.x.size() == 1", "x")])
def test_L3_what_has_no_size_is_an_error_beside_any_text(expression: str, error: str) -> None:
    """A number, or nothing at all."""
    with pytest.raises((PipelineError, ParamsError), match=f"data.{error}"):
        holds(f"data.text.size() == 5 && {expression}", {"data": {"text": "héllo", "n": 3}})


@pytest.mark.parametrize(
    ("expression", "path"),
    [
        ("data.nothing > 1", "data.nothing"),
        ("data.size.inner == 1", "data.size.inner"),
        ("results[5].success", "results[5].success"),
        ("results[1].success", "results[1].success"),
        ("steps.other.success", "steps.other.success"),
        ("error.code == 'TIMEOUT'", "error.code"),
        ("has(data.nothing) || input.gone == 1", "input.gone"),
        ("data.files[7].size == 1", "data.files[7].size"),
        ("data.files.all(f, f.nothing == 1)", "nothing"),
        ("input['a b'] == 1", "input.a b"),
    ],
)
def test_L3_L4_a_missing_path_is_a_validation_error_that_names_it(expression: str, path: str) -> None:
    """With the step and the expression."""
    with pytest.raises(ParamsError) as refused:
        holds(expression)

    assert refused.value.message == f"step 1 (a.b): when: {expression}: there is no {path}"
    assert refused.value.details == {
        "step": "step 1 (a.b)",
        "key": "when",
        "expression": expression,
        "path": path,
    }


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("data.size", "it gives neither true nor false"),
        ("input.text", "it gives neither true nor false"),
        ("input.n > 'x'", "its values do not go together"),
        ("input.n + input.x > 1.0", "its values do not go together"),
        ("1 / 0 == 1", "it divides by zero"),
        ("9223372036854775807 + input.n > 1", "a number is too large"),
        ("int(input.text) == 1", "it cannot be evaluated with these values"),
        ("input.text.matches('(')", "it cannot be evaluated with these values"),
    ],
)
def test_L4_another_failure_is_a_pipeline_error_in_our_words(expression: str, why: str) -> None:
    """The library's hold values."""
    with pytest.raises(PipelineError) as refused:
        holds(expression)

    assert why in refused.value.message
    assert "hello" not in refused.value.message


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "1 to 1000 characters"),
        ("a" * 1001, "1 to 1000 characters"),
        ("data.a == 1 and data.b == 2", "character 13: there is no and; write &&"),
        ("not (data.a == 1)", "character 1: there is no not(); write !"),
        ("data.a != None", "character 11: there is no None; write null"),
        ("len(data.a) > 1", "character 1: there is no len(); write size()"),
        ("data.a = 1", "character 8: = is not allowed; write =="),
        ("nothing > 1", "character 1: there is no nothing; there are input, data"),
        ("data.size >", "it is no CEL: character 12"),
        ("data.files.filter(f, true).size() > 0", "filter() is not allowed in a condition"),
        ("data.files.map(f, f.size) == []", "map() is not allowed in a condition"),
        ("data.files.all(f, data.files.all(g, g == f))", "inside of another loop is not allowed"),
        ("data.files . all (f, data.files.\texists(g, true))", "inside of another loop is not allowed"),
        ("data.files.all(data, true)", "data is something else"),
        ("data.files.all(f.g, true)", "write all(x, condition of x)"),
        ("data.files.all(f, true) && f == 1", "there is no f"),
        ("&& ".join(["data.all(x, true)"] * 4), "more than 3 loops"),
        ("input.text.matches(data.x)", "matches() takes a text"),
        ("input.text.matches('" + "a" * 100 + "')", "matches() takes a text"),
        ("input.text.matches('a{1000}')", "a pattern has no {"),
        ("data.files.all(f, f.name.matches('a'))", "matches() is not allowed in a loop"),
        ("input.text.nothing()", "there is no nothing()"),
        ("optional.of(1) == 1", "there is no optional"),
        ("Foo{a: 1} == 1", "Foo{} is not allowed"),
        (".data.size > 1", "a name does not begin with a dot"),
        ("data.size > 1 // why", "comments are not allowed"),
        ("'''data''' == ''", "a text cannot stand here"),
        ("b'x' == b'x'", "there is no b"),
        ("data.files.all(br, br'x' == '')", "a text cannot stand here"),
        ("data.size ` 1", "character 11: ` is not allowed"),
        ("data.size > 1 \x00", "is not allowed"),
        ("(" * 17 + "true" + ")" * 17, "nested more than 16 deep"),
        ("+".join(["data.size"] * 18) + " > 1", "17 times +; 16 are allowed"),
    ],
)
def test_L4_what_could_cost_too_much_is_refused_before_anything_runs(expression: str, why: str) -> None:
    """And what is no condition."""
    with pytest.raises(ValueError, match=r"character|it |data|matches|nested|write|there") as refused:
        compile_condition(expression, step="s", key="when")

    assert why in str(refused.value)


LARGE: dict[str, Any] = {
    "list": list(range(10_000)),
    "more": list(range(10_001)),
    "wide": [[0] * 1000] * 101,
    "text": "x" * 70_000,
    "size": 1,
}
DEEP: list[Any] = []
for _ in range(100):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("data.more != []", "a list has 10001 elements; it may look at 10000"),
        ("data.wide != []", "it names more than it may look at"),
        ("data.wide == data.wide", "it names more than it may look at"),
        ("data.list==input||" * 52 + "true", "it names more than it may look at"),
        ("data.deep == []", "nested more than 64 deep"),
        ("data.text.matches('y')", "a text has 70000 characters; it may look at 65536"),
        ("data.list.all(x, x in data.list)", "data.list inside of a loop must be one value"),
        ("data.list.all(x, data.text != '')", "data.text inside of a loop must be one value"),
        ("data.list.all(x, " + "x >= 0 && " * 30 + "true)", "a list has 10000 elements; it may look at"),
        ("data.more[10000] == 1", "it names position 10000; 10000 elements are looked at"),
    ],
)
def test_L4_values_that_would_cost_too_much_are_a_pipeline_error(expression: str, why: str) -> None:
    """Before the library sees them: it cannot be stopped."""
    with pytest.raises(PipelineError) as refused:
        holds(expression, {"data": {**LARGE, "deep": DEEP}, "input": LARGE["list"][1:]})

    assert why in refused.value.message


class Untouchable(dict[str, Any]):
    """A value that nobody may look into."""

    def __iter__(self) -> Any:
        raise AssertionError("it was looked into")

    items = keys = values = __iter__


def test_L4_a_condition_is_given_what_it_names_and_no_more() -> None:
    """What is given is converted, which takes as long as it is large."""
    env = {"data": {"size": 1, "rest": Untouchable(a=1)}, "input": Untouchable(a=1)}

    assert holds("data.size > 0", env)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("data.more.size() == 10001", True),
        ("size(data.more) > 10001 || size(data.wide) == 101", True),
        ("data.size() == 5 && data.size == 1", True),
        ("data.list.size() == 10000 && data.list[3] == 3", True),
        ("data.list.all(x, x < data.list.size())", None),
        ("size(data.text) == 70000", True),
        ("data.wide.size() > 0 && data.wide[0].size() == 1000", True),
    ],
)
def test_L4_a_size_takes_as_long_for_a_large_list_as_for_a_small_one(
    expression: str, value: bool | None
) -> None:
    """Nothing of what is in it is given."""
    if value is None:
        with pytest.raises(PipelineError, match="inside of a loop must be one value"):
            holds(expression, {"data": LARGE})
    else:
        assert holds(expression, {"data": LARGE}) is value


def test_a_condition_knows_what_it_needs() -> None:
    """So that the rest can be let go."""
    compiled = compile_condition(
        "results[1].success && steps.a.success && data.x > index", step="s", key="when"
    )
    whole = compile_condition("results.all(r, r.success) && size(steps) > 1", step="s", key="when")

    assert compiled.needs.roots == {"results", "steps", "data", "index"}
    assert compiled.needs.results == frozenset({1})
    assert compiled.needs.steps == frozenset({"a"})
    assert (whole.needs.results, whole.needs.steps) == (None, None)


WORDS = (
    "input~data~results~item~.a~.b~[0]~['a']~true~null~1~-2.5~'x'~''~ && ~ || ~ == ~ < ~ + ~ / ~ in "
    "~ ? ~ : ~!~-~(~)~[~]~{~}~,~.all(x, ~.exists(x, ~x~.size()~size(~int(~string(~timestamp(~has(~"
    ".matches('a')~r'\\'"
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abx"), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.sampled_from(WORDS.split("~")), max_size=10).map("".join),
    st.fixed_dictionaries({"data": VALUES, "input": VALUES}),
)
def test_no_condition_raises_anything_but_our_errors(expression: str, env: dict[str, Any]) -> None:
    """Neither when it is compiled nor when it is evaluated."""
    try:
        compiled = compile_condition(expression, step="s", key="when")
    except ValueError:
        return
    with suppress(ParamsError, PipelineError):
        assert compiled.evaluate(env) in {True, False}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("has(data.x) || data.n > 'a'", "its values do not go together"),
        ("!has(data.x) && data.n + 'a' == 'b'", "its values do not go together"),
        ("has(data.x) || data.l.all(x, has(x.y))", "its values do not go together"),
        ("has(data.x) || int(data.s) == 1", "it cannot be evaluated with these values"),
    ],
)
def test_L3_a_path_that_may_lead_nowhere_is_not_blamed_for_something_else(expression: str, why: str) -> None:
    """`has()` asks for it: what is wrong is another part of the expression."""
    condition = compile_condition(expression, step="step 1 (s)", key="when")

    with pytest.raises(PipelineError) as raised:
        condition.evaluate({"data": {"n": 5, "s": "x", "l": [1]}})

    assert why in raised.value.message


@pytest.mark.parametrize(
    ("expression", "path"), [("has(data.x) || data.m[data.s] == 1", "k"), ("data.l.q == 1", "data.l.q")]
)
def test_L3_the_path_that_leads_nowhere_is_the_one_named(expression: str, path: str) -> None:
    """Not another one that leads nowhere either."""
    condition = compile_condition(expression, step="step 1 (s)", key="when")

    with pytest.raises(ParamsError) as raised:
        condition.evaluate({"data": {"s": "k", "m": {}, "l": [1]}})

    assert raised.value.details["path"] == path


def test_L4_a_script_called_cel_is_not_taken_for_the_library(tmp_path: Path) -> None:
    """It was run in its place, and waited for itself for ever."""
    script = tmp_path / "cel.py"
    script.write_text(
        "from penstock_plugins.pipelines.expressions import compile_condition\n"
        "compile_condition('true', step='s', key='when')\n"
    )

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)

    assert "another module is called cel" in done.stderr
