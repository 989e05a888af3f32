"""What a signature's input may be: of what came before, or of its template."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_plugins.errors import ParamsError
from penstock_workers.foreign.envelope import ForeignCall
from penstock_workers.pipelines.plans import compile_all
from tests.support.pipelines.strategies import COMPOSITE, plan_of


def call(template: Any = None) -> ForeignCall:
    """A call of a pipeline that takes any object."""
    plan = plan_of(COMPOSITE).to_json()
    return ForeignCall(
        plan=plan,
        compiled=compile_all(plan),
        tool="",
        tenant="default",
        deadline_s=None,
        has_template=template is not None,
        template=template,
    )


@pytest.mark.parametrize(
    ("template", "before"),
    [(None, {"a": [1]}), ({"a": "{{input}}"}, [1]), ({"a": [1]}, None)],
)
def test_the_input_is_what_came_before_or_what_is_made_of_it(template: Any, before: Any) -> None:
    """In either case JSON values."""
    assert call(template).given([before]) == {"a": [1]}


def test_an_input_that_cannot_be_one_is_refused_in_words() -> None:
    """Nested too deep, no JSON, or not what the parameters say: before a run begins."""
    deep: Any = {}
    for _ in range(128):
        deep = {"in": deep}

    for given, why in ((deep, "nested more than 128 levels deep"), ({"a": {1}}, "no JSON"), ([], "object")):
        with pytest.raises(ParamsError, match=why):
            call().given([given])
