"""Runs of pipelines as Celery's canvas: a step is a task, stages in order a chain, a fan-out a chord.

Every message is a doorbell: it says which stage of which flow to look at, and the ledger says what is to be
done. So signatures are immutable (no result travels from one to the next), ids follow from flow and stage,
and a message that comes twice, late or from nowhere changes nothing.

A chord's body is the gathering step alone: each member's message has a copy of it, and would have one of the
whole rest. Whoever gathers sends that rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery, chain, chord, group
from celery.canvas import Signature

from penstock_broker_config.app import STEP_TASK
from penstock_broker_config.ledger import FlowStep, member_flow, run_of

#: Begins the id of each chord of ours. Celery's own ids are UUIDs.
_CHORD = ">"


def step_id(flow: str, stage: str) -> str:
    """The id of the task of a flow's stage."""
    return f"{flow}:{stage}"


def chord_id(flow: str, stage: str) -> str:
    """The id of the chord of the members that a flow made at a stage."""
    return f"{_CHORD}{flow}:{stage}"


def is_step_id(task_id: str) -> bool:
    """Whether this is the id of a step's task."""
    return "/" in task_id


def is_chord_id(group_id: str | None) -> bool:
    """Whether this is the id of a chord of ours."""
    return group_id is not None and group_id.startswith(_CHORD)


def step_signature(app: Celery, flow: str, step: FlowStep, *, items: int) -> Signature[Any]:
    """The task of one stage.

    Args:
        app: that sends it.
        flow: whose stage.
        step: the stage.
        items: how many the flow has, for people to read.
    """
    how_many = "1 item" if items == 1 else f"{items} items"
    signature: Signature[Any] = app.signature(
        STEP_TASK,
        args=(flow, step.stage),
        immutable=True,
        task_id=step_id(flow, step.stage),
        root_id=run_of(flow),
        queue=step.queue,
        shadow=step.label,
        # What people see: no data, no secrets.
        argsrepr=f"({step.label!r}, {how_many}, flow {flow}, stage {step.stage})",
        kwargsrepr="{}",
        ignore_result=True,
    )
    return signature


def chain_from(app: Celery, flow: str, steps: Sequence[FlowStep], *, items: int) -> Signature[Any]:
    """The stages that are left of a flow, in order; at least one."""
    signatures = [step_signature(app, flow, step, items=items) for step in steps]
    return signatures[0] if len(signatures) == 1 else chain(*signatures, app=app)


def fan_canvas(
    app: Celery,
    flow: str,
    stage: str,
    members: Sequence[tuple[Sequence[FlowStep], int]],
    gathering: FlowStep,
    *,
    items: int,
) -> Signature[Any]:
    """The fan-out that a flow makes at a stage.

    Args:
        app: that sends it.
        flow: that waits for its members.
        stage: at which it makes them.
        members: the stages of each, and how many items it has; none: what is sent is `gathering`.
        gathering: the stage that begins when all of them have ended.
        items: of the flow.
    """
    body = step_signature(app, flow, gathering, items=items)
    if not members:
        return body
    header = [
        chain_from(app, member_flow(flow, stage, number), steps, items=count)
        for number, (steps, count) in enumerate(members)
    ]
    # A chord's own task id is what Celery calls its group.
    canvas: Signature[Any] = chord(group(header, app=app), body, app=app)
    canvas.options.update(task_id=chord_id(flow, stage), root_id=run_of(flow))
    return canvas
