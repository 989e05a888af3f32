"""The two functions that JMESPath gets from us."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_plugins.errors import PipelineError
from penstock_plugins.pipelines.expressions import compile_template


def value_of(template: str, **env: Any) -> Any:
    """The value of a template."""
    return compile_template(template, step="s", key="transform").evaluate(env)


def test_group_by_keeps_the_order_of_the_elements_and_of_their_groups() -> None:
    """As they come in the list."""
    data = [{"p": "b", "n": 1}, {"p": "a", "n": 2}, {"p": "b", "n": 3}]

    grouped = value_of("{{group_by(data, &p)}}", data=data)

    assert list(grouped.items()) == [("b", [data[0], data[2]]), ("a", [data[1]])]
    assert value_of("{{items(group_by(data, &p))[*][0]}}", data=data) == ["b", "a"]
    assert value_of("{{items(group_by(data, &p))}}", data=[]) == []


@pytest.mark.parametrize("data", [[{"p": 1}], [{"p": None}], [{}], [1]])
def test_groups_have_texts_for_names(data: list[Any]) -> None:
    """Anything else is refused, without a word of the value."""
    with pytest.raises(PipelineError, match="a function has a value that it does not take"):
        value_of("{{group_by(data, &p)}}", data=data)


def test_an_expression_for_a_function_stands_where_it_takes_one() -> None:
    """As for the standard's own."""
    with pytest.raises(ValueError, match="&expression is for group_by"):
        compile_template("{{items(&p)}}", step="s", key="transform")
