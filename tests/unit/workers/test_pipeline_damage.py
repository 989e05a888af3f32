"""Plans and items that are damaged, or of another program, are refused in words, and never break a worker."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_broker_config.ledger import FlowClaim, FlowState
from penstock_plugins.errors import EnvelopeError, InvalidPipelineError, LoopLimitError
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.model import Pipeline
from penstock_workers.lease import Hold
from penstock_workers.pipelines.plans import compile_all
from penstock_workers.pipelines.states import encoded
from penstock_workers.pipelines.through import take_through
from penstock_workers.pipelines.work import FlowWork
from tests.support.pipelines.strategies import plan_of
from tests.unit.workers.test_pipeline_hooks import Toys

PIPELINE = Pipeline.from_dict(
    {
        "name": "p",
        "steps": [
            {
                "tool": "toy.add",
                "compensate": {"tool": "toy.undo", "params": {"n": "{{result.data.n}}"}},
            },
            {"tool": "toy.both", "name": "both"},
            {"branch": "data.n > 1", "if_true": [{"tool": "toy.odd"}], "if_false": [{"filter": "true"}]},
            {"catch": [{"transform": {"n": "{{error.code}}"}}]},
            {"map": "[data]", "steps": [{"parallel": {"a": [{"tool": "toy.add"}], "b": []}}]},
        ],
    }
)
PLAN = plan_of(PIPELINE)
COMPILED = compile_all(PLAN.to_json())
#: An item inside of the composite.
INSIDE = {"p": 2, "d": {"n": 1}, "f": [[None, None], [{"n": 1}, {"n": 1}]]}
ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.integers(-1, 99), st.booleans(), st.sampled_from(["", "x", "toy.both", "{{"]), st.just([])
)


def work_of(*items: Any, stage: str = "0", **claim: Any) -> FlowWork:
    """A flow with items as they were stored."""
    return FlowWork(
        flow="r/0",
        stage=stage,
        claim=FlowClaim(state=FlowState.GRANTED, count=len(items), **claim),
        hold=Hold(">r/0", 1, 0.0),
        compiled=COMPILED,
        items=[ItemState.from_json(item) for item in items],
    )


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each part of a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    return [*([way] if way else []), *(place for key, part in inner for place in places(part, (*way, key)))]


def damaged(shape: Any, way: tuple[Any, ...], with_: Any) -> Any:
    """The same with another value somewhere."""
    copied = at = orjson.loads(orjson.dumps(shape))
    for part in way[:-1]:
        at = at[part]
    at[way[-1]] = with_
    return copied


WRITTEN = orjson.loads(PLAN.to_json())


@settings(max_examples=200, deadline=None)
@given(way=st.sampled_from(places(WRITTEN)), with_=ANYTHING)
def test_a_damaged_plan_is_refused_or_compiled(way: tuple[Any, ...], with_: Any) -> None:
    """Nothing else is raised, and so nothing comes again and again."""
    with suppress(EnvelopeError, InvalidPipelineError, LoopLimitError):
        compile_all(orjson.dumps(damaged(WRITTEN, way, with_)))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ({"p": 99}, "at instruction 99 of a program of"),
        ({"p": 0}, "has 2 frames where its program has 1"),
        ({"f": []}, "has 0 frames"),
        ({"f": [[None, None]]}, "has 1 frames"),
        ({"u": [[7, {}, "steps[0]"]], "p": 0, "f": [[None, None]]}, "a tool that its plan does not have"),
        ({"p": -1}, "damaged"),
        ({"f": [[1]]}, "damaged"),
        ({"st": "?"}, "damaged"),
        ({"u": [[]]}, "damaged"),
    ],
)
def test_an_item_that_cannot_be_where_it_says_is_refused(damage: dict[str, Any], why: str) -> None:
    """Before anything is done with it."""
    with pytest.raises(EnvelopeError, match=why):
        work_of(INSIDE | damage).check_items()


@settings(max_examples=200, deadline=None)
@given(way=st.sampled_from(places(INSIDE)), with_=ANYTHING)
def test_an_item_that_is_taken_breaks_nothing(way: tuple[Any, ...], with_: Any) -> None:
    """It is refused, or goes as far as it can."""
    try:
        work = work_of(damaged(INSIDE, way, with_))
        work.check_items()
    except EnvelopeError:
        return
    take_through(work, work.program.program.end, Toys())


@pytest.mark.parametrize("claim", [{"program": 9}, {"stage": "99"}, {"stage": "x"}])
def test_a_flow_of_another_program_or_stage_is_refused(claim: dict[str, Any]) -> None:
    """As damaged."""
    with pytest.raises(EnvelopeError, match=r"and its plan has|is at stage"):
        work_of(INSIDE, **claim).planned()


def test_L2_an_item_that_cannot_be_kept_has_failed_when_it_is_resumed() -> None:
    """What it carried is gone. It fits its program all the same, or else its flow would be refused."""
    work = work_of(INSIDE)
    [item] = work.items
    assert item is not None
    item.data = {"n": 2**70}

    kept = ItemState.from_json(orjson.loads(encoded(item, member=False)))
    assert kept.status is ItemStatus.FAILED
    again = kept.rewound()
    work.items = [again]

    assert again.status is ItemStatus.FAILED
    work.check_items()
