"""Has Celery send what follows a step: the task's own chain, less what is passed over, or a new one.

A message's chain is only what its sender could foresee. Stages to which no item goes are taken out of it;
where the way was not known before (after a branch and a fan-out, or when the message came from the scheduler)
the stages to come take its place. What is not of this flow stays behind them.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, Task
from celery.canvas import Signature

from penstock_broker_config import crash
from penstock_broker_config.app import STEP_TASK
from penstock_broker_config.canvas import fan_canvas, is_chord_id, step_signature
from penstock_workers.pipelines.answers import StepAnswer


class StepTask(Task):  # type: ignore[type-arg]  # Celery's own is no generic at run time
    """The task of steps."""

    def on_success(self, *_: Any, **__: Any) -> None:
        """Celery has sent what follows."""
        crash.reach("worker.after_replace")


def send_on(task: Task[Any, Any], answer: StepAnswer) -> None:
    """Put into a step's request what Celery sends when its task returns."""
    crash.reach("worker.before_replace")
    app: Celery = task.app
    request: Any = task.request  # its types know no chain
    others = [sent for sent in request.chain or [] if _stage_of(sent, answer.flow) is None]
    if answer.fan is not None:
        fan = answer.fan
        canvas = fan_canvas(app, answer.flow, answer.stage, fan.members, fan.gathering, items=answer.items)
        # Whoever gathers sends what comes after.
        request.chain = [dict(canvas)]
    elif answer.following:
        request.chain = others + _ahead(app, request, answer)
    elif answer.at.isdigit():
        request.chain = others + _from(request, answer)
    else:
        request.chain = others
        if answer.last or answer.parent is not None:
            _send_gathering(app, request, task.backend, answer)


def _ahead(app: Celery, request: Any, answer: StepAnswer) -> list[Any]:
    """The stages to come, the next one last, as Celery keeps a chain."""
    following = answer.following
    present = {
        stage: sent for sent in request.chain or [] if (stage := _stage_of(sent, answer.flow)) is not None
    }
    if following[0].stage in present:
        wanted = {step.stage for step in following}
        return [sent for stage, sent in present.items() if stage in wanted]
    sent = [dict(step_signature(app, answer.flow, step, items=answer.items)) for step in following]
    if is_chord_id(request.group) and request.chord:
        # The last stage of a member is the chord's part.
        sent[-1]["options"] = sent[-1]["options"] | {
            "chord": request.chord,
            "group_id": request.group,
            "group_index": request.group_index,
        }
    sent.reverse()
    return sent


def _from(request: Any, answer: StepAnswer) -> list[Any]:
    """What the message knows of the stages from where the flow is; nothing when that is not among them."""
    known = [
        (stage, sent)
        for sent in request.chain or []
        if (stage := _stage_of(sent, answer.flow)) is not None and int(stage) >= int(answer.at)
    ]
    return [sent for _, sent in known] if any(stage == answer.at for stage, _ in known) else []


def _send_gathering(app: Celery, request: Any, backend: Any, answer: StepAnswer) -> None:
    if is_chord_id(request.group) and request.chord:
        backend.say_complete(request.group)
    elif answer.parent is not None:
        flow, step = answer.parent
        signature: Signature[Any] = step_signature(app, flow, step, items=0)
        signature.apply_async(parent_id=request.id, root_id=request.root_id)


def _stage_of(sent: Any, flow: str) -> str | None:
    """The stage of this flow that a signature of a chain is for. None: it is somebody else's."""
    match sent:
        case {"task": task, "args": [str() as of, str() as stage]} if task == STEP_TASK and of == flow:
            return stage if stage.isdigit() else None
    return None
