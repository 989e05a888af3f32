"""Keys of calls, made of their params and context."""

from __future__ import annotations

from typing import Any

import pytest

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
    ["", "{{host}}", "{{input}}", "{{input.}}", "{{input.a", "{{input.a[0]}}", "{{env.HOME}}", "x" * 2000],
)
def test_a_template_that_names_nothing_is_refused_when_it_is_read(template: str) -> None:
    """Not at the first call."""
    with pytest.raises(ValueError, match=r"hole|characters"):
        KeyTemplate(template)
