"""Keys of calls, made of their params and context."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.errors import ParamsError
from penstock_plugins.key_template import MAX_KEY_CHARS, KeyTemplate

CONTEXT = {"tenant": "acme", "request": {"request_id": "r"}}


@pytest.mark.parametrize(
    ("template", "params", "key"),
    [
        ("constant", {}, "constant"),
        ("{{input.host}}", {"host": "a.example"}, "a.example"),
        ("{{ input.a.b }}/{{context.tenant}}", {"a": {"b": 7}}, "7/acme"),
        ("x-{{input.on}}-y", {"on": True}, "x-true-y"),
        ("{{context.request.request_id}}", {}, "r"),
        ("{{input.hosts[0].name}}", {"hosts": [{"name": "x"}]}, "x"),
        ("{{input.hosts[-1]}}", {"hosts": ["a", "b"]}, "b"),
        ('{{input."my-host"}}', {"my-host": "h"}, "h"),
        ("{{input.region || 'eu'}}", {}, "eu"),
        ("{{input.region || 'eu'}}", {"region": "us"}, "us"),
        ("{{input.vip && 'fast' || 'slow'}}", {"vip": False}, "slow"),
        ("{{length(input.rows)}}", {"rows": [1, 2, 3]}, "3"),
        ("{{not_null(input.a, context.tenant)}}", {}, "acme"),
        ("{{(input.a || context.request).request_id}}", {}, "r"),
        ("{{input.x}}", {"x": 1.5}, "1.5"),
        ("{{input.x}}", {"x": 2**64 - 1}, str(2**64 - 1)),
    ],
)
def test_holes_are_filled_with_what_they_name(template: str, params: dict[str, Any], key: str) -> None:
    """Texts, numbers and booleans."""
    assert KeyTemplate(template).render(params, CONTEXT) == key


@pytest.mark.parametrize(
    "params",
    [{}, {"a": None}, {"a": {"c": 1}}, {"a": {"b": []}}, {"a": {"b": {}}}, {"a": "text"}, [], "text"],
)
def test_a_value_that_is_missing_is_named(params: Any) -> None:
    """So is one that no key can be made of."""
    with pytest.raises(ParamsError, match=r"input\.a\.b") as refused:
        KeyTemplate("{{input.a.b}}").render(params, CONTEXT)

    assert refused.value.details["errors"][0]["path"] == "input.a.b"


@pytest.mark.parametrize("value", ["", "x" * (MAX_KEY_CHARS + 1)])
def test_a_key_has_some_characters_and_not_too_many(value: str) -> None:
    """Keys are names in the store."""
    with pytest.raises(ParamsError, match="characters"):
        KeyTemplate("{{input.a}}").render({"a": value}, CONTEXT)


@pytest.mark.parametrize(
    "template",
    ["", "{{host}}", "{{input}}", "{{input.}}", "{{input.a", "{{env.HOME}}", "x" * 2000],
)
def test_a_template_that_names_nothing_is_refused_when_it_is_read(template: str) -> None:
    """Not at the first call."""
    with pytest.raises(ValueError, match=r"hole|characters"):
        KeyTemplate(template)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("a/{{input.b}}/{{host}}", r"hole 2 at character 15, \{\{host\}\}: a path begins with input"),
        ("{{context.tennant}}", "context has tenant, .*not 'tennant'"),
        ("ab{{input.c", "the hole at character 3 is not closed"),
        ("ab}}", "the braces at character 3 close no hole"),
        ("{{input.a}}}}", "the braces at character 12 close no hole"),
        ("{{input[0]}}", "input is no list"),
        ("{{'x'}}", "names nothing"),
        ("{{input.a +}}", "no JMESPath"),
        ("{{abs(input.a, input.b)}}", r"abs\(\) with 2 arguments"),
        ("{{nosuch(input.a)}}", r"nosuch\(\)"),
    ],
)
def test_P3_a_template_that_cannot_be_meant_says_where(template: str, says: str) -> None:
    """By the hole and its position."""
    with pytest.raises(ValueError, match=says):
        KeyTemplate(template)


@pytest.mark.parametrize(
    "expression",
    [
        "input.a[*].b",
        "input.a[]",
        "input.a[1:]",
        "input.a[?b].c",
        "input.*",
        "input.a | b",
        "@.input.a",
        "input.[a, b]",
        "input.{a: b}",
        "input.a == input.b",
        "sort(input.a)",
        "to_string(input.a)",
        "join('', input.a)",
        "map(&a, input.b)",
        "input.a.length(@)",
        "input.a || `[1]`",
        "!" * 50 + "input.a",
        "(" * 190,
        "input.a || " * 20 + "input.a",
        "[input.a,input.a][]" + "|[@,@][]" * 20,
    ],
)
def test_a_hole_that_could_cost_more_than_a_look_is_refused(expression: str) -> None:
    """Whoever writes a manifest must not hold up producers."""
    with pytest.raises(ValueError, match="hole 1"):
        KeyTemplate("{{" + expression + "}}")


def test_a_template_has_few_holes_and_little_text() -> None:
    """What is over is refused before any call."""
    assert KeyTemplate("{{input.a}}" * 8).render({"a": "x"}, CONTEXT) == "x" * 8

    with pytest.raises(ValueError, match="8 holes"):
        KeyTemplate("{{input.a}}" * 9)
    with pytest.raises(ValueError, match="256 characters"):
        KeyTemplate("x" * 257)


@pytest.mark.parametrize(
    ("template", "params", "path"),
    [
        ("{{abs(input.a)}}", {"a": "text"}, "abs(input.a)"),
        ("{{length(input.a)}}", {}, "length(input.a)"),
        ("{{input.a}}", {"a": float("inf")}, "input.a"),
        ("{{input.a}}", {"a": 10**100}, "input.a"),
        ("{{input.a}}-", {"a": "x" * 300}, "input.a"),
        ("{{input.a[3]}}", {"a": []}, "input.a[3]"),
        ("{{context.session}}", {}, "context.session"),
    ],
)
def test_a_value_that_makes_no_key_is_refused_by_its_expression(
    template: str, params: dict[str, Any], path: str
) -> None:
    """The value itself, however large, is no part of the message."""
    with pytest.raises(ParamsError) as refused:
        KeyTemplate(template).render(params, CONTEXT)

    assert refused.value.details["errors"][0]["path"] == path
    assert len(refused.value.message) < 200


@given(text=st.text(alphabet="{}[]().|&!`'\"@*?,:0aintpuco xe", max_size=60))
def test_fuzz_no_template_raises_anything_but_value_errors(text: str) -> None:
    """When it is read; and nothing but ParamsErrors when it is rendered."""
    with suppress(ValueError, ParamsError):
        KeyTemplate("{{input.a}}" + text).render({"a": {"b": [1, "x"]}, "i": 1}, CONTEXT)
    with suppress(ValueError, ParamsError):
        KeyTemplate("{{" + text + "}}").render({"a": {"b": [1, "x"]}, "i": 1}, CONTEXT)
