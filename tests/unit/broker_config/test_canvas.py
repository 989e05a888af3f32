"""Messages of runs: what people see of them, their ids, and that they grow no faster than what they say."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from celery import chain, chord

from penstock_broker_config.app import STEP_TASK, create_app
from penstock_broker_config.canvas import (
    chain_from,
    chord_id,
    fan_canvas,
    is_chord_id,
    is_step_id,
    step_id,
    step_signature,
)
from penstock_broker_config.ledger import FlowStep
from penstock_broker_config.settings import Settings

FLOW = "0123456789abcdefghjk/0"


@pytest.fixture(scope="module")
def app() -> Any:
    """An app that sends nothing."""
    return create_app(Settings(redis_url="redis://127.0.0.1:1/0"))


def steps(count: int, first: int = 0) -> list[FlowStep]:
    """Stages of one tool."""
    return [
        FlowStep(stage=str(first + k), queue="penstock.default", label="text.stats") for k in range(count)
    ]


def test_L6_a_step_is_a_task_that_flower_shows_under_its_label(app: Any) -> None:
    """Its id and its root follow from the flow; nothing of the data is in it, and no result travels."""
    step = FlowStep(stage="4", queue="penstock.pool.gpu", label="both:transform")

    signature = step_signature(app, FLOW, step, items=12)

    assert (signature.task, signature.args, signature.immutable) == (STEP_TASK, (FLOW, "4"), True)
    options: Any = signature.options
    assert options["task_id"] == step_id(FLOW, "4") == f"{FLOW}:4"
    assert (options["root_id"], options["queue"]) == ("0123456789abcdefghjk", "penstock.pool.gpu")
    assert options["shadow"] == "both:transform"
    assert options["argsrepr"] == f"('both:transform', 12 items, flow {FLOW}, stage 4)"
    assert options["ignore_result"]


def test_L6_stages_in_order_are_a_chain(app: Any) -> None:
    """A single one is a task by itself."""
    three: Any = chain_from(app, FLOW, steps(3), items=1)

    assert isinstance(three, chain)
    assert [task.args[1] for task in three.tasks] == ["0", "1", "2"]
    assert chain_from(app, FLOW, steps(1), items=1).task == STEP_TASK


def test_L6_a_fan_out_is_a_chord_of_the_members_chains(app: Any) -> None:
    """Its id is ours to know; each member has its own flow; whoever gathers is the body."""
    canvas: Any = fan_canvas(app, FLOW, "3", [(steps(2), 1)] * 3, steps(1, 4)[0], items=7)

    assert isinstance(canvas, chord)
    assert canvas.options["task_id"] == chord_id(FLOW, "3")
    assert is_chord_id(canvas.options["task_id"])
    assert [member.tasks[0].args[0] for member in canvas.tasks] == [f"{FLOW}/3.{k}" for k in range(3)]
    assert canvas.body.args == (FLOW, "4")


def test_a_fan_out_of_nobody_is_its_body(app: Any) -> None:
    """There is nothing to wait for."""
    canvas = fan_canvas(app, FLOW, "3", [], steps(1, 4)[0], items=7)

    assert canvas.options["task_id"] == f"{FLOW}:4"


def test_our_ids_are_not_celerys() -> None:
    """What is the ledger's and what is Celery's is told by ids."""
    uuid = "8c5b2c32-7d1c-4d21-9a7e-0d4b3f9d3d0e"

    assert is_step_id(f"{FLOW}:4")
    assert not is_step_id(uuid)
    assert not is_chord_id(uuid)
    assert not is_chord_id(None)


def test_L6_messages_grow_linearly(app: Any) -> None:
    """200 stages have 200 times as much to say as one; a member does not speak of the others."""
    sizes = {
        count: len(orjson.dumps(chain_from(app, FLOW, steps(count), items=1))) for count in (1, 100, 200)
    }
    fans = {
        count: len(orjson.dumps(fan_canvas(app, FLOW, "3", [(steps(1), 1)] * count, steps(1)[0], items=1)))
        for count in (100, 10_000)
    }

    assert sizes[200] < 2.1 * sizes[100]
    assert sizes[200] < 200 * 1.1 * sizes[1] < 128 * 1024
    assert fans[10_000] < 102 * fans[100]
